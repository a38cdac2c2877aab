"""What is said to be usable is what the machine has; here it is told what machines have."""

import itertools

import onnxruntime
import pytest

from seakeep.conversion import providers
from seakeep.conversion.providers import ENGINE_NAMES, Accelerator, Gpu, engine_key, require_used, session_providers
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
    assert session_providers(Accelerator(), tmp_path, inputs=INPUTS, library=BARE) == [ENGINE_NAMES["cpu"]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["cuda", "tensorrt"])
def test_what_is_not_usable_is_refused_and_not_replaced(kind, tmp_path):
    with pytest.raises(PlatformError, match=f"{kind} is not usable here: ") as refusal:
        session_providers(Accelerator(kind=kind), tmp_path, inputs=INPUTS, library=BARE)
    assert refusal.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_engine_is_built_for_a_range_of_batches_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    wanted = Accelerator(kind="tensorrt", half=True, usual_rows=8, most_rows=32)
    (name, options), *rest = session_providers(wanted, tmp_path, inputs={"numbers": 15, "more": 2}, library=WHOLE)
    assert [name, *rest] == ALL
    assert options["trt_profile_min_shapes"] == "numbers:1x15,more:1x2"
    assert options["trt_profile_opt_shapes"] == "numbers:8x15,more:8x2"
    assert options["trt_profile_max_shapes"] == "numbers:32x15,more:32x2"
    assert options["trt_fp16_enable"] is True
    (folder,) = tmp_path.iterdir()
    assert options["trt_engine_cache_path"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert session_providers(Accelerator(kind="cuda"), tmp_path, inputs=INPUTS, library=WHOLE) == ALL[1:]


def test_an_engine_of_another_gpu_release_or_range_is_never_met():
    gpus = [Gpu(name="NVIDIA H100", capability="9.0"), Gpu(name="NVIDIA L4", capability="8.9")]
    wanted = [
        Accelerator(kind="tensorrt"),
        Accelerator(kind="tensorrt", half=True),
        Accelerator(kind="tensorrt", most_rows=8),
    ]
    keys = {engine_key(*one) for one in itertools.product(wanted, gpus, ["10.9.0", "10.9.1"])}
    assert len(keys) == 12


def test_an_engine_that_falls_back_in_silence_is_found_out():
    require_used(Accelerator(), [ENGINE_NAMES["cpu"]])
    with pytest.raises(PlatformError, match="in place of CUDAExecutionProvider"):
        require_used(Accelerator(kind="cuda"), [ENGINE_NAMES["cpu"]])
    with pytest.raises(PlatformError, match="nothing in place"):
        require_used(Accelerator(), [])


def test_a_library_without_the_function_is_none():
    assert providers.tensorrt_release(machine(libnvinfer=object())) == ""
    assert providers.find_gpu(machine(libcuda=type("Broken", (Driver,), {"cuInit": lambda *_: 100})())) is None
