"""What a model's answers are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal as OneOf

import msgspec

OutputKind = OneOf["probability", "probabilities", "decision", "decisions", "class", "value", "values", "anomaly"]


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answers; models of earlier releases say nothing and give a probability.

    Attributes
    ----------
    kind
        ``probability``: of the class 1, one number a row; decided by the deployed threshold.
        ``probabilities``: of every class of ``names``; the first highest is the answer.
        ``decision``: a signed distance; above 0 the second class of ``names``.
        ``decisions``: one for every class of ``names``; the first highest is the answer.
        ``class``: the position of the answer in ``names``.
        ``value``, ``values``: what a regressor predicts, one number or one for each of ``names``.
        ``anomaly``: below 0 an outlier.
    names
        Of the classes, or of the values, in the order of the columns.
    """

    kind: OutputKind = "probability"
    names: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Whether a row's answer is one number."""
        return self.kind not in {"probabilities", "decisions", "values"}

    @property
    def yes_or_no(self) -> bool:
        """Whether an answer is a probability, with a threshold from which it says "yes"."""
        return self.kind == "probability"

    @property
    def of_classes(self) -> bool:
        """Whether an answer is a class of :attr:`names`, with the probability of each of them."""
        return self.kind == "probabilities"

    @property
    def word(self) -> str:
        """What a model answers with, in words: a probability, a value, a class of some names."""
        return f"class of {', '.join(self.names)}" if self.of_classes else self.kind

    def columns_of(self, classes: Sequence[object]) -> tuple[int, ...]:
        """Where each of :attr:`names` stands among a classifier's own classes.

        A classifier is fitted on the codes of the classes (their places in :attr:`names`, from 0) or on their names, and
        orders its columns as it likes.

        Raises
        ------
        ValueError
            Its classes are not exactly the declared ones; the message says which are missing or not declared.
        """
        wanted: list[object] = list(range(len(self.names))) if coded(classes) else list(self.names)
        told = dict(zip(wanted, self.names, strict=True))
        lacking = [name for one, name in told.items() if one not in classes]
        odd = [str(one) for one in classes if one not in told]
        if lacking or odd:
            unknown, undeclared = f"it knows no {', '.join(lacking)}", f"{', '.join(odd)} is not declared"
            raise ValueError("; ".join([unknown] * bool(lacking) + [undeclared] * bool(odd)))
        return tuple(classes.index(one) for one in wanted)


PROBABILITY = Outputs()
"""What is served if nothing else is said: the probability of class 1."""
SERVED = ("probability", "probabilities", "value")
"""Kinds that a label may be declared as; the others are emitted and proved, but not served."""
NEVER = sys.float_info.max
"""The threshold of models whose answers are no yes or no: no answer reaches it."""
TOLERANCE = 1e-9
"""Values that differ by less than this, as a share of the larger one where that is above 1, are the same but for rounding."""


def coded(classes: Sequence[object]) -> bool:
    """Whether a classifier knows its classes by number, not by name."""
    return all(isinstance(one, int | float) for one in classes)


def number() -> Outputs:
    """A label that is a number: what is served is the predicted ``value``."""
    return Outputs(kind="value")


def classes(*names: str) -> Outputs:
    """A label that is one of at least three classes: what is served is the class, with the probability of each.

    The names are fixed here, with their order; an outcome that is none of them is a fault of the data. Two classes are a yes
    or no: a label that is a comparison.
    """
    return Outputs(kind="probabilities", names=names)
