"""Tables from anywhere, in one normal form: a mapping of equally long numpy columns.

=======  ==================  ==================================================
kind     dtype               missing
=======  ==================  ==================================================
float    float64             NaN (infinite values count as missing)
int      int64               cannot be; an int column with gaps becomes float
bool     bool                cannot be; a bool column with gaps becomes float
string   object of ``str``   ``""``
time     datetime64[us] UTC  NaT
=======  ==================  ==================================================

Times without a zone are taken as UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Table = dict[str, "NDArray[Any]"]

_READERS = {".csv": "from_csv_auto", ".parquet": "from_parquet"}
_TEXT_TYPES = ("VARCHAR", "ENUM", "UUID")


def as_table(source: object) -> Table:
    """Bring a table into the normal form.

    Parameters
    ----------
    source
        A mapping of columns, a pandas or polars data frame, an Arrow table (anything with ``__arrow_c_stream__``), a
        DuckDB relation, or the path of a ``.csv`` or ``.parquet`` file.

    Raises
    ------
    DataError
        The object is none of these, its columns differ in length, or a column mixes kinds.
    """
    if isinstance(source, (str, Path)):
        columns = _from_file(Path(source))
    elif isinstance(source, Mapping):
        columns = {str(name): _column(str(name), values) for name, values in source.items()}
    elif hasattr(source, "fetchnumpy"):
        columns = _from_relation(source)
    elif type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        columns = _from_pandas(source)
    elif hasattr(source, "__arrow_c_stream__"):
        columns = _from_arrow(source)
    else:
        raise DataError(
            f"a {type(source).__name__} is not a table",
            hint="give a mapping of arrays, a data frame, an Arrow table, a DuckDB relation or a .csv or .parquet path",
        )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns differ in length: {lengths}", hint="give every column one value a row")
    return columns


def _from_file(path: Path) -> Table:
    import duckdb

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is neither .csv nor .parquet", hint="save the table in one of these forms")
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint="check the path in the loader")
    with duckdb.connect() as connection:
        # DuckDB reads times with a zone in the session's zone; the normal form is UTC wherever this runs.
        connection.execute("set timezone = 'UTC'")
        try:
            return _from_relation(getattr(connection, reader)(str(path)))
        except duckdb.Error as error:
            raise DataError(f"cannot read {path}: {error}", hint="check that the file is whole") from error


def _from_arrow(source: object) -> Table:
    import duckdb

    with duckdb.connect() as connection:
        return _from_relation(connection.from_arrow(source))


def _from_relation(relation: Any) -> Table:
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    table: Table = {}
    for name, values in relation.fetchnumpy().items():
        if types[name].startswith(_TEXT_TYPES):
            table[name] = _strings(np.ma.filled(np.ma.asarray(values, dtype=object), ""))
        else:
            table[name] = _column(name, values)
    return table


def _from_pandas(frame: Any) -> Table:
    table: Table = {}
    for name in frame.columns:
        series = frame[name]
        if getattr(series.dtype, "tz", None) is not None:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        text = str(series.dtype) in {"str", "string", "category"}
        values = series.to_numpy(dtype=object) if text else series.to_numpy()
        # A column declared as text stays text even when every value is missing.
        empty = text and bool(series.isna().all())
        table[str(name)] = np.full(len(series), "", dtype=object) if empty else _column(str(name), values)
    return table


def _column(name: str, values: Any) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        return _masked(name, values)
    array = values if isinstance(values, np.ndarray) else np.asarray(_listed(name, values), dtype=object)
    if array.ndim != 1:
        raise DataError(f"column {name!r} has {array.ndim} dimensions", hint="give one value a row")
    normal = _NORMAL.get(array.dtype.kind)
    if normal is None:
        raise DataError(f"column {name!r} has dtype {array.dtype}", hint="use numbers, booleans, strings or times")
    return normal(name, array)


def _floats(_: str, array: NDArray[Any]) -> NDArray[np.float64]:
    values = array.astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _ints(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"column {name!r} holds whole numbers beyond 64 bits", hint="store them as strings")
    return array.astype(np.int64)


def _listed(name: str, values: Any) -> NDArray[np.object_]:
    try:
        items = list(values)
    except TypeError as error:
        raise DataError(f"column {name!r} is a {type(values).__name__}", hint="give an array or a list") from error
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _masked(name: str, values: Any) -> NDArray[Any]:
    if not np.ma.getmaskarray(values).any():
        return _column(name, values.data)
    if values.dtype.kind in "iufb":
        return _column(name, values.astype(np.float64).filled(np.nan))
    if values.dtype.kind == "M":
        return _column(name, values.filled(np.datetime64("NaT")))
    return _column(name, values.astype(object).filled(None))


def _strings(array: NDArray[Any]) -> NDArray[np.object_]:
    return np.array(["" if _is_missing(value) else str(value) for value in array.tolist()], dtype=object)


def _is_missing(value: object) -> bool:
    """True for None, NaN, NaT and pandas' NA."""
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or bool(value != value)  # noqa: PLR0124 -- NaN


def _objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    values = [None if _is_missing(value) else value for value in array.tolist()]
    present = {type(value) for value in values if value is not None}
    gaps = None in values
    if not present:
        return np.full(len(values), np.nan)
    if all(issubclass(one, str) for one in present):
        return np.array(["" if value is None else str(value) for value in values], dtype=object)
    if all(issubclass(one, (bool, np.bool_)) for one in present):
        return np.array(values, dtype=np.float64 if gaps else np.bool_)
    if all(issubclass(one, (int, np.integer, bool, np.bool_)) for one in present) and not gaps:
        return _column(name, np.array(values))
    if all(issubclass(one, (int, float, np.number, bool, np.bool_)) for one in present):
        return _column(name, np.array(values, dtype=np.float64))
    if all(issubclass(one, (dt.date, np.datetime64)) for one in present):
        return np.array([_moment(value) for value in values], dtype="datetime64[us]")
    kinds = ", ".join(sorted(one.__name__ for one in present))
    raise DataError(f"column {name!r} mixes or holds {kinds}", hint="use numbers, booleans, strings or times")


def _moment(value: Any) -> np.datetime64:
    if value is None:
        return np.datetime64("NaT", "us")
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


_NORMAL: dict[str, Callable[[str, NDArray[Any]], NDArray[Any]]] = {
    "f": _floats,
    "i": _ints,
    "u": _ints,
    "b": lambda _, array: array.copy(),
    "M": lambda _, array: array.astype("datetime64[us]"),
    "U": lambda _, array: _strings(array.astype(object)),
    "T": lambda _, array: _strings(array.astype(object)),
    "O": _objects,
}
