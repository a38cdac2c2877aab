"""Networks of PyTorch and Keras: they answer as the framework does, alone and in any batch, or are refused by name."""

import dataclasses
import importlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.inline import inline
from seakeep.conversion.emit.model import emit
from seakeep.conversion.formats.format import Inputs, emitted
from seakeep.conversion.native import frame_of, native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError, TrainingError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import NEVER, classes
from seakeep.training.fit import predict
from seakeep.training.network import Network

pytestmark = pytest.mark.usefixtures("one_row_at_its_extremes")
torch = pytest.importorskip("torch", reason="needs the extra `torch`")
pytest.importorskip("onnxscript", reason="needs the extra `torch`")
zoo = importlib.import_module("benchmarks.zoo.torch_models")
EMBEDDED = "PyTorch embedding of a number"


@pytest.fixture(scope="module")
def made(drawn):
    """A trained pipeline of the zoo and its emission, made once each."""
    known = {}

    def make(name, models=zoo):
        if name not in known:
            build, inputs, target = models.MODELS[name]
            model = build(0).fit(getattr(drawn, inputs), getattr(drawn, target))
            columns = drawn.columns(inputs)
            known[name] = (native_scorer(model, columns), emit(model, columns), inputs)
        return known[name]

    return make


def proof_of(made, unseen, **changes):
    source, emission, inputs = made
    return prove(
        source, dataclasses.replace(emission, **changes), unseen.rows(inputs), threshold=0.4, artefact_sha256=""
    )


def test_a_network_after_a_preparation_answers_as_torch_does(made, unseen):
    proof = proof_of(made(EMBEDDED), unseen)
    assert proof.passed, (proof.worst, proof.max_difference)
    assert proof.mutants_caught == proof.mutants >= 3
    assert proof.batch_mismatches == 0
    assert {"torch", "onnxscript"} <= set(proof.versions)
    assert proof.tolerance == 1e-5


def test_a_network_of_classes_answers_for_the_declared_ones_in_their_order_and_only_if_it_has_one_number_for_each():
    """It knows places alone: those of the frame's label, which are the declared order and not the alphabet's."""
    rng, wanted = np.random.default_rng(0), classes("south", "east", "north")
    columns = tuple(FeatureColumn(name=name, kind="number") for name in "ab")
    rows = Rows(rng.normal(size=(120, 2)), np.empty((120, 0), dtype=object))
    place = np.digitize(rows.numbers[:, 0], [-0.5, 0.5])
    frame = frame_of(rows, columns)

    def trained(outputs):
        torch.manual_seed(0)
        net = torch.nn.Linear(2, outputs)
        optimiser = torch.optim.Adam(net.parameters(), lr=0.3)
        for _ in range(60):
            optimiser.zero_grad()
            told = net(torch.from_numpy(rows.numbers).float())
            torch.nn.functional.cross_entropy(told, torch.from_numpy(place)).backward()
            optimiser.step()
        scaler = StandardScaler(with_mean=False, with_std=False)
        return make_pipeline(scaler.fit(frame.to_pandas()), Network(net, gives="logits", inputs=2))

    model = trained(3)
    expected = predict(model, frame, wanted)
    assert (expected.argmax(axis=1) == place).mean() > 0.8
    taken = emitted(model, Inputs(columns, columns), wanted)
    assert taken.emission.outputs == wanted
    assert prove(taken.trained, taken.emission, rows, threshold=NEVER, artefact_sha256="").passed
    served = ScoringSession(taken.emission.model).score(rows.numbers, rows.categories)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5)
    four = trained(4)
    with pytest.raises(TrainingError, match="3 is not declared") as caught:
        predict(four, frame, wanted)
    assert "one number for each" in caught.value.hint
    with pytest.raises(ConversionError, match="3 is not declared"):
        emitted(four, Inputs(columns, columns), wanted)


def test_keras_is_served_alike(made, unseen, tmp_path_factory):
    home = tmp_path_factory.mktemp("keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(home))
        pytest.importorskip("keras", reason="needs the extra `keras`")
        models = importlib.import_module("benchmarks.zoo.keras_models")
        proof = proof_of(made("Keras perceptron with Normalization", models), unseen)
    assert proof.passed, (proof.worst, proof.max_difference)
    assert proof.mutants_caught == proof.mutants > 0


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.tuples(st.floats(-1e4, 1e4), st.floats(-1e6, 1e6), st.integers(-3, 12).map(float), st.floats(-1e3, 1e3)),
        min_size=1,
        max_size=9,
    )
)
def test_a_row_has_the_same_bits_alone_and_in_any_company_and_those_of_torch_within_the_tolerance(made, rows):
    """Also where its code has no embedding: then it has no answer, and its neighbours have theirs."""
    source, emission, _ = made(EMBEDDED)
    session = ScoringSession(emission.model)
    numbers, none = np.array(rows), np.empty((len(rows), 0), dtype=object)
    together = session.score(numbers, none)
    for i in range(len(rows)):
        alone = session.score(numbers[i : i + 1], none[:1])
        np.testing.assert_array_equal(alone, together[i : i + 1])
        try:
            expected = source(numbers[i : i + 1], none[:1])
        except IndexError:
            expected = [np.nan]
        assert np.isnan(expected) == (not 0 <= numbers[i, 2] < 9)
        np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)


def test_planted_faults_are_found(made, unseen):
    """A weight changed by more than rounding, an activation left out, and the first layer's products halved."""
    emission = made(EMBEDDED)[1]

    def changed(edit):
        model = onnx.load_from_string(emission.model)
        edit(model.graph)
        return model.SerializeToString()

    def shifted(graph):
        held = next(one for one in graph.initializer if one.name == emission.weights[-1])
        held.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held) + np.float32(1e-3), held.name))

    def linear(graph):
        next(node for node in graph.node if node.op_type == "Tanh").op_type = "Identity"

    def halved(graph):
        layer = next(node for node in graph.node if node.op_type == "Gemm")
        layer.attribute.append(onnx.helper.make_attribute("alpha", 0.5))
        for attribute in [one for one in layer.attribute if one.name == "alpha"][:-1]:
            layer.attribute.remove(attribute)

    for edit in (shifted, linear, halved):
        proof = proof_of(made(EMBEDDED), unseen, model=changed(edit))
        assert not proof.passed, edit
        assert proof.max_difference > 1e-5


def test_one_branch_for_all_rows_would_be_found(made, unseen):
    """What the older exporter bakes: right for the rows of its example's side, wrong for the others."""
    source, emission, inputs = made(EMBEDDED)

    def branching(numbers, categories):
        sides = [source(side, categories) for side in (numbers, -numbers)]
        return np.where(numbers[:, 0] > 0, *sides)

    some = unseen.rows(inputs).take(np.arange(20))
    proof = prove(branching, emission, some, threshold=0.4, artefact_sha256="")
    assert not proof.passed
    assert proof.max_difference > 1e-2


def test_no_trace_of_the_projects_files_is_in_the_model(made):
    emission = made(EMBEDDED)[1]
    assert b"torch_models" not in emission.model
    assert b".py" not in emission.model


@pytest.mark.parametrize("name", zoo.REFUSED)
def test_what_has_no_one_graph_is_refused_with_what_to_do(name, drawn):
    build, inputs, target = zoo.REFUSED[name]
    model = build(0).fit(getattr(drawn, inputs), getattr(drawn, target))
    with pytest.raises((TrainingError, ConversionError)) as refusal:
        model.predict_proba(getattr(drawn, inputs))
    assert refusal.value.hint


def test_a_text_column_another_width_and_a_sparse_matrix_are_told(drawn):
    network = zoo.Network(torch.nn.Linear(4, 1), gives="values", inputs=4)
    with pytest.raises(ConversionError, match="text column 'place'"):
        emit(network, drawn.columns("full"))
    with pytest.raises(ConversionError, match="takes 4 numbers a row and gets 2"):
        emit(network, drawn.columns("plain")[:2])


def foreign(*nodes):
    one = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])
    graph = onnx.helper.make_graph(list(nodes), "g", [one], [onnx.ValueInfoProto(name="y")])
    return onnx.helper.make_model(graph)


def test_an_inlined_graph_of_chance_of_control_flow_or_of_foreign_operators_is_refused():
    make = onnx.helper.make_node
    inner = onnx.helper.make_graph([make("Identity", ["x"], ["z"])], "inner", [], [onnx.ValueInfoProto(name="z")])
    for node, told in (
        (make("RandomNormalLike", ["x"], ["y"]), "RandomNormalLike"),
        (make("If", ["x"], ["y"], then_branch=inner, else_branch=inner), "control flow"),
        (make("Relu", ["x"], ["y"], domain="com.other"), "com.other:Relu"),
    ):
        with pytest.raises(ConversionError, match=told) as refusal:
            inline(Graph(["a", "b"], ["number", "number"]), foreign(node), ["numbers"], "net")
        assert refusal.value.hint
    graph = Graph(["a", "b"], ["number", "number"])
    (output,) = inline(graph, foreign(make("Relu", ["x"], ["y"])), ["numbers"], "net")
    model = ScoringSession(graph.model(output, 2, flat=False))
    assert model.score(np.array([[-1.0, 2.0]]), np.empty((1, 0), dtype=object)).tolist() == [[0, 2]]
