"""Frames as files of plain arrays, so that another process can read the rows a model was judged on."""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.errors import IntegrityError
from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_frame(path: Path, frame: Frame) -> None:
    """Write a frame as ``.npz``: texts as UTF-8 bytes with their lengths, so that any text survives and no code can."""
    arrays: dict[str, NDArray[Any]] = {
        "columns": np.frombuffer(msgspec.json.encode(frame.columns), dtype=np.uint8),
        "time_us": frame.time_us,
        "label": frame.label,
        "label_known_us": frame.label_known_us,
    }
    _put(arrays, "key", frame.key)
    for position, column in enumerate(frame.columns):
        _put(arrays, f"c{position}", frame.values[column.name])
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_frame(path: Path) -> Frame:
    """Read what :func:`write_frame` wrote.

    Raises
    ------
    IntegrityError
        The file is not such a frame.
    """
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        columns = msgspec.json.decode(arrays["columns"].tobytes(), type=tuple[FeatureColumn, ...])
        return Frame(
            columns=columns,
            values={column.name: _get(arrays, f"c{position}") for position, column in enumerate(columns)},
            key=_get(arrays, "key"),
            time_us=arrays["time_us"],
            label=arrays["label"],
            label_known_us=arrays["label_known_us"],
        )
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path} is not a whole frame: {error}", hint="train again") from error


def _put(arrays: dict[str, NDArray[Any]], name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind != "O":
        arrays[name] = values
        return
    encoded = [value.encode("utf-8", "surrogatepass") for value in values.tolist()]
    arrays[f"{name}.text"] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    arrays[f"{name}.lengths"] = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))


def _get(arrays: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name in arrays:
        return arrays[name]
    text = arrays[f"{name}.text"].tobytes()
    ends = [0, *np.cumsum(arrays[f"{name}.lengths"]).tolist()]
    values = np.empty(len(ends) - 1, dtype=object)
    values[:] = [text[start:end].decode("utf-8", "surrogatepass") for start, end in itertools.pairwise(ends)]
    return values
