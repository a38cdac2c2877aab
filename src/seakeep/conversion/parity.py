"""The parity proof: the served model answers as the trained one, on real rows and where conversions go wrong.

Both sides score the same rows, the served side by the serving engine. Two kinds of numbers may differ: by the
tolerance that rounding explains, and in the decision of rows whose score is closer to the threshold than that.

A proof is worth what it would find: each one is also tried on models in which one leaf or coefficient was changed, and must find them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.conversion import control, probe
from seakeep.conversion.rows import Rows, Scorer, joined, spread
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError
from seakeep.records.version import ParityProof
from seakeep.training.environment import host_class, installed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.model import Emission
    from seakeep.records.feature import FeatureColumn

BATCH_SIZES = (1, 2, 7, 1000)
_BASE_ROWS = 3
_NEAR_THRESHOLD = 256
_BATCH_POOL = 1000
_PACKAGES = ("numpy", "onnx", "onnxruntime", "scikit-learn")


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """Scores, NaN where there is none; and which rows were refused with an error."""

    scores: NDArray[np.float64]
    refused: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides' answers to the rows of one kind; every array ``(n,)``.

    Attributes
    ----------
    difference
        Absolute difference of scores; 0 where either has none.
    error, nan
        Rows that only one side refused, and those where only one side gave NaN. A row that the estimator refuses must
        be refused by the served model or score NaN.
    flip
        Rows whose decision differs and whose score is not within the tolerance of the threshold.
    """

    rows: Rows
    trained: Answers
    served: Answers
    difference: NDArray[np.float64]
    error: NDArray[np.bool_]
    nan: NDArray[np.bool_]
    flip: NDArray[np.bool_]

    def wrong(self, tolerance: float) -> NDArray[np.bool_]:
        """Rows in which the sides disagree."""
        wrong: NDArray[np.bool_] = self.error | self.nan | self.flip | (self.difference > tolerance)
        return wrong


def prove(
    trained: Scorer,
    emission: Emission,
    rows: Rows,
    *,
    threshold: float,
    artefact_sha256: str,
) -> ParityProof:
    """Compare the trained estimator with the converted model.

    Parameters
    ----------
    trained
        The estimator's scores.
    emission
        The converted model, and the trees whose splits are tried.
    rows
        Validation rows, at least one.
    threshold
        The deployed threshold: from this score on the decision is "yes".
    artefact_sha256
        Digest of the estimator, for the record.

    Raises
    ------
    ConversionError
        There are no rows, or the estimator refuses all of them.
    IntegrityError
        The engine cannot load the model.
    """
    session = ScoringSession(emission.model)

    def compare(some: Rows) -> Comparison:
        return _compare(some, answers(trained, some), answers(session.score, some), threshold, emission.tolerance)

    validation = compare(rows)
    if bool(validation.trained.refused.all()):
        raise ConversionError(
            f"the estimator accepts none of the {len(rows)} validation rows, so nothing can be proved{_why(trained, rows)}",
            hint="train on the frame as it is given, with a validation period that holds rows",
        )
    near = _nearest(validation.trained.scores, threshold, _NEAR_THRESHOLD)
    cases, left_out = _cases(emission, rows, near)
    compared = {"validation": validation, **{kind: compare(some) for kind, some in cases.items() if len(some)}}
    batch = _batch_mismatches(session, list(compared.values()))
    mutants, caught = _controls(emission, validation, threshold)
    everything = list(compared.values())
    errors, nans, flips = (sum(int(getattr(c, name).sum()) for c in everything) for name in ("error", "nan", "flip"))
    largest = max(float(c.difference.max()) for c in everything)
    counts = {kind: len(c.rows) for kind, c in compared.items()}
    counts["refused"] = sum(int(c.trained.refused.sum()) for c in everything)
    if left_out:
        counts["boundaries-left-out"] = left_out
    model_sha256 = hashlib.sha256(emission.model).hexdigest()
    return ParityProof(
        passed=largest <= emission.tolerance and not (errors or nans or flips or batch) and caught == mutants,
        cases=counts,
        max_difference=largest,
        flips=flips,
        nan_mismatches=nans,
        error_mismatches=errors,
        batch_mismatches=batch,
        mutants=mutants,
        mutants_caught=caught,
        tolerance=emission.tolerance,
        batch_sizes=BATCH_SIZES,
        worst=_worst(compared, compare, emission.columns, emission.tolerance),
        versions=installed(_PACKAGES),
        model_sha256=model_sha256,
        artefact_sha256=artefact_sha256,
        digest=_digest(compared, model_sha256),
        host=host_class(),
    )


def answers(scorer: Scorer, rows: Rows) -> Answers:
    """Score rows; where a batch is refused, find by halving which rows are."""
    scores = np.full(len(rows), np.nan)
    refused = np.zeros(len(rows), dtype=bool)
    pending = [np.arange(len(rows))] if len(rows) else []
    while pending:
        part = pending.pop()
        some = rows.take(part)
        try:
            scores[part] = scorer(some.numbers, some.categories)
        except Exception:  # noqa: BLE001 -- the plugin border: engines raise what they like; a refusal is an answer
            if len(part) == 1:
                refused[part] = True
            else:
                pending += [part[len(part) // 2 :], part[: len(part) // 2]]
    return Answers(scores, refused)


def _why(trained: Scorer, rows: Rows) -> str:
    first = rows.take(np.arange(min(1, len(rows))))
    try:
        trained(first.numbers, first.categories)
    except Exception as error:  # noqa: BLE001 -- the plugin border, as above; the message is passed on
        return f": {error}"
    return ""


def _compare(rows: Rows, trained: Answers, served: Answers, threshold: float, tolerance: float) -> Comparison:
    trained_nan, served_nan = np.isnan(trained.scores), np.isnan(served.scores)
    both = ~trained_nan & ~served_nan
    difference = np.where(both, np.abs(trained.scores - served.scores), 0.0)
    decided_alike = (trained.scores >= threshold) == (served.scores >= threshold)
    tie = np.abs(trained.scores - threshold) <= tolerance
    error = np.where(trained.refused, ~served_nan, served.refused)
    nan = ~trained.refused & ~served.refused & (trained_nan != served_nan)
    return Comparison(rows, trained, served, difference, error, nan, both & ~decided_alike & ~tie)


def _nearest(scores: NDArray[np.float64], threshold: float, count: int) -> NDArray[np.int64]:
    distance = np.where(np.isnan(scores), np.inf, np.abs(scores - threshold))
    return np.argsort(distance, kind="stable")[:count]


def _cases(emission: Emission, rows: Rows, near: NDArray[np.int64]) -> tuple[dict[str, Rows], int]:
    base = near[:_BASE_ROWS]
    cases = {
        "threshold": rows.take(near),
        "missing": probe.missing(rows, base),
        "unseen": probe.unseen(rows, base),
        "extremes": probe.extremes(rows, base),
    }
    if emission.forest is None:
        return cases, 0
    looked_at = ScoringSession(emission.matrix)
    found = probe.splits(emission.forest, lambda some: looked_at.score(some.numbers, some.categories), rows)
    cases["boundaries"] = found.boundaries
    cases["categories"] = found.categories
    cases["missing"] = joined([cases["missing"], found.missing])
    return cases, found.left_out


def _batch_mismatches(session: ScoringSession, compared: Sequence[Comparison]) -> int:
    """Rows whose bits change with the batch they are in, or with their place in it."""
    pool = joined([c.rows.take(spread(len(c.rows), _BATCH_POOL // len(compared))) for c in compared])
    expected = np.concatenate([c.served.scores[spread(len(c.rows), _BATCH_POOL // len(compared))] for c in compared])
    mismatched = np.zeros(len(pool), dtype=bool)
    for size in BATCH_SIZES:
        for start in range(0, len(pool), size):
            part = np.arange(start, min(start + size, len(pool)))
            mismatched[part] |= ~_same(answers(session.score, pool.take(part)).scores, expected[part])
    shuffled = np.random.default_rng(0).permutation(len(pool))
    mismatched[shuffled] |= ~_same(answers(session.score, pool.take(shuffled)).scores, expected[shuffled])
    return int(mismatched.sum())


def _controls(emission: Emission, validation: Comparison, threshold: float) -> tuple[int, int]:
    """Models with one changed leaf or coefficient that were tried, and those of them that the comparison tells from the trained one."""
    nearest = _nearest(validation.trained.scores, 0.5, 1)
    trained = Answers(validation.trained.scores[nearest], validation.trained.refused[nearest])
    if not min(trained.scores[0], 1 - trained.scores[0]) > control.CERTAIN:
        return 0, 0
    row = validation.rows.take(nearest)
    found = [
        _compare(row, trained, answers(session.score, row), threshold, emission.tolerance).wrong(emission.tolerance)[0]
        for session in control.mutants(emission, row)
    ]
    return len(found), int(sum(found))


def _same(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (left == right) | (np.isnan(left) & np.isnan(right))
    return same


def _worst(
    compared: dict[str, Comparison],
    compare: Callable[[Rows], Comparison],
    columns: Sequence[FeatureColumn],
    tolerance: float,
) -> dict[str, str]:
    """The row in which the sides differ most, and for a wrong one the inputs without which they would agree."""
    ranks = {kind: np.where(c.wrong(tolerance), 2.0, 0.0) + c.difference for kind, c in compared.items()}
    kind = max(ranks, key=lambda name: float(ranks[name].max()))
    row, found = int(ranks[kind].argmax()), compared[kind]
    if ranks[kind][row] == 0:
        return {}
    told = {name: repr(value) for name, value in found.rows.values(row, columns).items()}
    told["(kind)"] = kind
    told["(trained)"] = "refused" if found.trained.refused[row] else repr(float(found.trained.scores[row]))
    told["(served)"] = "refused" if found.served.refused[row] else repr(float(found.served.scores[row]))
    right = np.flatnonzero(~compared["validation"].wrong(tolerance))
    if found.wrong(tolerance)[row] and len(right):
        good = compared["validation"].rows.take(right[:1])
        bad = found.rows.take(np.array([row]))
        told["(matters)"] = ", ".join(_matters(bad, good, compare, columns, tolerance))
    return told


def _matters(
    bad: Rows, good: Rows, compare: Callable[[Rows], Comparison], columns: Sequence[FeatureColumn], tolerance: float
) -> list[str]:
    """Inputs that must keep the bad row's value for the sides to disagree; the others get the good row's, one by one."""
    needed = []
    place = {"number": 0, "category": 0}
    for column in columns:
        trial = Rows(bad.numbers.copy(), bad.categories.copy())
        source, target = (
            (good.numbers, trial.numbers) if column.kind == "number" else (good.categories, trial.categories)
        )
        target[0, place[column.kind]] = source[0, place[column.kind]]
        place[column.kind] += 1
        if compare(trial).wrong(tolerance)[0]:
            bad = trial
        else:
            needed.append(column.name)
    return needed


def _digest(compared: dict[str, Comparison], model_sha256: str) -> str:
    digest = hashlib.sha256(model_sha256.encode())
    for kind, found in compared.items():
        digest.update(f"{kind} {len(found.rows)}".encode())
        digest.update(np.ascontiguousarray(found.rows.numbers).tobytes())
        for text in found.rows.categories.ravel().tolist():
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(4, "little"))
            digest.update(encoded)
        for side in (found.trained, found.served):
            digest.update(side.scores.tobytes())
            digest.update(side.refused.tobytes())
    return digest.hexdigest()
