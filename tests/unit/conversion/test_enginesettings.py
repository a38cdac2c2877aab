import msgspec
import numpy as np
import onnxruntime
import pytest
from onnx import helper, load_from_string
from sklearn.linear_model import LogisticRegression

from seakeep.conversion import providers
from seakeep.conversion import session as door
from seakeep.conversion.emit.model import emit
from seakeep.conversion.engine import open_session
from seakeep.conversion.enginesettings import SETTINGS, EngineSettings, executed, settings_of
from seakeep.conversion.session import ScoringSession
from seakeep.errors import IntegrityError, PlatformError
from seakeep.records.feature import FeatureColumn
from seakeep.records.optimise import Recipe


@pytest.fixture(scope="module")
def model():
    numbers = np.random.default_rng(0).normal(size=(50, 2))
    fitted = LogisticRegression().fit(numbers, (numbers[:, 0] > 0).astype(int))
    return emit(fitted, [FeatureColumn(name=name, kind="number") for name in "ab"]).model


def options(session):
    found = session._session.get_session_options()
    return found.intra_op_num_threads, found.graph_optimization_level.name


def test_a_model_that_says_nothing_is_executed_by_one_thread_and_rewritten_fully(model):
    assert executed(model, EngineSettings()) == model
    assert options(ScoringSession(model)) == (1, "ORT_ENABLE_ALL")


def test_a_model_is_executed_as_it_says_wherever_it_is_loaded(model):
    changed = executed(model, EngineSettings(threads=2, level="basic"))
    assert changed == executed(model, EngineSettings(threads=2, level="basic")) != model
    session = ScoringSession(changed)
    assert options(session) == (2, "ORT_ENABLE_BASIC")
    numbers, none = np.array([[0.5, -1.0]]), np.empty((1, 0), dtype=object)
    assert session.score(numbers, none) == ScoringSession(model).score(numbers, none)


@pytest.mark.parametrize(
    "settings",
    [
        '{"level": "wild"}',
        '{"accelerator": "abacus"}',
        '{"most_rows": 0}',
        '{"threads": 0}',
        '{"threads": 1000000}',
        "{",
    ],
)
def test_settings_that_are_not_known_are_refused(model, settings):
    told = load_from_string(model)
    helper.set_model_props(told, {SETTINGS: settings})
    with pytest.raises(IntegrityError, match="what is not known") as caught:
        ScoringSession(told.SerializeToString())
    assert caught.value.hint


def test_a_recipe_of_another_maker_says_nothing_of_the_engine():
    assert settings_of(Recipe(by="engine", told="", settings={"threads": 2})) == EngineSettings(threads=2)
    assert settings_of(Recipe(by="trees", told="", settings={"trees": 2})) == EngineSettings()


ON_CUDA = EngineSettings(accelerator="cuda")
ON_TENSORRT = EngineSettings(accelerator="tensorrt", half=True, usual_rows=8, most_rows=16)


@pytest.mark.parametrize("settings", [ON_CUDA, ON_TENSORRT, EngineSettings(threads=2)])
def test_settings_come_back_from_a_recipe_and_from_the_model(model, settings):
    told = msgspec.to_builtins(settings)
    assert settings_of(Recipe(by="engine", told="", settings=told)) == settings
    recipe = msgspec.json.decode(msgspec.json.encode(Recipe(by="engine", told="", settings=told)), type=Recipe)
    assert settings_of(recipe) == settings
    about = {entry.key: entry.value for entry in load_from_string(executed(model, settings)).metadata_props}
    assert msgspec.json.decode(about[SETTINGS], type=EngineSettings) == settings
    assert executed(executed(model, EngineSettings(level="basic")), settings) == executed(model, settings)


@pytest.mark.parametrize(("settings", "kind"), [(ON_CUDA, "cuda"), (ON_TENSORRT, "tensorrt")])
def test_a_machine_without_the_accelerator_does_not_load_the_model(model, settings, kind, monkeypatch, tmp_path):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(
        PlatformError, match=f"{kind} is not usable here: the installed onnxruntime was built"
    ) as caught:
        open_session(executed(model, settings), engines=tmp_path / "engines")
    assert "onnxruntime-gpu" in caught.value.hint


class Machine:
    """A machine with a GPU, as far as the session can tell: what it is given is noted, and computed by the processor."""

    def __init__(self, monkeypatch, used=()):
        self.asked, self.calls, real = [], [], onnxruntime.InferenceSession
        machine = self

        class Session(real):
            def __init__(self, model, options, providers):
                machine.asked.append(providers)
                super().__init__(model, options, providers=["CPUExecutionProvider"])

            def get_providers(self):
                asked = [one if isinstance(one, str) else one[0] for one in machine.asked[-1]]
                return list(used) or asked

            def run(self, outputs, feeds):
                machine.calls.append(len(feeds["numbers"]))
                return super().run(outputs, feeds)

        gpu = providers.Gpu(name="NVIDIA L4", capability="8.9")
        monkeypatch.setattr(door.onnxruntime, "InferenceSession", Session)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providers.ENGINE_NAMES.values()))
        monkeypatch.setattr(providers, "find_gpu", lambda *_: gpu)
        monkeypatch.setattr(providers, "tensorrt_release", lambda *_: "10.9.0")


def test_a_model_is_computed_by_what_it_names(model, monkeypatch, tmp_path):
    machine = Machine(monkeypatch)
    session = ScoringSession(executed(model, ON_CUDA), tmp_path)
    assert machine.asked[-1] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert session.device == "CUDA, NVIDIA L4, compute capability 8.9"
    assert ScoringSession(model, tmp_path).device == ""
    assert list(tmp_path.iterdir()) == []


def test_tensorrt_is_told_the_shapes_and_where_to_keep_its_engine_and_gets_no_larger_batch(
    model, monkeypatch, tmp_path
):
    machine, changed = Machine(monkeypatch), executed(model, ON_TENSORRT)
    session = ScoringSession(changed, tmp_path)
    name, options = machine.asked[-1][0]
    assert (name, session.device) == ("TensorrtExecutionProvider", "TensorRT 10.9.0, NVIDIA L4, compute capability 8.9")
    assert options["trt_profile_max_shapes"] == "numbers:16x2"
    assert options["trt_fp16_enable"] is True
    (folder,) = tmp_path.iterdir()
    assert options["trt_engine_cache_path"] == str(folder)
    ScoringSession(changed, tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
    numbers, none = np.random.default_rng(1).normal(size=(40, 2)), np.empty((40, 0), dtype=object)
    assert np.array_equal(session.score(numbers, none), ScoringSession(model).score(numbers, none))
    assert machine.calls == [16, 16, 8, 40]


def test_an_engine_that_falls_back_in_silence_loads_no_model(model, monkeypatch):
    Machine(monkeypatch, used=["CPUExecutionProvider"])
    with pytest.raises(PlatformError, match="in place of CUDAExecutionProvider"):
        ScoringSession(executed(model, ON_CUDA))
