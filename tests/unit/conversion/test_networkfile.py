"""Networks from files: told apart by content, read, or refused with the reason."""

import importlib
import io
import zipfile

import numpy as np
import pytest

from seakeep.conversion.networkfile import network_format, read_network
from seakeep.errors import ConversionError
from seakeep.training.network import Network, exported, to_pt2

torch = pytest.importorskip("torch", reason="needs the extra `torch`")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' own
ROWS = np.random.default_rng(0).normal(size=(9, 3))


@pytest.fixture
def keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    pytest.importorskip("keras", reason="needs the extra `keras`")
    return importlib.import_module("keras")


def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 1)


def saved(model, folder):
    model.save(folder / "model.keras")
    return (folder / "model.keras").read_bytes()


def archive(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "{}")
    return content.getvalue()


def expected():
    return Network(layer(), gives="logits", inputs=3).predict_proba(ROWS)


def test_a_program_is_known_by_its_content_and_answers_as_its_module():
    content = to_pt2(exported(layer(), 3))
    assert network_format(content) == "pt2"
    np.testing.assert_array_equal(read_network("pt2", content, gives="logits").predict_proba(ROWS), expected())


def test_weights_need_their_module():
    safetensors = pytest.importorskip("safetensors.torch", reason="needs the extra `torch`")
    content = safetensors.save(layer().state_dict())
    assert network_format(content) == "safetensors"
    other = layer()
    torch.nn.init.zeros_(other.weight)
    read = read_network("safetensors", content, gives="logits", inputs=3, module=other)
    np.testing.assert_array_equal(read.predict_proba(ROWS), expected())
    assert not other.weight.any()  # stays as it was
    with pytest.raises(ConversionError, match="weights alone are no network"):
        read_network("safetensors", content, gives="logits", inputs=3)
    other = torch.nn.Bilinear(3, 3, 1)
    with pytest.raises(ConversionError, match="cannot be read"):
        read_network("safetensors", content, gives="logits", inputs=3, module=other)
    other = torch.nn.Sequential(torch.nn.Linear(3, 1))
    with pytest.raises(ConversionError, match=r"without 0.bias, 0.weight, beside it bias, weight"):
        read_network("safetensors", content, gives="logits", inputs=3, module=other)


def test_a_keras_archive_is_read_without_the_code_that_it_may_carry(keras, tmp_path):
    rows = keras.Input((3,))
    content = saved(keras.Model(rows, keras.layers.Dense(2, "softmax")(rows)), tmp_path)
    assert network_format(content) == "keras"
    read = read_network("keras", content, gives="probabilities")
    model = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(read.predict_proba(ROWS), model.predict(ROWS, verbose=0), atol=1e-6)
    code = saved(keras.Model(rows, keras.layers.Lambda(lambda x: x * 2)(rows)), tmp_path)
    with pytest.raises(ConversionError, match=r"cannot be read.*Lambda|cannot be read.*lambda"):
        read_network("keras", code, gives="values")
    other = keras.Input((2,))
    two = saved(keras.Model([rows, other], keras.layers.Concatenate()([rows, other])), tmp_path)
    with pytest.raises(ConversionError, match="not one tensor") as refusal:
        read_network("keras", two, gives="values")
    assert "Input((inputs,))" in refusal.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"PK\x03\x04" + b"\0" * 50,
        archive("config.json"),
        archive("schema.json"),
        b"\x80\x05.",
        (1 << 40).to_bytes(8, "little") + b"{}",
        (20).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_other_bytes_are_no_network(content):
    assert network_format(content) == ""


def test_damaged_files_are_told_with_what_to_do(keras):
    whole = to_pt2(exported(layer(), 3))
    for form, content in (
        ("pt2", whole[: len(whole) // 2]),
        ("pt2", archive("archive/archive_format")),
        ("keras", archive("config.json", "metadata.json", "model.weights.h5")),
        ("safetensors", b"\x02" + b"\0" * 7 + b"{"),
    ):
        with pytest.raises(ConversionError, match="cannot be read") as refusal:
            read_network(form, content, gives="logits", inputs=3, module=layer())
        assert refusal.value.hint
