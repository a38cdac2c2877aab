"""Ridge multinomial logistic regression: the linear model of several classes.

References
----------
Böhning (1992), Multinomial logistic regression algorithm, Annals of the Institute of Statistical Mathematics 44(1): the
curvature has a bound that does not depend on the weights. Beck and Teboulle (2009), A fast iterative shrinkage-thresholding
algorithm, SIAM J. Imaging Sciences 2(1). O'Donoghue and Candès (2015), Adaptive restart for accelerated gradient schemes,
Foundations of Computational Mathematics 15(3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_STEPS = 300
_ENOUGH = 1e-9
"""A step that lowers the loss by less than this share is the last one."""


def solve(design: NDArray[np.float64], came: NDArray[np.float64], penalty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights ``(terms, classes)`` that minimise the log-loss and half the penalty of their squares.

    Parameters
    ----------
    design
        Terms of the rows, ``(n, terms)``; the first is 1 everywhere.
    came
        1 at the class that came, else 0: ``(n, classes)``, each class with a row at least.
    penalty
        Of each term, ``(terms,)``.
    """
    # Half of the terms' products bounds the curvature in every class, so that no step needs to be searched for.
    bound = np.linalg.inv(design.T @ design / 2 + np.diag(penalty + 1e-9))
    weights = np.zeros((design.shape[1], came.shape[1]))
    weights[0] = np.log(came.mean(axis=0))
    ahead, pace, loss = weights, 1.0, math.inf
    for _ in range(_MAX_STEPS):
        gradient = design.T @ (softmax(design @ ahead) - came) + penalty[:, None] * ahead
        moved = ahead - bound @ gradient
        told = softmax(design @ moved)
        now = -float(np.log(np.maximum((told * came).sum(axis=1), 1e-300)).sum())
        now += 0.5 * float((penalty[:, None] * moved**2).sum())
        if now > loss and pace > 1.0:  # too much momentum: begin anew from the best weights
            ahead, pace = weights, 1.0
            continue
        if loss - now <= _ENOUGH * abs(now):
            return moved if now < loss else weights
        faster = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        ahead = moved + (pace - 1) / faster * (moved - weights)
        weights, pace, loss = moved, faster, now
    return weights


def softmax(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of margins, both ``(n, classes)``."""
    raised = np.exp(margin - margin.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)
