"""A fitted estimator as bytes: equal for equal estimators, so that a rerun can be compared byte by byte.

Bytes are only made here. They are read back in the converter process alone, after their digest and signature are
verified.
"""

from __future__ import annotations

import hashlib
import io
import pickle  # noqa: TID251 -- only written here; read in the converter process, which checks the digest first
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import SeakeepError, TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fixed, so that another Python does not change the bytes.
_PROTOCOL = 5


def to_bytes(estimator: object) -> bytes:
    """Serialise a fitted estimator.

    Raises
    ------
    TrainingError
        A part of it cannot be serialised, for example a lambda.
    """
    buffer = io.BytesIO()
    try:
        _CanonicalPickler(buffer, protocol=_PROTOCOL).dump(estimator)
    except SeakeepError:
        raise
    except Exception as error:  # the estimator's own classes raise what they like
        raise TrainingError(
            f"the fitted {type(estimator).__name__} cannot be stored: {type(error).__name__}: {error}",
            hint="build it from named functions and classes of installed packages; a lambda cannot be stored",
        ) from error
    return buffer.getvalue()


def digest(artefact: bytes) -> str:
    """SHA-256 of an artefact: its identity."""
    return hashlib.sha256(artefact).hexdigest()


class _CanonicalPickler(pickle.Pickler):
    """Writes nothing that the estimator does not mean.

    A structured array (a tree's nodes) has padding bytes between its fields, which hold whatever the memory held
    before: two equal forests would differ. Their padding is written as zeros.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray) and obj.dtype.names and type(obj) is np.ndarray:
            return _without_padding(obj).__reduce__()
        return NotImplemented


def _without_padding(array: NDArray[Any]) -> NDArray[Any]:
    clean = np.zeros(array.shape, dtype=array.dtype)
    for name in array.dtype.names or ():
        clean[name] = array[name]
    return clean
