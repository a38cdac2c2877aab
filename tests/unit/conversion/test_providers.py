"""What is said to be usable is what the machine has; here it is told what machines have."""

import fcntl
import itertools

import onnxruntime
import pytest

from seakeep.conversion import providers
from seakeep.conversion.enginesettings import EngineSettings
from seakeep.conversion.providers import ENGINE_NAMES, Gpu, engine_folder, require_used, session_providers
from seakeep.errors import PlatformError

ALL = [ENGINE_NAMES[kind] for kind in ("tensorrt", "cuda", "cpu")]
INPUTS = {"numbers": 15}


class Driver:
    """What is used of libcuda, for a machine with one GPU."""

    def __init__(self, *, gpus=1, name=b"NVIDIA H100", capability=(9, 0)):
        self.gpus, self.name, self.capability = gpus, name, capability

    def cuInit(self, flags):  # noqa: N802 -- the driver's name
        return 0

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = self.gpus
        return 0

    def cuDeviceGet(self, device, ordinal):  # noqa: N802
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name, size, device):  # noqa: N802
        name.value = self.name
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):  # noqa: N802
        value._obj.value = self.capability[attribute - 75]
        return 0


class TensorRt:
    def getInferLibVersion(self):  # noqa: N802
        return 100_903


def machine(**libraries):
    """Opens the libraries of a machine."""

    def library(name):
        found = libraries.get(name.partition(".")[0])
        if found is None:
            raise OSError(f"{name}: cannot open shared object file")
        return found

    return library


BARE = machine()
GPU = machine(libcuda=Driver())
WHOLE = machine(libcuda=Driver(), libnvinfer=TensorRt())


def usable(available, library):
    return {one.kind: one.usable for one in providers.providers(available, library=library)}


@pytest.mark.parametrize(
    ("available", "library", "expected"),
    [
        (ALL[2:], WHOLE, (True, False, False)),
        (ALL, BARE, (True, False, False)),
        (ALL, machine(libcuda=Driver(gpus=0)), (True, False, False)),
        (ALL, GPU, (True, True, False)),
        (ALL, WHOLE, (True, True, True)),
        (ALL[1:], WHOLE, (True, True, False)),
    ],
    ids=["an engine for processors", "no driver", "no GPU", "no TensorRT", "everything", "an engine without TensorRT"],
)
def test_what_is_missing_is_told(available, library, expected):
    assert tuple(usable(available, library).values()) == expected
    for one in providers.providers(available, library=library):
        assert one.told
        assert one.usable or one.hint


def test_this_machine_is_told_of():
    found = providers.providers()
    assert found[0].told == f"onnxruntime {onnxruntime.__version__}"
    assert [one.kind for one in found] == ["cpu", "cuda", "tensorrt"]
    assert providers.find_gpu(GPU) == Gpu(name="NVIDIA H100", capability="9.0")
    assert providers.tensorrt_release(WHOLE) == "10.9.3"


def test_the_processor_needs_nothing(tmp_path):
    assert session_providers(EngineSettings(), tmp_path, inputs=INPUTS, library=BARE) == [ENGINE_NAMES["cpu"]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["cuda", "tensorrt"])
def test_what_is_not_usable_is_refused_and_not_replaced(kind, tmp_path):
    with pytest.raises(PlatformError, match=f"{kind} is not usable here: ") as refusal:
        session_providers(EngineSettings(accelerator=kind), tmp_path, inputs=INPUTS, library=BARE)
    assert refusal.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_engine_is_built_for_a_range_of_batches_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    wanted = EngineSettings(accelerator="tensorrt", half=True, usual_rows=8, most_rows=32)
    (name, options), *rest = session_providers(wanted, tmp_path, inputs={"numbers": 15, "more": 2}, library=WHOLE)
    assert [name, *rest] == ALL
    assert options["trt_profile_min_shapes"] == "numbers:1x15,more:1x2"
    assert options["trt_profile_opt_shapes"] == "numbers:8x15,more:8x2"
    assert options["trt_profile_max_shapes"] == "numbers:32x15,more:32x2"
    assert options["trt_fp16_enable"] is True
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert session_providers(EngineSettings(accelerator="cuda"), None, inputs=INPUTS, library=WHOLE) == ALL[1:]
    (_, options), *_ = session_providers(wanted, None, inputs=INPUTS, library=WHOLE)
    assert options["trt_engine_cache_enable"] is False
    assert "trt_engine_cache_path" not in options


def test_the_usual_batch_is_within_the_largest(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    wanted = EngineSettings(accelerator="tensorrt", usual_rows=64, most_rows=16)
    (_, options), *_ = session_providers(wanted, None, inputs=INPUTS, library=WHOLE)
    assert options["trt_profile_opt_shapes"] == "numbers:16x15"


def folder_of(wanted, cache, model=b"model", *, gpu="NVIDIA H100", release=100_903):
    rt = type("Other", (), {"getInferLibVersion": lambda _: release})()
    library = machine(libcuda=Driver(name=gpu.encode()), libnvinfer=rt)
    with engine_folder(wanted, cache, model, library=library) as folder:
        return folder


def test_an_engine_of_another_gpu_release_range_precision_or_model_is_never_met(tmp_path):
    wanted = [
        EngineSettings(accelerator="tensorrt"),
        EngineSettings(accelerator="tensorrt", half=True),
        EngineSettings(accelerator="tensorrt", usual_rows=8),
        EngineSettings(accelerator="tensorrt", most_rows=128),
    ]
    every = list(itertools.product(wanted, [b"one", b"other"], ["NVIDIA H100", "NVIDIA L4"], [100_900, 100_901]))
    folders = {folder_of(w, tmp_path, m, gpu=gpu, release=release) for w, m, gpu, release in every}
    assert len(folders) == len(every) == 32
    assert {one.parent for one in folders} == {tmp_path}
    assert {one.stat().st_mode & 0o777 for one in folders} == {0o700}
    assert folder_of(wanted[0], tmp_path, b"one", release=100_900) in folders


def test_an_engine_is_built_by_one_process_at_a_time(tmp_path):
    wanted = EngineSettings(accelerator="tensorrt")
    with (
        engine_folder(wanted, tmp_path, b"model", library=WHOLE) as folder,
        (folder / "lock").open("wb") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (folder / "lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_nothing_is_kept_of_what_builds_nothing(kind, tmp_path):
    assert folder_of(EngineSettings(accelerator=kind), tmp_path) is None
    assert folder_of(EngineSettings(accelerator="tensorrt"), None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_told_of():
    assert providers.device(EngineSettings(), library=WHOLE) == ""
    assert (
        providers.device(EngineSettings(accelerator="cuda"), library=GPU) == "CUDA, NVIDIA H100, compute capability 9.0"
    )
    told = providers.device(EngineSettings(accelerator="tensorrt"), library=WHOLE)
    assert told == "TensorRT 10.9.3, NVIDIA H100, compute capability 9.0"


def test_an_engine_that_falls_back_in_silence_is_found_out():
    require_used(EngineSettings(), [ENGINE_NAMES["cpu"]])
    with pytest.raises(PlatformError, match="in place of CUDAExecutionProvider"):
        require_used(EngineSettings(accelerator="cuda"), [ENGINE_NAMES["cpu"]])
    with pytest.raises(PlatformError, match="nothing in place"):
        require_used(EngineSettings(), [])


def test_a_library_without_the_function_is_none():
    assert providers.tensorrt_release(machine(libnvinfer=object())) == ""
    assert providers.find_gpu(machine(libcuda=type("Broken", (Driver,), {"cuInit": lambda *_: 100})())) is None
