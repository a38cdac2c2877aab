"""An ONNX model from elsewhere is taken only if it stays within itself and is of the served form."""

import contextlib
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seakeep.conversion.emit.model import emit
from seakeep.conversion.formats import registry
from seakeep.conversion.native import frame_of
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

COLUMNS = tuple(FeatureColumn(name=name, kind="number") for name in "ab")


def model(change=lambda made: None, *, outputs="{}"):
    """The mean of two numbers."""
    numbers = helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, [None, 2])
    score = helper.make_tensor_value_info("score", TensorProto.DOUBLE, [None])
    node = helper.make_node("ReduceMean", ["numbers", "axes"], ["score"], keepdims=0)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph([node], "mean", [numbers], [score], [axes])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    made.metadata_props.add(key="seakeep.outputs", value=outputs)
    change(made)
    return made.SerializeToString()


def test_one_of_the_served_form_is_taken_as_it_is_and_its_steadiness_proved():
    content = model()
    assert registry.format_of(content, "m").name == "onnx"
    taken = registry.take("onnx", content, COLUMNS)
    assert taken.emission.model == content
    rows = Rows(np.random.default_rng(0).random((50, 2)), np.empty((50, 0), dtype=object))
    proof = prove(taken.trained, taken.emission, rows, threshold=0.5, artefact_sha256="0" * 64)
    assert proof.passed
    assert (proof.max_difference, proof.tolerance, proof.mutants, proof.batch_mismatches) == (0, 0, 0, 0)
    assert "against itself" in registry.FORMATS["onnx"].caveat
    number = registry.take("onnx", model(outputs='{"kind":"value"}'), COLUMNS)
    assert number.emission.outputs.kind == "value"


def rename(made):
    made.graph.input[0].name = made.graph.node[0].input[0] = "X"


def narrow(made):
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def widen(made):
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def foreign(made):
    made.graph.node[0].domain = "com.example"


def endless(made):
    made.graph.node.add(op_type="Loop")


def nested(made):
    made.graph.node[0].attribute.add(name="body").g.CopyFrom(onnx.GraphProto())


def outside(made):
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def constant(made):
    made.graph.node[0].attribute.add(name="value").t.external_data.add(key="location", value="/etc/passwd")


def newer(made):
    made.opset_import[0].version = 99


def function(made):
    made.functions.add(name="f")


def sparse(made):
    made.graph.sparse_initializer.add()


def random(made):
    made.graph.node.add(op_type="RandomUniform")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, r"inputs \['X'\]"),
        (narrow, "takes 2 numbers; the definition has 2, as float64"),
        (widen, "takes 3 numbers; the definition has 2"),
        (foreign, r"operator com\.example\.ReduceMean"),
        (endless, "operator Loop"),
        (random, "operator RandomUniform"),
        (nested, "a graph inside ReduceMean"),
        (outside, "keeps axes in another file"),
        (constant, "keeps a constant of ReduceMean in another file"),
        (newer, r"operators of ai\.onnx 99"),
        (function, "functions"),
        (sparse, "sparse weights"),
    ],
)
def test_what_reaches_beyond_or_asks_for_something_else_is_refused(change, message):
    with pytest.raises(ConversionError, match=message) as told:
        registry.take("onnx", model(change), COLUMNS)
    assert told.value.hint.startswith("give one that takes numbers (float64, n x 2)")


TEXTS = (*COLUMNS, FeatureColumn(name="text", kind="category"))


@pytest.fixture(scope="module")
def of_texts():
    """A model that counts words."""
    texts = np.array([["late again"], ["on time"], ["never came, late"]] * 20, dtype=object)
    rows = Rows(np.random.default_rng(0).random((60, 2)), texts)
    counts = ColumnTransformer([("text", CountVectorizer(), "text")])
    fitted = make_pipeline(counts, LogisticRegression()).fit(
        frame_of(rows, TEXTS).to_pandas(), (texts[:, 0] != "on time").astype(int)
    )
    return emit(fitted, TEXTS).model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"pattern": r"(\w+)+$"}, "not known to take time by their length"),
        ({"column": 9}, "splits category 9"),
        ({"longest": 99}, "terms of 1 to 99 units"),
        ({"units": "pages"}, "does not say how its texts are split"),
    ],
)
def test_a_model_of_texts_is_taken_unless_to_split_them_may_never_end(of_texts, change, message):
    made = onnx.load_from_string(of_texts)
    (about,) = [one for one in made.metadata_props if one.key == "seakeep.texts"]
    told = json.loads(about.value)
    told["analyses"][0] |= change
    about.value = json.dumps(told)
    refused = pytest.raises(ConversionError, match=message) if message else contextlib.nullcontext()
    with refused:
        assert registry.take("onnx", made.SerializeToString(), TEXTS).emission.outputs.kind == "probability"


def test_damage_that_a_protocol_buffer_does_not_show_is_told():
    broken = model(lambda made: made.graph.node[0].input.__setitem__(0, "nowhere"))
    with pytest.raises(ConversionError, match="an ONNX model cannot be loaded") as told:
        registry.take("onnx", broken, COLUMNS)
    assert told.value.hint
