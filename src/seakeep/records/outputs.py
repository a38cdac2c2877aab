"""What a model's answers are."""

from __future__ import annotations

import sys
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


PROBABILITY = Outputs()
"""What is served if nothing else is said: the probability of class 1."""
SERVED = ("probability", "value")
"""Kinds that a label may be declared as; the others are emitted and proved, but not served."""
NEVER = sys.float_info.max
"""The threshold of models whose answers are no yes or no: no answer reaches it."""
TOLERANCE = 1e-9
"""Values that differ by less than this, as a share of the larger one where that is above 1, are the same but for rounding."""


def number() -> Outputs:
    """A label that is a number: what is served is the predicted ``value``."""
    return Outputs(kind="value")
