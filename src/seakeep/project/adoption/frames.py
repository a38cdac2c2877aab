"""Methods of pandas' columns and tables: what they do to the data, and to the expressions of the columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from seakeep.project.adoption import methods, symbols
from seakeep.project.adoption.values import Frame, Function, Made, Reader, Series, Statistic, Step, Unknown, learnt
from seakeep.records.expression import Binary, Column, Constant, Node, Unary

Args = tuple[Any, ...]
Kwargs = dict[str, Any]

_STRATEGIES = {"mean": "mean", "median": "median"}
_NUMBERS = ("std", "min", "max", "sum", "quantile", "var", "count", "nunique", "any", "all")
_PLAIN_DATA = ("unique", "value_counts", "tolist", "to_list", "describe")


# Columns


def call_series(reader: Reader, value: Series, name: str, args: Args, kwargs: Kwargs) -> Any:
    """``column.name(*args, **kwargs)``."""
    if name in _STRATEGIES and not args and not kwargs:
        return learnt(float(getattr(value.data, name)()), name, value)
    if name == "mode":
        found = value.data.mode()
        return [_most_frequent(one, value) for one in found.tolist()[:1]]
    if name in _NUMBERS or name in _PLAIN_DATA:
        return getattr(value.data, name)(*args, **kwargs)
    if name in methods.CALLED and len(args) == 1:
        return methods.binary(methods.CALLED[name](), value, args[0])
    method = _SERIES.get(name)
    if method is None:
        raise Unknown(f".{name}() of a column has no counterpart in features")
    return method(reader, value, *args, **kwargs)


def _most_frequent(value: Any, of: Series) -> Any:
    return learnt(float(value), "most_frequent", of) if isinstance(value, int | float) else value


def _like(value: Series, data: Any, node: Node) -> Series:
    return Series(data, node, value.rows, name=value.name)


def _fillna(reader: Reader, value: Series, other: Any = None) -> Series:
    if isinstance(other, Series):
        data = value.data.fillna(other.data)
        return _like(value, data, Binary("fill", methods.node_of(value), methods.node_of(other)))
    data = value.data.fillna(other)
    node = methods.node_of(value)
    if isinstance(other, Statistic):
        if isinstance(node, Column) and symbols.source(node) == symbols.source(other.of.node) and not other.of.steps:
            return Series(data, node, value.rows, (_imputer(reader, value, other),), value.name)
        reader.tell(f"the {other.strategy} of {other.of.name!r} becomes a constant, which a new training keeps")
    return _like(value, data, Binary("fill", node, methods.node_of(other)))


def _imputer(reader: Reader, value: Series, filler: Statistic) -> Step:
    """Filling with what was learnt of the same column, as a transformer that learns it anew in each training."""
    made = Made("sklearn.impute.SimpleImputer", (), {"strategy": filler.strategy}, reader.place)
    made.fitted_rows, made.built = filler.of.rows, float(filler)
    reader.learnt.append(made)
    return Step(made, filler.of.rows, value.name)


def _astype(_reader: Reader, value: Series, kind: Any) -> Series:
    kind = methods.constant_kind(kind)
    data = value.data.astype(kind)
    if str(kind) in {"category", "object", "str", "string", "<class 'str'>", "<class 'object'>"}:
        if not methods.is_text(value.data):
            raise Unknown("numbers are made texts", "encode the number itself, with OneHotEncoder")
        return _like(value, data, methods.node_of(value))
    if methods.is_text(value.data):
        raise Unknown("texts are made numbers", "let the table hold numbers")
    before = np.asarray(value.data, dtype=float)
    if not np.array_equal(before, np.asarray(data, dtype=float), equal_nan=True):
        raise Unknown(f"astype({getattr(kind, '__name__', kind)}) changes values, and features know no rounding")
    return _like(value, data, methods.node_of(value))


def _map(reader: Reader, value: Series, table: Any) -> Series:
    if isinstance(table, Function):
        return _apply(reader, value, table)
    if not isinstance(table, dict):
        raise Unknown("a column is mapped by something that is no dictionary")
    if not all(isinstance(one, int | float | np.number) for one in table.values()):
        raise Unknown("values are mapped to texts", "map them to numbers, or leave them as they are")
    keys = {key: float(number) for key, number in table.items()}
    return _like(value, value.data.map(table), symbols.lookup(methods.node_of(value), keys))


def _replace(_reader: Reader, value: Series, old: Any, new: Any = None) -> Series:
    table = old if isinstance(old, dict) else {old: new}
    node: Node = methods.node_of(value)
    data = value.data.replace(table) if isinstance(old, dict) else value.data.replace(old, new)
    text = methods.is_text(value.data)
    if text and all(isinstance(one, int | float) for one in table.values()) and set(value.data.dropna()) <= set(table):
        data = data.infer_objects()
        keys = {key: float(number) for key, number in table.items()}
        return _like(value, data, symbols.lookup(node, keys))
    if text:
        raise Unknown("texts are replaced by texts", "do it where the table is made")
    for key, number in table.items():
        here = symbols.compare("eq", methods.node_of(value), Constant(float(key)))
        if number != number:  # noqa: PLR0124 -- NaN: 0/0 is missing, and x/1 is x
            node = Binary("div", node, Unary("not", here))
            continue
        node = symbols.choose(here, Constant(float(number)), node)
    return _like(value, data, node)


def _apply(reader: Reader, value: Series, function: Any) -> Series:
    """A function for each value, applied to the whole column: it gives the same where it only computes and compares."""
    if not isinstance(function, Function):
        if isinstance(function, type) and function in {int, float}:
            return _astype(reader, value, function)
        name = getattr(function, "name", "")
        if name.startswith("builtins."):
            built: Series = call_series(reader, value, *methods.BUILTIN[name.removeprefix("builtins.")], {})
            return built
        made: Series = reader.library(name, (value,), {})
        return made
    given = reader.apply(function, (value,), {})
    if not isinstance(given, Series):
        raise Unknown("a function that is applied to each value gives what does not come from it")
    return given


def _isin(_reader: Reader, value: Series, members: Any) -> Series:
    return _like(value, value.data.isin(list(members)), symbols.within(methods.node_of(value), list(members)))


def _between(_reader: Reader, value: Series, low: Any, high: Any) -> Series:
    node = methods.node_of(value)
    inside = Binary(
        "and",
        symbols.compare("ge", node, methods.node_of(low)),
        symbols.compare("le", node, methods.node_of(high)),
    )
    return _like(value, value.data.between(low, high), inside)


def _clip(reader: Reader, value: Series, lower: Any = None, upper: Any = None) -> Series:
    node = methods.node_of(value)
    for name, limit in (("lt", lower), ("gt", upper)):
        if limit is not None:
            if isinstance(limit, float | np.floating) and not isinstance(limit, int):
                reader.tell(f"{value.name!r} is held within {float(limit):g}: that becomes a constant")
            bound = methods.node_of(limit)
            node = symbols.choose(symbols.compare(name, node, bound), bound, node)  # type: ignore[arg-type]
    return _like(value, value.data.clip(lower, upper), node)


def _isna(_reader: Reader, value: Series) -> Series:
    return _like(value, value.data.isna(), Unary("is_missing", methods.node_of(value)))


def _notna(_reader: Reader, value: Series) -> Series:
    return _like(value, value.data.notna(), Unary("not", Unary("is_missing", methods.node_of(value))))


def _abs(_reader: Reader, value: Series) -> Series:
    return _like(value, value.data.abs(), Unary("abs", methods.node_of(value)))


def _same(_reader: Reader, value: Series, *_: Any, **__: Any) -> Series:
    return Series(value.data.copy(), value.node, value.rows, value.steps, value.name)


def _where(_reader: Reader, value: Series, test: Series, other: Any = np.nan) -> Series:
    return methods.where(test, value, other)


def _mask(_reader: Reader, value: Series, test: Series, other: Any = np.nan) -> Series:
    return methods.where(test, other, value)


def _dropna(_reader: Reader, value: Series) -> Series:
    data = value.data.dropna()
    return Series(data, value.node, methods.rows_of(value, data), value.steps, value.name)


def _reset(_reader: Reader, value: Series, *, drop: bool = False) -> Series:
    if not drop:
        raise Unknown("an index becomes a column")
    return Series(value.data.reset_index(drop=True), value.node, value.rows, value.steps, value.name)


def _to_frame(_reader: Reader, value: Series, *_: Any) -> Frame:
    return Frame(value.data.to_frame(value.name), {value.name: (value.node, value.steps)}, value.rows)


_SERIES: dict[str, Callable[..., Any]] = {
    "fillna": _fillna, "astype": _astype, "map": _map, "replace": _replace, "apply": _apply, "isin": _isin,
    "between": _between, "clip": _clip, "isna": _isna, "isnull": _isna, "notna": _notna, "notnull": _notna, "abs": _abs,
    "copy": _same, "to_numpy": _same, "ravel": _same, "flatten": _same, "reshape": _to_frame, "where": _where,
    "mask": _mask, "dropna": _dropna, "reset_index": _reset, "to_frame": _to_frame,
}  # fmt: skip


# Tables


def call(reader: Reader, value: Frame, name: str, args: Args, kwargs: Kwargs) -> Any:
    """``table.name(*args, **kwargs)``; with ``inplace=True`` the table itself is changed."""
    method = _FRAME.get(name)
    if method is None:
        raise Unknown(f".{name}() of a table is not followed")
    inplace = kwargs.pop("inplace", False)
    if value.whole and name not in {"copy", "head"}:
        raise Unknown(f".{name}() of what a transformer made of all columns")
    made = method(reader, value, *args, **kwargs)
    if not inplace:
        return made
    value.data, value.columns, value.rows = made.data, made.columns, made.rows
    return None


def _names(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _drop(
    _reader: Reader, value: Frame, labels: Any = None, axis: Any = 0, columns: Any = None, **kwargs: Any
) -> Frame:
    if columns is None and axis in {1, "columns"}:
        columns = labels
    if columns is None:
        data = value.data.drop(labels, **kwargs)
        return value.take(data, methods.rows_of(value, data))
    return value.take(
        value.data.drop(columns=columns if isinstance(columns, str) else _names(columns), **kwargs), value.rows
    )


def _keep_rows(name: str) -> Callable[..., Frame]:
    def keep(_reader: Reader, value: Frame, *args: Any, **kwargs: Any) -> Frame:
        reset = kwargs.pop("ignore_index", False)
        kwargs = {
            key: list(one) if key == "subset" and not isinstance(one, str) else one for key, one in kwargs.items()
        }
        data = getattr(value.data, name)(*args, **kwargs)
        rows = methods.rows_of(value, data)
        kept = value.take(data, rows)
        if reset:
            kept.data = kept.data.reset_index(drop=True)
        return kept

    return keep


def _sample(reader: Reader, value: Frame, *args: Any, **kwargs: Any) -> Frame:
    if kwargs.get("random_state") is None:
        raise Unknown("rows are drawn without random_state: each run takes others", "add random_state=0")
    return _keep_rows("sample")(reader, value, *args, **kwargs)


def _query(reader: Reader, value: Frame, text: str) -> Frame:
    if "@" in text:
        raise Unknown("a query with names of the notebook", "take the rows with a mask: table[table.x > 0]")
    return _keep_rows("query")(reader, value, text, engine="python")


def _reset_index(_reader: Reader, value: Frame, *, drop: bool = False) -> Frame:
    if not drop:
        raise Unknown("an index becomes a column", "call reset_index(drop=True)")
    return value.take(value.data.reset_index(drop=True), value.rows)


def _rename(_reader: Reader, value: Frame, *, columns: Any) -> Frame:
    if isinstance(columns, Function):
        raise Unknown("columns are renamed by a function", "give a dictionary")
    new = {columns.get(name, name): one for name, one in value.columns.items()}
    return Frame(value.data.rename(columns=columns), new, value.rows, array=value.array)


def _copy(_reader: Reader, value: Frame, *_: Any, **__: Any) -> Frame:
    return Frame(value.data.copy(), dict(value.columns), value.rows, value.whole, value.array)


def _to_numpy(_reader: Reader, value: Frame, *_: Any, **__: Any) -> Frame:
    return methods.as_array(value)


def _each(name: str) -> Callable[..., Frame]:
    """A method of columns, for each of a table."""

    def do(reader: Reader, value: Frame, *args: Any, **kwargs: Any) -> Frame:
        made = _copy(reader, value)
        for column in list(value.columns):
            made.put(column, call_series(reader, value.column(column), name, args, kwargs))
        return made

    return do


def _fillna_frame(reader: Reader, value: Frame, other: Any) -> Frame:
    made = _copy(reader, value)
    by_name = other if isinstance(other, dict) else None
    for column in list(value.columns):
        fill = by_name.get(column) if by_name is not None else other
        series = value.column(column)
        if fill is None or isinstance(fill, str) != methods.is_text(series.data):
            continue
        made.put(column, _fillna(reader, series, fill))
    return made


def _means(name: str) -> Callable[..., dict[Any, Any]]:
    """A statistic of every column, as a dictionary: it is filled and looked up like one."""

    def of(reader: Reader, value: Frame, *_: Any, numeric_only: bool = False) -> dict[Any, Any]:
        columns = [one for one in value.columns if not (numeric_only and methods.is_text(value.data[one]))]
        return {one: call_series(reader, value.column(one), name, (), {}) for one in columns}

    return of


def _select_dtypes(_reader: Reader, value: Frame, include: Any = None, exclude: Any = None) -> Frame:
    return value.take(value.data.select_dtypes(include=include, exclude=exclude).copy(), value.rows)


def _assign(reader: Reader, value: Frame, **columns: Any) -> Frame:
    made = _copy(reader, value)
    for name, given in columns.items():
        methods.store(made, name, reader.apply(given, (made,), {}) if isinstance(given, Function) else given)
    return made


def _pipe(reader: Reader, value: Frame, function: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(function, Function):
        raise Unknown("a table goes through a function that is not of the notebook")
    return reader.apply(function, (value, *args), kwargs)


def _pop(_reader: Reader, value: Frame, name: Any) -> Series:
    taken = value.column(name)
    value.data = value.data.drop(columns=name)
    del value.columns[name]
    return taken


def _reindex(_reader: Reader, value: Frame, *, columns: Any, fill_value: Any = np.nan) -> Frame:
    made = Frame(value.data.copy(), dict(value.columns), value.rows)
    for name in columns:
        if name not in made.columns:
            methods.store(made, name, fill_value)
    return made.take(made.data[list(columns)].copy(), made.rows)


def _apply_rows(reader: Reader, value: Frame, function: Any, axis: int = 0) -> Any:
    if axis != 1 or not isinstance(function, Function):
        raise Unknown("a function is applied to whole columns")
    return reader.apply(function, (value,), {})


_FRAME: dict[str, Callable[..., Any]] = {
    "drop": _drop, "dropna": _keep_rows("dropna"), "drop_duplicates": _keep_rows("drop_duplicates"),
    "sort_values": _keep_rows("sort_values"), "head": _keep_rows("head"), "tail": _keep_rows("tail"),
    "sample": _sample, "query": _query, "reset_index": _reset_index, "rename": _rename, "copy": _copy,
    "to_numpy": _to_numpy, "astype": _each("astype"), "fillna": _fillna_frame, "mean": _means("mean"),
    "median": _means("median"), "select_dtypes": _select_dtypes, "assign": _assign, "pipe": _pipe, "pop": _pop,
    "reindex": _reindex, "apply": _apply_rows, "clip": _each("clip"), "abs": _each("abs"),
}  # fmt: skip
