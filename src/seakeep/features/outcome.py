"""What became of it, as a number: 1 or 0, the number that came, or the code of the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import DataError
from seakeep.features.transform import evaluate
from seakeep.records.model import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray


def value_of(label: Label, table: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The label of each row, float64 ``(n,)`` with NaN for missing; and the rows that tell a class that is not declared.

    Of classes it is the code: the place in the label's names. An undeclared class has none, and is NaN here.
    """
    found = evaluate(label.value, table)
    if not label.outputs.of_classes:
        return found, np.empty(0, dtype=np.int64)
    codes = {name: float(code) for code, name in enumerate(label.outputs.names)}
    told = found.tolist()
    value = np.array([codes.get(one, np.nan) for one in told], dtype=np.float64)
    odd = [row for row, one in enumerate(told) if one and one not in codes]
    return value, np.array(odd, dtype=np.int64)


def declared(label: Label, table: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """As :func:`value_of`, where no row may tell another class.

    Raises
    ------
    DataError
        One does; the message names the first.
    """
    value, odd = value_of(label, table)
    if len(odd):
        row, source = int(odd[0]), label.source
        told = evaluate(label.value, table)[row]
        raise DataError(
            f"{len(odd):,} outcomes of {source.name!r} are of no declared class: row {row}, {source.key} "
            f"{str(table[source.key][row])!r}, is {told!r}",
            hint=f"declared are {', '.join(label.outputs.names)}; add it to sk.classes(...), or clean it in the loader",
        )
    return value
