"""What can compute a model beside the processor: the engine's providers for NVIDIA's GPUs, and how they are asked.

A provider is used only where it is wholly there: the engine falls back to the processor without a word, and then a version
would be slower than it was measured, with other last bits than it was proved with. TensorRT builds an engine for one kind
of GPU, one release of its own and one range of batches; what it built is kept by exactly these.

References
----------
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html and CUDA-ExecutionProvider.html;
the CUDA driver API, https://docs.nvidia.com/cuda/cuda-driver-api/; ``getInferLibVersion`` of NvInferRuntime.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import onnxruntime

from seakeep.conversion.enginesettings import EngineSettings, Kind
from seakeep.errors import PlatformError

ENGINE_NAMES: dict[Kind, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_WANTS = "pip install onnxruntime-gpu in place of onnxruntime, on a machine with an NVIDIA GPU"
_DRIVER, _TENSORRT = "libcuda.so.1", ("libnvinfer.so.10", "libnvinfer.so.11")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR

Open = Callable[[str], Any]
"""Opens a shared library; raises OSError if it is not there."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The first GPU of this machine: its name and its compute capability, as in ``9.0``."""

    name: str
    capability: str


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Whether models can be computed so here.

    Attributes
    ----------
    told
        What is there, or what is missing.
    hint
        What to do if it is missing.
    """

    kind: Kind
    usable: bool
    told: str
    hint: str = ""


def providers(available: Sequence[str] | None = None, *, library: Open = ctypes.CDLL) -> list[Provider]:
    """What is usable here, and why not.

    Parameters
    ----------
    available
        The engine's providers; by default those of the installed one.
    library
        Opens a shared library.
    """
    names = onnxruntime.get_available_providers() if available is None else list(available)
    gpu, release = find_gpu(library), tensorrt_release(library)
    found = [Provider(kind="cpu", usable=True, told=f"onnxruntime {onnxruntime.__version__}")]
    cuda = _missing("cuda", names, gpu)
    found.append(cuda or Provider(kind="cuda", usable=True, told=_described(gpu)))
    told = _missing("tensorrt", names, gpu)
    if told is None and not release:
        hint = "install TensorRT's libraries: pip install tensorrt"
        told = Provider(kind="tensorrt", usable=False, told=f"{_TENSORRT[0]} cannot be loaded", hint=hint)
    found.append(told or Provider(kind="tensorrt", usable=True, told=f"TensorRT {release}, {_described(gpu)}"))
    return found


def session_providers(
    wanted: EngineSettings, folder: Path | None, *, inputs: Mapping[str, int], library: Open = ctypes.CDLL
) -> list[Any]:
    """What the engine is given as ``providers``, with options.

    Parameters
    ----------
    folder
        Where TensorRT keeps what it builds of this very model; None: it keeps nothing.
    inputs
        Columns of the model's inputs of numbers, by name: their rows vary from 1 to the most.
    library
        Opens a shared library.

    Raises
    ------
    PlatformError
        It is not usable here.
    """
    if wanted.accelerator == "cpu":
        return [ENGINE_NAMES["cpu"]]
    found = next(one for one in providers(library=library) if one.kind == wanted.accelerator)
    if not found.usable:
        raise PlatformError(f"{wanted.accelerator} is not usable here: {found.told}", hint=found.hint)
    rest: list[Any] = [ENGINE_NAMES["cuda"], ENGINE_NAMES["cpu"]]
    if wanted.accelerator == "cuda":
        return rest
    return [(ENGINE_NAMES["tensorrt"], _tensorrt_options(wanted, folder, inputs)), *rest]


def require_used(wanted: EngineSettings, used: Sequence[str]) -> None:
    """Raise :class:`PlatformError` if a session does not compute as it was asked to: the engine says nothing itself."""
    if not used or used[0] != ENGINE_NAMES[wanted.accelerator]:
        message = (
            f"the engine computes by {', '.join(used) or 'nothing'} in place of {ENGINE_NAMES[wanted.accelerator]}"
        )
        raise PlatformError(message, hint="see `seakeep doctor`")


def device(wanted: EngineSettings, *, library: Open = ctypes.CDLL) -> str:
    """What computes beside the processor, in words: last bits are promised on the same alone; ``""``: nothing."""
    if wanted.accelerator == "cpu":
        return ""
    release = f"TensorRT {tensorrt_release(library)}" if wanted.accelerator == "tensorrt" else "CUDA"
    return f"{release}, {_described(find_gpu(library))}"


@contextlib.contextmanager
def engine_folder(
    wanted: EngineSettings, cache: Path | None, model: bytes, *, library: Open = ctypes.CDLL
) -> Iterator[Path | None]:
    """The folder that TensorRT keeps its engine of a model in, ours alone meanwhile: what one builds the others take.

    Another GPU, release, range of batches, precision or model never meets it. None: nothing is to be kept.
    """
    if cache is None or wanted.accelerator != "tensorrt":
        yield None
        return
    profile = (wanted.usual_rows, wanted.most_rows, wanted.half)
    about = (find_gpu(library), tensorrt_release(library), profile, hashlib.sha256(model).hexdigest())
    folder = cache / hashlib.sha256(msgspec.json.encode(about)).hexdigest()[:32]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def find_gpu(library: Open = ctypes.CDLL) -> Gpu | None:
    """The first GPU, by the driver; None if there is no driver or no GPU."""
    try:
        driver = library(_DRIVER)
    except OSError:
        return None
    count, device = ctypes.c_int(), ctypes.c_int()
    name, major, minor = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, len(name), device):
        return None
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    return Gpu(name=name.value.decode(errors="replace"), capability=f"{major.value}.{minor.value}")


def tensorrt_release(library: Open = ctypes.CDLL) -> str:
    """TensorRT's release, as in ``10.9.0``; ``""`` if it is not there."""
    for name in _TENSORRT:
        try:
            number = int(library(name).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    return ""


def _missing(kind: Kind, names: Sequence[str], gpu: Gpu | None) -> Provider | None:
    if ENGINE_NAMES[kind] not in names:
        return Provider(kind=kind, usable=False, told="the installed onnxruntime was built without it", hint=_WANTS)
    if gpu is None:
        return Provider(kind=kind, usable=False, told="there is no NVIDIA GPU, or no driver for it", hint=_WANTS)
    return None


def _described(gpu: Gpu | None) -> str:
    return f"{gpu.name}, compute capability {gpu.capability}" if gpu else ""


def _tensorrt_options(wanted: EngineSettings, folder: Path | None, inputs: Mapping[str, int]) -> dict[str, Any]:
    def shapes(rows: int) -> str:
        return ",".join(f"{name}:{rows}x{columns}" for name, columns in inputs.items())

    kept = {"trt_engine_cache_path": str(folder), "trt_timing_cache_path": str(folder)} if folder else {}
    return kept | {
        "trt_engine_cache_enable": folder is not None,
        "trt_timing_cache_enable": folder is not None,
        "trt_fp16_enable": wanted.half,
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(min(wanted.usual_rows, wanted.most_rows)),
        "trt_profile_max_shapes": shapes(wanted.most_rows),
    }
