"""Networks that come as files: what is said beside them, what they are taken for, and what they may not hold."""

import io
import json
import zipfile

import numpy as np
import pytest

from seakeep.conversion.formats import registry
from seakeep.conversion.modelfile import read_model_file
from seakeep.conversion.networkaudit import audit_keras, audit_pt2, keras_runs_code
from seakeep.conversion.reading import Reading
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn
from seakeep.training.network import exported, to_pt2

torch = pytest.importorskip("torch", reason="needs the extra `torch`")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' own

COLUMNS = tuple(FeatureColumn(name=name, kind="number") for name in ("a", "b", "c"))
ROWS = Rows(np.random.default_rng(0).normal(size=(40, 3)), np.empty((40, 0), dtype=object))


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    return to_pt2(exported(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)), 3))


@pytest.fixture
def keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return pytest.importorskip("keras", reason="needs the extra `keras`")


def saved(keras, path, *layers):
    """A Keras archive of three inputs, layers, and a sigmoid."""
    rows = keras.Input((3,))
    inner = rows
    for layer in layers:
        inner = layer(inner)
    keras.Model(rows, keras.layers.Dense(1, "sigmoid")(inner)).save(path)
    return path.read_bytes()


def changed(content, name, change):
    """An archive in which one part, of this ending, is another: None takes it away."""
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as read, zipfile.ZipFile(into, "w") as written:
        for one in read.namelist():
            part = change(read.read(one)) if one.endswith(name) else read.read(one)
            if part is not None:
                written.writestr(one, part)
    return into.getvalue()


def beside(content, name, part):
    into = io.BytesIO(content)
    with zipfile.ZipFile(into, "a") as archive:
        archive.writestr(name, part)
    return into.getvalue()


def taken(path, reading):
    file = read_model_file(path, reading)
    made = registry.take(file.format.name, file.content, COLUMNS, reading)
    served = ScoringSession(made.emission.model).score(ROWS.numbers, ROWS.categories)
    trained = made.trained(ROWS.numbers, ROWS.categories)
    assert np.abs(served - trained).max() <= made.emission.tolerance
    assert np.ptp(served) > 0
    return file.format.name, made


class TestTaken:
    @pytest.mark.slow
    def test_a_program_needs_to_be_told_what_it_gives(self, tmp_path, program):
        (tmp_path / "net.pt2").write_bytes(program)
        with pytest.raises(ConversionError, match="does not say what a network gives") as told:
            read_model_file(tmp_path / "net.pt2")
        assert "--gives logits" in told.value.hint
        name, made = taken(tmp_path / "net.pt2", Reading(gives="logits"))
        assert (name, made.emission.outputs.kind) == ("pt2", "probability")
        assert "in this order, is not checked" in made.notes[0]
        with pytest.raises(ConversionError, match="fitted on 3 inputs; the model's are 2"):
            registry.take("pt2", program, COLUMNS[:2], Reading(gives="logits"))

    @pytest.mark.slow
    def test_a_keras_archive_is_taken_and_one_with_code_only_if_it_is_trusted(self, keras, tmp_path):
        saved(keras, tmp_path / "plain.keras", keras.layers.Dense(4, "relu"))
        said = Reading(gives="probabilities")
        assert taken(tmp_path / "plain.keras", said)[0] == "keras"
        saved(keras, tmp_path / "code.keras", keras.layers.Lambda(lambda x: x * 2))
        with pytest.raises(ConversionError, match="a Keras archive with code in it, which runs whatever") as told:
            read_model_file(tmp_path / "code.keras", said)
        assert "--trust-pickle" in told.value.hint
        name, made = taken(tmp_path / "code.keras", Reading(gives="probabilities", trust_pickle=True))
        assert name == "keras-code"
        registry.take("onnx", made.emission.model, COLUMNS)  # as the process does that checks it again

    def test_weights_need_to_be_told_whose_they_are(self, tmp_path):
        safetensors = pytest.importorskip("safetensors.torch", reason="needs the extra `torch`")
        path = tmp_path / "net.safetensors"
        torch.manual_seed(0)
        path.write_bytes(safetensors.save(torch.nn.Linear(3, 1).state_dict()))
        with pytest.raises(ConversionError, match="does not say which network weights are of") as told:
            read_model_file(path, Reading(gives="logits"))
        assert "--network module:name" in told.value.hint

    def test_a_network_that_is_not_there_is_told(self):
        with pytest.raises(ConversionError, match="json:large of the project gives no network: AttributeError") as told:
            registry.take("safetensors", b"", COLUMNS, Reading(gives="logits", network="json:large"))
        assert "takes no arguments" in told.value.hint

    def test_what_other_files_say_themselves_is_not_said_again(self, tmp_path):
        (tmp_path / "m.cbm").write_bytes(b"CBM1")
        with pytest.raises(
            ConversionError, match=r"--gives says what a network gives, but m\.cbm is a CatBoost"
        ) as told:
            read_model_file(tmp_path / "m.cbm", Reading(gives="values"))
        assert told.value.hint == "leave out --gives"


def test_a_saved_model_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ConversionError, match="model is a SavedModel") as told:
        read_model_file(tmp_path / "model", Reading(gives="logits"))
    assert "model.save('model.keras')" in told.value.hint


def test_layers_that_need_tensorflow_and_code_elsewhere_are_refused_by_name(keras, tmp_path):
    content = saved(keras, tmp_path / "m.keras", keras.layers.Dense(4, name="here"))

    def other(**changes):
        def change(part):
            tree = json.loads(part)
            dense = next(one for one in tree["config"]["layers"] if one["name"] == "here")
            dense.update(changes)
            return json.dumps(tree)

        return changed(content, "config.json", change)

    with pytest.raises(ConversionError, match="has the layer StringLookup, which is of TensorFlow alone") as told:
        audit_keras(other(class_name="StringLookup"))
    assert "scikit-learn step" in told.value.hint
    for module, kind in (("shop.nets", "Gate"), (None, "Gate"), ("keras.utils", "get_file"), ("os", "system")):
        with pytest.raises(ConversionError, match=rf"is made of \S*{kind}, which is not of Keras' own"):
            audit_keras(other(module=module, class_name=kind, registered_name=None))
    with pytest.raises(ConversionError, match="which is not of Keras' own"):
        audit_keras(other(module="builtins", class_name="function", config="square"))
    assert keras_runs_code(other(class_name="Lambda"))
    assert not keras_runs_code(content)


def test_weights_in_other_files_are_not_followed(keras, tmp_path):
    h5py = pytest.importorskip("h5py")
    content = saved(keras, tmp_path / "m.keras")

    def linked(part):
        file = io.BytesIO(part)
        with h5py.File(file, "a") as weights:
            weights["stolen"] = h5py.ExternalLink("/etc/passwd", "/")
        return file.getvalue()

    def outside(part):
        file = io.BytesIO(part)
        with h5py.File(file, "a") as weights:
            weights.create_dataset("stolen", (8,), "u1", external=[("/etc/passwd", 0, 8)])
        return file.getvalue()

    for change in (linked, outside):
        with pytest.raises(ConversionError, match="weights stolen lie in another place"):
            audit_keras(changed(content, ".h5", change))
    audit_keras(content)


class TestPrograms:
    """Of ``torch.export``, whose reader runs code in five ways."""

    @pytest.mark.parametrize(
        ("ending", "old", "new", "message"),
        [
            ("weights_config.json", b'"use_pickle": false', b'"use_pickle": true', "holds pickled parts"),
            ("weights_config.json", b'"use_pickle": false', b'"use_pickle": 1', "holds pickled parts"),
            ("model.json", b"torch.ops.aten.relu.default", b"torch.hub.os.system", "the operator torch.hub.os.system"),
            ("model.json", b"torch.ops.aten.relu.default", b"torch.ops.load_library", "the operator torch.ops.load"),
            ("model.json", b"torch.ops.aten.relu.default", b"#ext.relu", "the operator #ext"),
            ("model.json", b"Symbol('", b"__import__('os').system('", "the size .*__import__"),
            ("model.json", b"Symbol('", b"Symbol.mro('", "the size .*Symbol.mro"),
            ("model.json", b'"guards_code": []', b'"guards_code": ["1"]', "holds code that guards"),
        ],
    )
    def test_what_would_run_is_refused(self, program, ending, old, new, message):
        def change(part):
            assert old in part
            return part.replace(old, new)

        with pytest.raises(ConversionError, match=message) as told:
            audit_pt2(changed(program, ending, change))
        assert told.value.hint

    @pytest.mark.parametrize(
        "name",
        [
            "data/constants/custom_obj_0",
            "data/constants/opaque_obj_0",
            "data/constants/model.pt",
            "data/weights/model.pt",
            "data/aotinductor/model/model.so",
            "serialized_state_dict.pt",
        ],
    )
    def test_parts_that_a_program_needs_not_are_refused(self, program, name):
        with pytest.raises(ConversionError, match=f"holds the part archive/{name}, which may be code"):
            audit_pt2(beside(program, f"archive/{name}", b"\x80\x05."))

    def test_an_honest_one_passes(self, program):
        audit_pt2(program)
