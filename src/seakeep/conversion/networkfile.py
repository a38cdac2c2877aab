"""Networks that come as files: a program of ``torch.export``, a Keras archive, or weights for a given module.

Reading them runs their libraries on foreign bytes: do it in the converter's cage.
"""

from __future__ import annotations

import copy
import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seakeep.conversion.networkaudit import audit_keras, audit_pt2
from seakeep.errors import ConversionError, TrainingError

if TYPE_CHECKING:
    from seakeep.training.network import Gives, Network

FORMATS = {
    "pt2": "a program of torch.export (.pt2)",
    "keras": "a Keras archive (.keras)",
    "safetensors": "weights as safetensors",
}
_LONGEST_HEADER = 100_000_000
"""Bytes, by the format's own limit."""


def network_format(content: bytes) -> str:
    """Which of :data:`FORMATS` these bytes are in, by their content; ``""``: none of them.

    References
    ----------
    ``archive_format`` of torch's PT2 archive specification; ``config.json`` and ``model.weights.h5`` of Keras 3;
    eight bytes of length before a JSON header, of safetensors.
    """
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
            return ""
        if {"config.json", "metadata.json", "model.weights.h5"} <= set(names):
            return "keras"
        return "pt2" if any(name.endswith("/archive_format") for name in names) else ""
    length = int.from_bytes(content[:8], "little")
    fits = 2 <= length <= min(len(content) - 8, _LONGEST_HEADER)
    return "safetensors" if fits and content[8:9] == b"{" and content[7 + length : 8 + length] in {b"}", b" "} else ""


def read_network(
    form: str, content: bytes, *, gives: Gives, inputs: int = 0, module: Any = None, code: bool = False
) -> Network:
    """The network in a file, as an estimator.

    Parameters
    ----------
    form
        One of :data:`FORMATS`, as :func:`network_format` tells it.
    gives
        What its output is; no file says so.
    module, inputs
        For safetensors, the ``torch.nn.Module`` that the weights are of, which stays as it is, and how many numbers a row
        has.
    code
        Whether a Keras archive may run the code in it.

    Raises
    ------
    ConversionError
        Its library is not installed, it is damaged, has parts that are not allowed, or is no network that a
        :class:`~seakeep.training.network.Network` takes.
    """
    try:
        if form == "safetensors":
            return _weights(content, gives, module, inputs)
        return _pt2(content, gives) if form == "pt2" else _keras(content, gives, code=code)
    except (ConversionError, ImportError):
        raise
    except TrainingError as error:
        raise ConversionError(error.message, hint=error.hint) from error
    except Exception as error:  # damaged files raise what they like
        told = (str(error).strip().splitlines() or [""])[0][:500]
        raise ConversionError(
            f"{FORMATS[form]} cannot be read: {type(error).__name__}: {told}",
            hint="save it again",
        ) from error


def _pt2(content: bytes, gives: Gives) -> Network:
    from seakeep.training.network import from_pt2, of_program

    audit_pt2(content)
    return of_program(from_pt2(content), gives=gives)


def _keras(content: bytes, gives: Gives, *, code: bool) -> Network:
    import keras

    from seakeep.training.network import Network

    audit_keras(content)
    with tempfile.TemporaryDirectory(prefix="seakeep-keras-") as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        model = keras.saving.load_model(path, compile=False, safe_mode=not code)
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None:
        raise ConversionError(
            f"the Keras model takes {shape}, not one tensor (None, inputs)",
            hint="let it take all numbers of a row as one Input((inputs,))",
        )
    return Network(model, gives=gives, inputs=int(shape[1]))


def _weights(content: bytes, gives: Gives, module: Any, inputs: int) -> Network:
    import torch
    from safetensors.torch import load

    from seakeep.training.network import Network

    if not isinstance(module, torch.nn.Module):
        raise ConversionError(
            f"weights alone are no network, and {type(module).__name__} is no torch.nn.Module",
            hint="give the module that they are of",
        )
    filled = copy.deepcopy(module)
    missing, unexpected = filled.load_state_dict(load(content), strict=False)
    if missing or unexpected:
        raise ConversionError(
            f"the weights are not of {type(module).__name__}: without {', '.join(sorted(missing)) or 'nothing'}, "
            f"beside it {', '.join(sorted(unexpected)) or 'nothing'}",
            hint="give the module as it was built in training",
        )
    return Network(filled, gives=gives, inputs=inputs)
