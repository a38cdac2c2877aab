"""What is to be written: the features, the training and the label of the model that a notebook fits."""

from __future__ import annotations

import dataclasses
import keyword
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import AdoptionError
from seakeep.project.adoption import methods, symbols
from seakeep.project.adoption.interpret import Interpreter
from seakeep.project.adoption.notebook import Place
from seakeep.project.adoption.values import Fit, Frame, Made, Opaque, Series, Source, Step
from seakeep.records.expression import Binary, Column, Constant, Node, columns_of
from seakeep.records.outputs import OutputKind, Outputs, classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAKED = {"sklearn.preprocessing.StandardScaler", "sklearn.preprocessing.MinMaxScaler", "sklearn.impute.SimpleImputer"}


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring inputs of the model that are prepared alike.

    Attributes
    ----------
    names
        Of the features.
    categories
        Of one text feature that becomes an indicator for each of these; empty for others.
    steps
        Transformers that learn from the rows of the training.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...] = ()
    steps: tuple[Made, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A project to be written.

    Attributes
    ----------
    occurrence
        Which of the fits that are carried out at its place the model's is, from 0.
    features
        Expression by feature name, in the model's order.
    named
        Name of the feature by name of the notebook's column, where the notebook's estimator names columns.
    blocks
        How features become the estimator's inputs.
    whole
        Transformers of all of them at once, before the estimator.
    label, outputs
        What is predicted, and what is answered of it.
    threshold
        From which score on the notebook says "yes"; None: it does not say.
    train, judge
        Rows of the table that the notebook learns from, in its order, and others it could judge by.
    inputs
        The notebook's own inputs for ``train``, and for each table with rows of ``judge``.
    """

    fit: Fit
    occurrence: int
    source: Source
    features: dict[str, Node]
    named: dict[str, str]
    blocks: tuple[Block, ...]
    whole: tuple[Made, ...]
    label: Node
    outputs: Outputs
    threshold: float | None
    train: NDArray[np.int64]
    judge: NDArray[np.int64]
    inputs: tuple[Frame, ...]
    told: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The table's columns that features or the label read, in its order."""
        read = {name for node in (*self.features.values(), self.label) for name in columns_of(node)}
        return [str(name) for name in self.source.data.columns if str(name) in read]


def plan_of(reader: Interpreter, name: str = "") -> Plan:
    """The project for the last model that was fitted, or for the one of a name.

    Raises
    ------
    AdoptionError
        It cannot be written: with the cell, the line and the reason.
    """
    fit = _chosen(reader, name)
    made, inputs, label = fit.made, _table(fit), _label(fit)
    kind = _kind(fit, label)
    if not np.array_equal(inputs.rows, label.rows):
        raise _refusal(fit.place, "the inputs and the outcome are not of the same rows")
    if len(np.unique(inputs.rows)) < len(inputs.rows):
        raise _refusal(fit.place, "rows are repeated to train on, and a project has each once", "use class_weight")
    told: list[str] = []
    columns = {key: _settled(steps, node, inputs.rows, told) for key, (node, steps) in inputs.columns.items()}
    names_columns = _names_columns(made)
    features, named, blocks = _blocks(columns, plain=names_columns)
    if names_columns and any(block.steps or block.categories for block in blocks):
        raise _refusal(fit.place, "a ColumnTransformer follows columns that a transformer has prepared before it")
    for step in inputs.whole:
        if not np.array_equal(step.rows, inputs.rows):
            raise _refusal(
                step.made.place,
                f"{step.made.path.rpartition('.')[2]} is fitted on other rows than the model: it has seen those it is judged by",
                "fit it on the training rows alone",
            )
    told += [
        f"{one.place}: the {one.kwargs['strategy']} becomes a constant, which a new training keeps"
        for one in reader.learnt
        if one.folded
    ]
    others = [frame for frame in _frames(reader) if frame is not inputs and _alike(frame, inputs)]
    judge = [row for frame in others for row in frame.rows.tolist()]
    fresh = np.array(list(dict.fromkeys(row for row in judge if row not in set(inputs.rows.tolist()))), dtype=np.int64)
    if not len(fresh):
        raise _refusal(
            fit.place,
            "the model is fitted on every row, and none is left to judge it by",
            "split the rows first, as with train_test_split(..., random_state=0)",
        )
    source = _source(reader, fit, [label.node, *(node for node, _ in columns.values())])
    several = kind == "probabilities"
    outcome, outputs = (
        _classes(fit, label, source) if several else (_label_node(label, source, kind), Outputs(kind=kind))
    )
    return Plan(
        fit=fit,
        occurrence=[one for one in reader.fits if one.place == fit.place].index(fit),
        source=source,
        features=features,
        named=named,
        blocks=tuple(blocks),
        whole=tuple(step.made for step in inputs.whole),
        label=outcome,
        outputs=outputs,
        threshold=_threshold(reader, fit, told) if outputs.yes_or_no else None,
        train=inputs.rows,
        judge=fresh,
        inputs=(inputs, *others),
        told=(*reader.told, *told),
    )


def _refusal(place: Place, reason: str, hint: str = "") -> AdoptionError:
    return AdoptionError(reason, cell=place.cell, line=place.line, hint=hint)


def _chosen(reader: Interpreter, name: str) -> Fit:
    if not reader.fits:
        if reader.failed:
            opaque = reader.failed[-1]
            raise _refusal(opaque.place, opaque.reason, opaque.hint)
        raise AdoptionError(
            "no model is fitted here", hint="a model is what has .fit(X, y), of scikit-learn and its like"
        )
    fits = [fit for fit in reader.fits if not name or fit.name == name]
    if not fits:
        known = ", ".join(sorted({fit.name for fit in reader.fits if fit.name})) or "none has a name"
        raise AdoptionError(f"no model {name!r} is fitted in the notebook", hint=f"fitted there: {known}")
    if not name and len(reader.fits) > 1:
        others = ", ".join(f"{fit.name or 'one'} in {fit.place}" for fit in reader.fits[:-1])
        reader.told.append(
            f"the model that is fitted last is taken, {fits[-1].name or 'one'} in {fits[-1].place}; not {others}"
        )
    return fits[-1]


def _table(fit: Fit) -> Frame:
    value = fit.inputs
    if isinstance(value, Opaque):
        raise _refusal(value.place, value.reason, value.hint)
    if not isinstance(value, Frame):
        raise _refusal(fit.place, "what the model is fitted on is no known table", "give .fit a table of columns")
    if fit.kwargs:
        given = ", ".join(sorted(fit.kwargs))
        raise _refusal(fit.place, f"fit is given {given}, which a project does not know", "fit without it")
    for node, _ in value.columns.values():
        hole = methods.hole(node)
        if hole is not None:
            raise _refusal(hole.place, hole.reason, hole.hint)
    return value


def _label(fit: Fit) -> Series:
    value = fit.label
    if isinstance(value, Frame) and len(value.columns) == 1:
        value = value.column(next(iter(value.columns)))
    if isinstance(value, Opaque):
        raise _refusal(value.place, value.reason, value.hint)
    if not isinstance(value, Series) or value.steps:
        raise _refusal(fit.place, "what is to be predicted is no known column of the table")
    hole = methods.hole(value.node)
    if hole is not None:
        raise _refusal(hole.place, hole.reason, hole.hint)
    return value


def _kind(fit: Fit, label: Series) -> OutputKind:
    """What the model answers; refused if it is neither a number nor the probabilities of classes."""
    from sklearn.base import is_classifier, is_regressor

    model = fit.made.built
    if is_regressor(model):
        return "value"
    if not is_classifier(model):
        raise _refusal(fit.place, f"{fit.made.path} is neither a classifier nor a regressor")
    count = len(label.data.dropna().unique())
    if count < 2:
        raise _refusal(fit.place, f"the outcome has {count} classes, and nothing is left to predict", "keep more rows")
    if not hasattr(model, "predict_proba"):
        raise _refusal(
            fit.place,
            f"{fit.made.path} gives no probabilities",
            "use one that does, or CalibratedClassifierCV around it",
        )
    return "probability" if count == 2 else "probabilities"


def _classes(fit: Fit, label: Series, source: Source) -> tuple[Node, Outputs]:
    """The column of the classes' names, and these in the order of what the notebook makes of them: its estimator's order."""
    count, names = len(label.data.unique()), columns_of(label.node)
    if len(names) == 1 and methods.is_text(source.data[names[0]]) and not label.data.isna().any():
        texts = source.data[names[0]].iloc[label.rows].tolist()
        pairs = set(zip(label.data.tolist(), texts, strict=True))
        if len(pairs) == len(set(texts)) == count and all(isinstance(one, str) and one for one in texts):
            return Column(names[0]), classes(*(text for _, text in sorted(pairs)))
    raise _refusal(
        fit.place,
        f"the outcome has {count} classes, which are not the names of a text column, each for itself",
        "let a column of the table hold the classes' names; or ask one yes-or-no question, as in y == 3",
    )


def _label_node(label: Series, source: Source, kind: OutputKind) -> Node:
    if kind != "value":
        plain = _one_text(label, source)
        if plain is not None:
            return plain
    if kind == "value" or set(label.data.dropna().unique().tolist()) <= {0, 1}:
        return label.node
    highest = max(label.data.dropna().unique().tolist())  # the class whose probability is the second
    return Binary("eq", label.node, Constant(highest if isinstance(highest, str) else float(highest)))


def _one_text(label: Series, source: Source) -> Node | None:
    """``column == text``, where the outcome is this and no more, whatever way the notebook takes to say it."""
    names = columns_of(label.node)
    if len(names) != 1 or not methods.is_text(source.data[names[0]]):
        return None
    texts = source.data[names[0]].iloc[label.rows].reset_index(drop=True)
    outcome = label.data.reset_index(drop=True)
    highest = max(outcome.dropna().unique().tolist())
    found = texts[outcome == highest].unique().tolist()
    if len(found) != 1 or texts.isna().any() or bool((texts[outcome != highest] == found[0]).any()):
        return None
    return Binary("eq", Column(names[0]), Constant(found[0]))


def _settled(
    steps: tuple[Step, ...], node: Node, rows: NDArray[np.int64], told: list[str]
) -> tuple[Node, tuple[Made, ...]]:
    """A column's expression, and its steps that learn from the training rows; others become constants, and are told."""
    kept: list[Made] = []
    for step in steps:
        if np.array_equal(step.rows, rows):
            kept.append(step.made)
            continue
        name = step.made.path.rpartition(".")[2]
        if kept or step.made.path not in _LEAKED:
            raise _refusal(
                step.made.place, f"{name} is fitted on other rows than the model", "fit it on the training rows"
            )
        node = _constant(step, node)
        what = f"the {step.made.kwargs['strategy']}" if isinstance(step.made.built, float) else f"what {name} learnt"
        word = f"{step.made.place}: {what} is of other rows than the model learns from, and becomes a constant"
        if word not in told:
            told.append(word)
    return node, tuple(kept)


def _constant(step: Step, node: Node) -> Node:
    made = step.made
    if isinstance(made.built, float):
        return Binary("fill", node, Constant(made.built))
    place = list(made.built.feature_names_in_).index(step.column)
    if made.path.endswith("SimpleImputer"):
        value = made.built.statistics_[place]
        return Binary("fill", node, Constant(value if isinstance(value, str) else float(value)))
    if made.path.endswith("MinMaxScaler"):
        scaled = Binary("mul", node, Constant(float(made.built.scale_[place])))
        return Binary("add", scaled, Constant(float(made.built.min_[place])))
    moved = node if made.built.mean_ is None else Binary("sub", node, Constant(float(made.built.mean_[place])))
    return moved if made.built.scale_ is None else Binary("div", moved, Constant(float(made.built.scale_[place])))


# Features


def _names_columns(value: Any) -> bool:
    """Whether an estimator chooses columns by their names."""
    if isinstance(value, Made):
        if value.path.endswith(("ColumnTransformer", "make_column_transformer")):
            return True
        return any(map(_names_columns, (*value.args, *value.kwargs.values())))
    return isinstance(value, list | tuple) and any(map(_names_columns, value))


def _blocks(
    columns: dict[Any, tuple[Node, tuple[Made, ...]]], *, plain: bool
) -> tuple[dict[str, Node], dict[str, str], list[Block]]:
    features: dict[str, Node] = {}
    named: dict[str, str] = {}
    blocks: list[Block] = []
    for key, (node, steps) in columns.items():
        shown = None if plain or steps else symbols.indicated(node)
        before = blocks[-1] if blocks else None
        if shown is not None:
            column, text = shown
            if before and before.categories and features[before.names[0]] is _same(features, before, column):
                blocks[-1] = dataclasses.replace(before, categories=(*before.categories, text))
                continue
            name = _feature_name(column.name, features)
            features[name] = column
            blocks.append(Block((name,), (text,)))
            continue
        name = _feature_name(str(key), features)
        features[name], named[str(key)] = node, name
        if before and not before.categories and _signs(before.steps) == _signs(steps):
            blocks[-1] = dataclasses.replace(before, names=(*before.names, name))
        else:
            blocks.append(Block((name,), (), steps))
    return features, named, blocks


def _signs(steps: tuple[Made, ...]) -> list[str]:
    """What makes two columns' steps the same: they are of one kind and learn the same of each column."""
    return [f"{one.path}{one.args}{one.kwargs}" for one in steps]


def _same(features: dict[str, Node], block: Block, column: Column) -> Node | None:
    one = features[block.names[0]]
    return one if isinstance(one, Column) and one.name == column.name else None


def _feature_name(text: str, taken: dict[str, Node]) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "column"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"c_{name}"
    base, number = name, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


# Rows


def _frames(reader: Interpreter) -> list[Frame]:
    """Every table that had a name, each once."""
    return [frame for frame in {id(one): one for one in reader.tables}.values() if isinstance(frame, Frame)]


def _alike(one: Frame, other: Frame) -> bool:
    """Whether two tables have the same columns, made in the same way."""
    if list(one.columns) != list(other.columns) or len(one.whole) != len(other.whole) or not len(one.rows):
        return False
    pairs = zip(one.columns.values(), other.columns.values(), strict=True)
    return all(
        methods.hole(a[0]) is None and symbols.source(a[0]) == symbols.source(b[0]) and len(a[1]) == len(b[1])
        for a, b in pairs
    )


def _source(reader: Interpreter, fit: Fit, nodes: list[Node]) -> Source:
    read = {name for node in nodes for name in columns_of(node)}
    fitting = [one for one in reader.sources if read <= {str(name) for name in one.data.columns}]
    if len({one.name for one in fitting}) != 1:
        names = ", ".join(one.name for one in reader.sources)
        raise _refusal(fit.place, f"the inputs come from several tables ({names})", "join them into one file first")
    source = fitting[-1]
    for name in read:
        if isinstance(source.data[name].iloc[0], list | dict):
            raise _refusal(source.place, f"column {name!r} holds lists")
    return source


def _threshold(reader: Interpreter, fit: Fit, told: list[str]) -> float | None:
    found = {score: place for place, made, score in reader.thresholds if made is fit.made}
    if not found:
        return None
    score, place = list(found.items())[-1]
    if len(found) > 1:
        told.append(f"{place}: of {len(found)} thresholds that are tried the last is taken, {score:g}")
    return score
