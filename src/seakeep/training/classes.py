"""How good the probabilities of several classes are: every metric a sum over rows, so that resamples and days share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def log_losses(label: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the logarithm of the probability of the class that came, ``(n,)``.

    A probability is kept a machine epsilon above 0, so that one row cannot be infinite.

    Parameters
    ----------
    label
        Codes of the classes that came, float64 ``(n,)``.
    score
        Probabilities, float64 ``(n, classes)``.

    References
    ----------
    Good (1952), Rational decisions, J. Royal Statistical Society B 14(1).
    """
    told = score[np.arange(len(label)), label.astype(np.int64)]
    return np.asarray(-np.log(np.maximum(told, np.finfo(np.float64).eps)), dtype=np.float64)


def metrics(
    label: NDArray[np.float64],
    score: NDArray[np.float64],
    totals: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """``log_loss``, ``brier``, ``accuracy`` and ``macro_f1`` in every resample; not finite where not defined.

    The Brier score is half of Brier's own sum over the classes, so that it lies between 0 and 1 and is that of a
    probability where there are two. ``macro_f1`` is the mean of F1 over the classes that came or were answered.

    Parameters
    ----------
    label, score
        As of :func:`log_losses`; the answer is the first highest probability.
    totals
        The sums of rows' values ``(n,)``, one in each resample.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78(1).
    """
    codes, answer = label.astype(np.int64), np.argmax(score, axis=1)
    came = np.eye(score.shape[1])[codes]
    count = totals(np.ones(len(codes)))
    each = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for code in range(score.shape[1]):
            told, said = codes == code, answer == code
            either = totals(told.astype(np.float64)) + totals(said.astype(np.float64))
            each.append(2 * totals((told & said).astype(np.float64)) / either)
        met = np.isfinite(each)
        return {
            "log_loss": totals(log_losses(label, score)) / count,
            "brier": totals(((score - came) ** 2).sum(axis=1) / 2) / count,
            "accuracy": totals((answer == codes).astype(np.float64)) / count,
            "macro_f1": np.where(met, each, 0.0).sum(axis=0) / met.sum(axis=0),
        }
