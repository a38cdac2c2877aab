"""What is known of libraries: functions of pandas and NumPy, and the estimators of scikit-learn and its like."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from seakeep.project.adoption import estimators, frames, methods, symbols
from seakeep.project.adoption.values import (
    Frame,
    Function,
    Made,
    Path,
    Reader,
    Scores,
    Series,
    Source,
    Step,
    Unknown,
)
from seakeep.records.expression import Binary, Column, Constant, Node, Unary

_NUMPY = {
    "arange", "array", "asarray", "zeros", "ones", "linspace", "logspace", "sort", "argsort", "unique", "mean", "median", "std",
    "sum", "min", "max", "log", "log10", "sqrt", "exp", "round", "floor", "ceil", "percentile", "quantile", "concatenate",
    "isfinite", "power", "setdiff1d", "intersect1d",
}  # fmt: skip
_ELSEWHERE = {
    "read_sql", "read_sql_query", "read_sql_table", "read_gbq", "read_html", "read_clipboard", "read_excel", "read_json",
    "read_pickle", "read_hdf", "read_feather", "read_xml", "read_table", "read_fwf", "read_orc", "read_sas", "read_stata",
}  # fmt: skip


class Random:
    """NumPy's global generator, as the notebook seeds it; unknown before."""

    def __init__(self) -> None:
        self.state: Any = None

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``numpy.random.name(...)``."""
        if name in {"RandomState", "default_rng"}:
            if not args and not kwargs:
                raise Unknown("random numbers are drawn without a seed", "give a seed")
            return getattr(np.random, name)(*args, **kwargs)
        if name == "seed":
            self.state = np.random.RandomState(*args, **kwargs)
            return None
        if self.state is None:
            raise Unknown(
                "random numbers are drawn without a seed: each run draws others", "call np.random.seed(0) first"
            )
        return getattr(self.state, name)(*args, **kwargs)


def constant(name: str) -> Any:
    """An attribute of a module, by its full name."""
    known = {"numpy.nan": np.nan, "numpy.inf": np.inf, "numpy.pi": np.pi, "numpy.e": np.e, "numpy.newaxis": None}
    return known.get(name, _dtype(name))


def _dtype(name: str) -> Any:
    kinds = {"numpy.int64": "int64", "numpy.float64": "float64", "numpy.number": "number", "numpy.int32": "int32",
             "numpy.float32": "float32", "numpy.object_": "object", "numpy.uint8": "uint8", "numpy.int8": "int8"}  # fmt: skip
    return kinds.get(name, Path(name))


def call(reader: Reader, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function or class of a library, called by its full name."""
    if name.startswith("numpy.random."):
        return reader.random.call(name.removeprefix("numpy.random."), args, kwargs)
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](reader, *args, **kwargs)
    if name.startswith(estimators.LIBRARIES):
        return estimators.make(reader, name, args, kwargs)
    if name.removeprefix("numpy.") in _NUMPY and not any(
        isinstance(one, Series | Frame | Scores | Made | Path | Function) for one in args
    ):
        return getattr(np, name.removeprefix("numpy."))(*args, **kwargs)
    raise Unknown(f"{name} is not known here")


def refuse_elsewhere(name: str) -> None:
    """Unknown for a function that reads data from where a project has none."""
    word = name.rpartition(".")[2]
    if not name.startswith("pandas.") or word not in _ELSEWHERE:
        return
    where = "a database" if word in {"read_sql", "read_sql_query", "read_sql_table", "read_gbq"} else f"{word}()"
    raise Unknown(
        f"the data come from {where}, and a project is written from a file",
        "save the table as .csv or .parquet beside the notebook, and read that",
    )


# pandas


def _read(kind: str) -> Callable[..., Frame]:
    def read(reader: Reader, path: Any, **kwargs: Any) -> Frame:
        import pandas as pd

        if not isinstance(path, str):
            raise Unknown("the file that is read is not known", "name it in the call")
        if "://" in path or path.startswith("s3:"):
            raise Unknown(
                f"the data come from {path}, which is not fetched",
                "save the table as .csv or .parquet beside the notebook, and read that",
            )
        if any(key in kwargs for key in ("converters", "chunksize", "iterator", "storage_options", "nrows")):
            raise Unknown("the file is read in a way that is not followed")
        file = (reader.folder / path).resolve()
        if not file.is_file():
            raise Unknown(
                f"there is no file {path!r} beside the notebook", "put it there, and name it without a folder"
            )
        options = {key: methods.constant_kind(one) for key, one in kwargs.items()}
        data = getattr(pd, f"read_{kind}")(file, **options)
        if not isinstance(data.index, pd.RangeIndex):
            raise Unknown("a column of the file becomes the index", "read it without index_col")
        columns: dict[Any, tuple[Node, tuple[Step, ...]]] = {name: (Column(str(name)), ()) for name in data.columns}
        reader.sources.append(Source(path, data.copy(), reader.place))
        return Frame(data, columns, np.arange(len(data), dtype=np.int64))

    return read


def _to_datetime(reader: Reader, value: Any, **kwargs: Any) -> Series:
    import pandas as pd

    if not isinstance(value, Series) or not isinstance(value.node, Column):
        raise Unknown("a time is made of something that is no column of the table")
    data = pd.to_datetime(value.data, **kwargs)
    source = reader.sources[-1].data
    name = value.node.name
    if source[name].dtype.kind != "M":
        source[name] = pd.to_datetime(source[name], **kwargs)
        reader.tell(f"{name!r} is a time in the project's table, in UTC")
    return Series(data, value.node, value.rows, name=value.name)


def _dummies(_reader: Reader, value: Any, **kwargs: Any) -> Frame:
    import pandas as pd

    kwargs = {key: methods.constant_kind(one) for key, one in kwargs.items()}
    if isinstance(value, Series):
        data = pd.get_dummies(value.data, **kwargs)
        made = Frame(data, {}, value.rows)
        made.columns = {name: (_indicator(value, key), ()) for name, key in _indicated(value.data, data, kwargs)}
        return made
    columns = kwargs.get("columns")
    chosen = [one for one in value.columns if methods.is_text(value.data[one])] if columns is None else list(columns)
    if kwargs.get("dummy_na"):
        raise Unknown("get_dummies(dummy_na=True) is not followed")
    data = pd.get_dummies(value.data, **kwargs)
    made = Frame(data, {}, value.rows)
    names = iter(data.columns)
    kept = {next(names): value.columns[one] for one in value.columns if one not in chosen}
    for one in chosen:
        series = value.column(one)
        single = pd.get_dummies(series.data, drop_first=kwargs.get("drop_first", False))
        for key in single.columns:
            kept[next(names)] = (_indicator(series, key), ())
    made.columns = kept
    return made


def _indicated(data: Any, made: Any, kwargs: dict[str, Any]) -> list[tuple[Any, Any]]:
    import pandas as pd

    plain = pd.get_dummies(data, drop_first=kwargs.get("drop_first", False))
    return list(zip(made.columns, plain.columns, strict=True))


def _indicator(series: Series, key: Any) -> Any:
    node = methods.node_of(series)
    if isinstance(key, str | int | float | np.number):
        return symbols.compare("eq", node, methods.node_of(key))
    interval = getattr(key, "left", None)
    if interval is None:
        raise Unknown("get_dummies of values that are neither texts nor numbers")
    return _inside(node, float(key.left), float(key.right), right=bool(key.closed_right))


def _inside(node: Any, low: float, high: float, *, right: bool) -> Any:
    above = symbols.compare("gt" if right else "ge", node, Constant(low))
    below = symbols.compare("le" if right else "lt", node, Constant(high))
    return above if high == np.inf else below if low == -np.inf else Binary("and", above, below)


def _cut(_reader: Reader, value: Any, bins: Any, labels: Any = None, *, right: bool = True) -> Series:
    import pandas as pd

    if not isinstance(value, Series) or isinstance(bins, int):
        raise Unknown("pd.cut with a number of bins takes its edges from the data", "give the edges")
    edges = [float(one) for one in bins]
    node = methods.node_of(value)
    data = pd.cut(value.data, bins=edges, labels=labels, right=right)
    insides = [_inside(node, low, high, right=right) for low, high in itertools.pairwise(edges)]
    if labels is False:
        numbers = [float(one) for one in range(len(insides))]
    elif labels is not None and all(isinstance(one, int | float) for one in labels):
        numbers = [float(one) for one in labels]
    elif labels is None:
        return Series(data, node, value.rows, name=value.name)
    else:
        raise Unknown("pd.cut with texts as labels", "use numbers as labels, or labels=False")
    total: Any = None
    known: Any = None
    for inside, number in zip(insides, numbers, strict=True):
        term = Binary("mul", inside, Constant(number))
        total = term if total is None else Binary("add", total, term)
        known = inside if known is None else Binary("add", known, inside)
    return Series(data, Binary("div", total, known), value.rows, name=value.name)


def _concat(_reader: Reader, parts: Any, *, axis: Any = 0) -> Frame:
    if axis not in {1, "columns"}:
        raise Unknown("rows of several tables are put together", "read one table")
    tables = [as_frame(part) for part in parts]
    made = Frame(tables[0].data.copy(), dict(tables[0].columns), tables[0].rows)
    for frame in tables[1:]:
        for name in list(frame.columns):
            made.put(name, frame.column(name))
    return made


def as_frame(value: Any) -> Frame:
    """A column or table as a table."""
    if isinstance(value, Series):
        return Frame(value.data.to_frame(value.name), {value.name: (value.node, value.steps)}, value.rows)
    if isinstance(value, Frame):
        return value
    raise Unknown(f"a {type(value).__name__} is used as a table")


def _data_frame(_reader: Reader, value: Any = None, *, columns: Any = None, index: Any = None, **_: Any) -> Frame:
    if not isinstance(value, Frame):
        raise Unknown("a table is made by hand", "save it as .csv beside the notebook, and read that")
    made = Frame(value.data.copy(), dict(value.columns), value.rows, value.whole)
    if columns is not None:
        methods.set_attribute(made, "columns", columns)
    if index is not None:
        made.data.index = index
    return made


# NumPy on columns


def _elementwise(name: str) -> Callable[..., Any]:
    def do(_reader: Reader, value: Any) -> Any:
        if not isinstance(value, Series):
            return getattr(np, name)(value)
        node = methods.node_of(value)
        return Series(getattr(np, name)(value.data), Unary(name, node), value.rows, name=value.name)  # type: ignore[arg-type]

    return do


def _where(_reader: Reader, test: Any, yes: Any, no: Any) -> Series:
    if not isinstance(test, Series):
        raise Unknown("numpy.where with a condition that is no column")
    return methods.where(test, yes, no)


def _isnan(reader: Reader, value: Any) -> Any:
    return frames.call_series(reader, value, "isna", (), {}) if isinstance(value, Series) else np.isnan(value)


def _clip(reader: Reader, value: Any, low: Any, high: Any) -> Any:
    return (
        frames.call_series(reader, value, "clip", (low, high), {})
        if isinstance(value, Series)
        else np.clip(value, low, high)
    )


def _split(_reader: Reader, *arrays: Any, **options: Any) -> Any:
    """``train_test_split``, carried out on the positions of the rows."""
    from sklearn.model_selection import train_test_split

    if options.get("random_state") is None and options.get("shuffle", True):
        raise Unknown(
            "train_test_split has no random_state: each run learns from other rows",
            "add random_state=0, and run the notebook again",
        )
    stratify = options.pop("stratify", None)
    stratify = stratify.data if isinstance(stratify, Series) else stratify
    if not all(isinstance(one, Frame | Series) for one in arrays):
        raise Unknown("train_test_split of something that is no known table or column")
    parts = train_test_split(np.arange(methods.length(arrays[0])), stratify=stratify, **options)
    return [_rows(one, chosen) for one in arrays for chosen in parts]


def _rows(value: Any, chosen: Any) -> Any:
    if isinstance(value, Series):
        return Series(value.data.iloc[chosen], value.node, value.rows[chosen], value.steps, value.name)
    return value.take(value.data.iloc[chosen].copy(), value.rows[chosen])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "pandas.read_csv": _read("csv"), "pandas.read_parquet": _read("parquet"), "pandas.to_datetime": _to_datetime,
    "pandas.get_dummies": _dummies, "pandas.cut": _cut, "pandas.concat": _concat, "pandas.DataFrame": _data_frame,
    "pandas.isna": _isnan, "pandas.isnull": _isnan,
    "numpy.where": _where, "numpy.log1p": _elementwise("log1p"), "numpy.abs": _elementwise("abs"),
    "numpy.isnan": _isnan, "numpy.clip": _clip,
    "sklearn.model_selection.train_test_split": _split,
}  # fmt: skip


# Methods of any value


def call_method(reader: Reader, value: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``value.name(*args, **kwargs)``."""
    import pandas as pd

    if isinstance(value, Frame):
        return frames.call(reader, value, name, args, kwargs)
    if isinstance(value, Series):
        return frames.call_series(reader, value, name, args, kwargs)
    if isinstance(value, Made):
        return estimators.call_made(reader, value, name, args, kwargs)
    if isinstance(value, Scores) and name in {"astype", "ravel", "flatten"}:
        return value
    if any(isinstance(one, Function) for one in (*args, *kwargs.values())):
        raise Unknown(f".{name}() is given a function")
    drawn = type(value).__module__.startswith("numpy.random.")
    held = isinstance(value, pd.Index | pd.Series | np.ndarray) and name in methods.ARRAY_METHODS
    if drawn or held or isinstance(value, methods.CONCRETE[:-1]):
        return getattr(value, name)(*args, **kwargs)
    raise Unknown(f".{name}() of a {type(value).__name__} is not known")
