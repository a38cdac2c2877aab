"""The proof must fail when, and only when, the served model is another one."""

import dataclasses

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import answers, prove
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError, IntegrityError
from seakeep.records.version import ParityProof


def mutate(emission, change):
    """The emission with its model changed by ``change(graph)``."""
    model = onnx.load_from_string(emission.model)
    change(model.graph)
    return dataclasses.replace(emission, model=model.SerializeToString())


def attribute(graph, operator, name, index=0):
    node = [node for node in graph.node if node.op_type == operator][index]
    return next(a for a in node.attribute if a.name == name)


def edit(found, change):
    """Change a tensor, or an attribute's tensor, through numpy."""
    tensor = found.t if isinstance(found, onnx.AttributeProto) else found
    values = numpy_helper.to_array(tensor).copy()
    change(values)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def proof_of(model, columns, rows, emission, threshold=0.5):
    return prove(native_scorer(model, columns), emission, rows, threshold=threshold, artefact_sha256="f" * 64)


def _leaf(graph):
    def change(values):
        values[len(values) // 2] += 1e-6

    edit(attribute(graph, "TreeEnsemble", "leaf_weights"), change)


def _threshold(graph):
    def change(values):
        place = int(np.flatnonzero(values)[3])
        values[place] = np.nextafter(values[place], np.inf)

    edit(attribute(graph, "TreeEnsemble", "nodes_splits"), change)


def _missing(graph):
    tracks = attribute(graph, "TreeEnsemble", "nodes_missing_value_tracks_true")
    tracks.ints[1] = 1 - tracks.ints[1]


def _member(graph):
    def change(values):
        values[0] = {0.0: 1.0}.get(values[0], 0.0)

    edit(attribute(graph, "TreeEnsemble", "membership_values"), change)


def _two_categories(graph):
    def change(values):
        values[[3, 4]] = values[[4, 3]]

    edit(attribute(graph, "LabelEncoder", "values_tensor"), change)


def _unknown(graph):
    edit(attribute(graph, "LabelEncoder", "default_tensor", 1), lambda values: values.fill(0.0))


def _spelling(graph):
    def change(values):
        values[5] = "elsewhere"

    edit(attribute(graph, "LabelEncoder", "keys_tensor"), change)


def _swapped_children(graph):
    true = attribute(graph, "TreeEnsemble", "nodes_truenodeids")
    false = attribute(graph, "TreeEnsemble", "nodes_falsenodeids")
    true_leafs = attribute(graph, "TreeEnsemble", "nodes_trueleafs")
    false_leafs = attribute(graph, "TreeEnsemble", "nodes_falseleafs")
    place = next(i for i in range(1, len(true.ints)) if true_leafs.ints[i] and false_leafs.ints[i])
    true.ints[place], false.ints[place] = false.ints[place], true.ints[place]


def _single_precision(graph):
    """What stock converters do: round the inputs to float32 before they are compared."""
    trees = next(i for i, node in enumerate(graph.node) if node.op_type == "TreeEnsemble")
    source = graph.node[trees].input[0]
    down = onnx.helper.make_node("Cast", [source], ["single"], to=onnx.TensorProto.FLOAT)
    up = onnx.helper.make_node("Cast", ["single"], ["double"], to=onnx.TensorProto.DOUBLE)
    graph.node[trees].input[0] = "double"
    graph.node.insert(trees, up)
    graph.node.insert(trees, down)


MUTATIONS = [
    _leaf,
    _threshold,
    _missing,
    _member,
    _two_categories,
    _unknown,
    _spelling,
    _swapped_children,
    _single_precision,
]


@pytest.mark.parametrize("change", MUTATIONS, ids=lambda change: change.__name__)
def test_a_mutated_boosting_model_fails(change, fit, columns, held_out):
    model = fit("hgb")
    emission = emit(model, columns)
    assert proof_of(model, columns, held_out, emission).passed
    proof = proof_of(model, columns, held_out, mutate(emission, change))
    assert not proof.passed
    assert proof.worst["(matters)"] or change is _leaf


def _weights(graph):
    tensor = next(t for t in graph.initializer if list(t.dims)[1:] == [1] and t.dims[0] > 5)
    edit(tensor, lambda values: values.__setitem__((2, 0), values[2, 0] + 1e-6))


def _mean(graph):
    node = next(node for node in graph.node if node.op_type == "Sub" and node.input[0] != node.input[1])
    tensor = next(t for t in graph.initializer if t.name == node.input[1])
    edit(tensor, lambda values: values.__setitem__((0, 0), values[0, 0] + 1e-6))


def _imputed(graph):
    constants = {t.name: t for t in graph.initializer}
    rows = [constants[n.input[1]] for n in graph.node if n.op_type == "Where" and n.input[1] in constants]
    tensor = next(t for t in rows if len(t.dims) == 2)  # the statistics; the refusals' NaN is a scalar
    edit(tensor, lambda values: values.__setitem__((0, 1), values[0, 1] + 1.0))


@pytest.mark.parametrize("change", [_weights, _mean, _imputed], ids=lambda change: change.__name__)
def test_a_mutated_linear_model_fails(change, fit, columns, held_out):
    model = fit("logistic")
    emission = emit(model, columns)
    assert proof_of(model, columns, held_out, emission).passed
    assert not proof_of(model, columns, held_out, mutate(emission, change)).passed


def test_a_model_that_answers_what_the_estimator_refuses_fails(fit, columns, held_out):
    model = fit("forest-missing")
    emission = emit(model, columns)

    def accept(graph):
        marks = next(node for node in graph.node if node.op_type == "IsInf").output[0]
        where = next(node for node in graph.node if marks in node.input)
        where.input[1] = where.input[2]

    proof = proof_of(model, columns, held_out, mutate(emission, accept))
    assert not proof.passed
    assert proof.error_mismatches == proof_of(model, columns, held_out, emission).cases["refused"] > 0
    assert proof.worst["(trained)"] == "refused"


def test_a_model_that_gives_no_score_where_the_estimator_does_fails(fit, columns, held_out):
    model = fit("hgb")

    def spoil(graph):
        encoder = attribute(graph, "TreeEnsemble", "leaf_weights")
        edit(encoder, lambda values: values.__setitem__(len(values) // 3, np.nan))

    proof = proof_of(model, columns, held_out, mutate(emit(model, columns), spoil))
    assert not proof.passed
    assert proof.nan_mismatches > 0
    assert np.isfinite(proof.max_difference)


def test_bits_that_depend_on_the_batch_fail(fit, columns, held_out):
    model = fit("hgb-numeric")

    def own_sigmoid(graph):
        """The engine's vectorised Sigmoid rounds the last rows of a batch with another routine."""
        product = next(node for node in graph.node if node.op_type == "Mul")
        quotient = next(node for node in graph.node if node.op_type == "Div")
        quotient.CopyFrom(onnx.helper.make_node("Sigmoid", [product.input[0]], list(quotient.output)))

    proof = proof_of(model, columns, held_out, mutate(emit(model, columns), own_sigmoid))
    assert proof.max_difference < 1e-15
    assert proof.batch_mismatches > 0
    assert not proof.passed


def test_a_failure_names_the_feature_that_matters(fit, columns, held_out):
    model = fit("hgb")
    proof = proof_of(model, columns, held_out, mutate(emit(model, columns), _spelling))
    assert proof.worst["(matters)"] == "dest"
    assert set(proof.worst) == {column.name for column in columns} | {"(kind)", "(trained)", "(served)", "(matters)"}


def test_flips_count_at_the_deployed_threshold(fit, columns, held_out):
    model = fit("hgb")

    def lift(graph):
        edit(attribute(graph, "TreeEnsemble", "leaf_weights"), lambda values: values.__setitem__(0, values[0] + 0.2))

    mutated = mutate(emit(model, columns), lift)
    assert proof_of(model, columns, held_out, mutated, threshold=0.5).flips > 0
    assert proof_of(model, columns, held_out, mutated, threshold=1.1).flips == 0


def test_a_score_at_the_threshold_is_no_flip(fit, columns, held_out, to_pandas):
    """A threshold taken from a validation row's own score, as a top share has it, must not fail on rounding."""
    model = fit("hgb")
    emission = emit(model, columns)
    scores = model.predict_proba(to_pandas(held_out))[:, 1]
    for threshold in np.quantile(scores, [0.5, 0.8, 0.9], method="nearest"):
        assert proof_of(model, columns, held_out, emission, threshold=float(threshold)).passed


def test_every_kind_of_case_is_tried(fit, columns, held_out):
    model = fit("hgb")
    proof = proof_of(model, columns, held_out, emit(model, columns))
    for kind in ("validation", "threshold", "missing", "unseen", "extremes", "boundaries", "categories"):
        assert proof.cases[kind] > 0, kind
    assert proof.cases["validation"] == len(held_out)
    assert proof.cases["refused"] == 0
    assert "boundaries-left-out" not in proof.cases


def test_splits_left_out_are_told(fit, columns, held_out, monkeypatch):
    monkeypatch.setattr("seakeep.conversion.probe.MOST_BOUNDARY_ROWS", 100)
    model = fit("hgb")
    proof = proof_of(model, columns, held_out, emit(model, columns))
    assert proof.cases["boundaries"] == 100
    assert proof.cases["boundaries-left-out"] > 1000


def test_the_proof_is_the_same_twice_and_its_digest_covers_rows_and_model(fit, columns, held_out):
    model = fit("hgb")
    emission = emit(model, columns)
    first, second = (proof_of(model, columns, held_out, emission) for _ in range(2))
    assert first == second
    fewer = proof_of(model, columns, held_out.take(np.arange(500)), emission)
    other = proof_of(model, columns, held_out, mutate(emission, _leaf))
    assert len({first.digest, fewer.digest, other.digest}) == 3
    assert first.model_sha256 != other.model_sha256


def test_the_proof_survives_json(fit, columns, held_out):
    model = fit("forest-missing")
    proof = proof_of(model, columns, held_out, emit(model, columns))
    assert msgspec.json.decode(msgspec.json.encode(proof), type=ParityProof) == proof


def test_without_accepted_rows_nothing_is_proved(fit, columns, held_out):
    model = fit("hgb")
    with pytest.raises(ConversionError, match="none of the 0 validation rows"):
        proof_of(model, columns, held_out.take(np.arange(0)), emit(model, columns))
    refusing = held_out.take(np.arange(3))
    refusing.numbers[:] = np.inf
    model = fit("logistic")
    with pytest.raises(ConversionError, match=r"none of the 3 validation rows.*infinity"):
        proof_of(model, columns, refusing, emit(model, columns))


def test_bytes_that_are_no_model_are_refused(fit, columns, held_out):
    model = fit("hgb")
    with pytest.raises(IntegrityError, match="cannot be loaded"):
        proof_of(model, columns, held_out, dataclasses.replace(emit(model, columns), model=b"no model"))


def test_halving_finds_the_refused_rows():
    rows = Rows(np.arange(37.0)[:, None], np.empty((37, 0), dtype=object))
    calls = []

    def scorer(numbers, categories):
        calls.append(len(numbers))
        if np.isin(numbers, [3, 20, 36]).any():
            raise ValueError("no")
        return numbers[:, 0] * 2

    found = answers(scorer, rows)
    assert np.flatnonzero(found.refused).tolist() == [3, 20, 36]
    assert np.array_equal(found.scores[~found.refused, 0], np.delete(np.arange(37.0), [3, 20, 36]) * 2)
    assert np.isnan(found.scores[found.refused]).all()
    assert len(calls) < 37
