"""The trained estimator's own answers: what the converted model is held against."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.conversion.outputs import ask, declared_order, outputs_of
from seakeep.conversion.rows import Rows, Scorer
from seakeep.features.frame import Frame
from seakeep.records.outputs import PROBABILITY, Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.records.feature import FeatureColumn


def native_scorer(estimator: Any, columns: Sequence[FeatureColumn], wanted: Outputs = PROBABILITY) -> Scorer:
    """Answers by the estimator's own methods, on the data frame it would be given in training.

    Of several classes those of the ``wanted`` ones, in their order.
    """
    answer = ask(estimator, outputs_of(estimator))
    order = list(declared_order(estimator, wanted)) if wanted.of_classes else []

    def score(numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        frame = frame_of(Rows(numbers, categories), columns).to_pandas()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # extreme and unknown values are tried on purpose
            told = answer(frame)
            return np.ascontiguousarray(told[:, order]) if order else told

    return score


def frame_of(rows: Rows, columns: Sequence[FeatureColumn]) -> Frame:
    """Rows as an unlabelled frame."""
    number = iter(rows.numbers.T)
    category = iter(rows.categories.T)
    return Frame(
        columns=tuple(columns),
        values={column.name: next(number if column.kind == "number" else category) for column in columns},
        key=np.full(len(rows), "", dtype=object),
        time_us=np.zeros(len(rows), dtype=np.int64),
        label=np.full(len(rows), np.nan),
        label_known_us=np.zeros(len(rows), dtype=np.int64),
    )
