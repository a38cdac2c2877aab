"""What a format of model files is, and what reading one gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.conversion.reading import Reading
from seakeep.errors import InputsError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import PROBABILITY, Outputs, coded

if TYPE_CHECKING:
    from seakeep.conversion.emit.model import Emission
    from seakeep.conversion.rows import Scorer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A model as it is asked in its own framework, and what it was converted to.

    Attributes
    ----------
    trained
        Its own answers.
    emission
        What is to be served, held against them by the proof.
    name
        What it is called in messages.
    notes
        What its owner should know, in words.
    """

    trained: Scorer
    emission: Emission
    name: str
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format.

    Attributes
    ----------
    name, told
        A word, and how people call a file of it.
    suffixes
        Endings of names that say it is this format; a file so named that is another one is refused.
    extra
        Of this package, that installs what reads it.
    recognise
        Whether bytes are in it, told from the content alone and before any library reads them. It may raise
        :class:`ConversionError` for a file of this format that is damaged or has no measure.
    take
        Reads the bytes, in the cage, for a model of these inputs and outputs.
    needs
        What the file cannot say itself: names of attributes of :class:`~seakeep.conversion.reading.Reading`.
    runs_code
        Whether reading it runs code that is in the file.
    caveat
        What a proof does not show of a model that came so, in words.
    """

    name: str
    told: str
    suffixes: tuple[str, ...]
    extra: str
    recognise: Callable[[bytes, str], bool]
    take: Callable[[bytes, Sequence[FeatureColumn], Reading, Outputs], Taken]
    needs: tuple[str, ...] = ()
    runs_code: bool = False
    caveat: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """A model's inputs, and how a file calls them."""

    columns: tuple[FeatureColumn, ...]
    named: tuple[FeatureColumn, ...]
    notes: tuple[str, ...] = ()


def emitted(estimator: Any, inputs: Inputs, wanted: Outputs = PROBABILITY) -> Taken:
    """A fitted estimator through the exact emitters; of classes, with those of the ``wanted`` ones in their order.

    Raises
    ------
    ConversionError
        It was fitted on other inputs, or has no exact emitter.
    """
    # Imported once a file could be read: a file that cannot be is refused sooner.
    from seakeep.conversion.emit.model import emit
    from seakeep.conversion.native import native_scorer

    emission = emit(estimator, inputs.named, wanted)
    return Taken(
        trained=native_scorer(estimator, inputs.named, wanted if wanted == emission.outputs else PROBABILITY),
        emission=dataclasses.replace(emission, columns=inputs.columns),
        name=type(estimator).__name__,
        notes=inputs.notes,
    )


def from_file(estimator: Any, inputs: Inputs, wanted: Outputs) -> Taken:
    """An estimator of a file, as :func:`emitted`, with a note where it knows its classes by number alone.

    A project's own training learns of the places of the declared classes; what the numbers of a file stood for, nobody says.
    """
    taken = emitted(estimator, inputs, wanted)
    classes = wanted.of_classes and np.asarray(estimator.classes_).tolist()
    if not classes or not coded(classes):
        return taken
    pairs = ", ".join(f"{code} is {name}" for code, name in enumerate(wanted.names))
    note = f"the file knows its classes by number alone: that {pairs} is not checked"
    return dataclasses.replace(taken, notes=(*taken.notes, note))


def fitted(estimator: Any, columns: Sequence[FeatureColumn], wanted: Outputs) -> Taken:
    """An estimator as scikit-learn builds them, which knows by itself what it was fitted on; as :func:`from_file`."""
    if not hasattr(estimator, "fit"):
        return emitted(estimator, Inputs(tuple(columns), tuple(columns)))
    names = getattr(estimator, "feature_names_in_", ())
    count = getattr(estimator, "n_features_in_", len(columns))
    return from_file(estimator, match_inputs([str(name) for name in names], count, columns), wanted)


def match_inputs(names: Sequence[str], count: int, columns: Sequence[FeatureColumn], *, space: str = " ") -> Inputs:
    """Hold the inputs that a file knows against the model's.

    A file may call the feature ``rate`` of the view ``recent`` so, or ``recent.rate`` as the model does.

    Parameters
    ----------
    names
        As the file has them; empty: it has none.
    count
        How many inputs it takes.
    space
        What the file's format writes for a space.

    Raises
    ------
    InputsError
        They differ in number, name or order.
    """
    wanted = [column.name for column in columns]
    if count != len(wanted):
        raise InputsError(
            f"the file's model was fitted on {count} inputs; the model's are {len(wanted)}: {', '.join(wanted)}",
            hint="declare in project.py the features it was fitted on, in their order",
            names=tuple(names),
        )
    if not names:
        note = f"the file names no inputs: that it takes {', '.join(wanted)}, in this order, is not checked"
        return Inputs(tuple(columns), tuple(columns), (note,))
    known = [{one.replace(" ", space) for one in (name, name.rpartition(".")[2])} for name in wanted]
    if not all(name in some for name, some in zip(names, known, strict=True)):
        same = all(any(name in some for some in known) for name in names)
        raise InputsError(
            f"the file's model was fitted on {', '.join(names)}; the model's inputs are {', '.join(wanted)}",
            hint="declare the features in the file's order" if same else "declare the features under the file's names",
            names=tuple(names),
        )
    named = tuple(msgspec.structs.replace(column, name=name) for column, name in zip(columns, names, strict=True))
    return Inputs(tuple(columns), named)
