"""What a model's answers are."""

from __future__ import annotations

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


PROBABILITY = Outputs()
"""What can be served: the probability of class 1."""
