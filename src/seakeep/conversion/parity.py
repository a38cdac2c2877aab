"""The parity proof: the served model answers as the trained one, on real rows and where conversions go wrong.

Both sides score the same rows, the served side by the serving engine. Two kinds of numbers may differ: by the
tolerance that rounding explains, and in the decision of rows whose score is closer to the threshold than that.

A proof is worth what it would find: each one is also tried on models in which one leaf or coefficient was changed, and must find them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.conversion import control, probe
from seakeep.conversion.compare import Answers, Comparison, Rule, answers, weigh, without
from seakeep.conversion.rows import Rows, Scorer, joined, spread
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError
from seakeep.records.version import ParityProof
from seakeep.training.environment import installed
from seakeep.training.host import host_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.model import Emission
    from seakeep.records.feature import FeatureColumn

BATCH_SIZES = (1, 2, 7, 1000)
_BASE_ROWS = 3
_NEAR_THRESHOLD = 256
_BATCH_POOL = 1000
_CONTROL_ROWS = 6
_VISIBLE = 100
"""A change of the score that rounding does not explain is this many times the tolerance."""
_LARGEST_CHANGE = 0.5
_WEIGHTS, _DETECTABLE = 4, 4
"""Of a network a weight may hardly matter: a change counts if it moves the answer by this many times the tolerance,
and larger ones are tried until so many count."""
_PACKAGES = ("numpy", "onnx", "onnxruntime", "scikit-learn")
_OTHERS = {
    "catboost": ("catboost",),
    "lightgbm": ("lightgbm",),
    "torch": ("torch", "onnxscript"),
    "xgboost": ("xgboost", "xgboost-cpu"),
}


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
    rule = Rule(emission.outputs, threshold, emission.tolerance)
    doubt = ScoringSession(emission.doubt) if emission.doubt else None

    def compare(some: Rows) -> Comparison:
        found = weigh(some, answers(trained, some), answers(session.score, some), rule)
        return without(found, answers(doubt.score, some).scores.max(axis=1, initial=0.0) > 0) if doubt else found

    # Real rows in doubt are not excused: whoever has ties in his data gets other answers than he had.
    validation = weigh(rows, answers(trained, rows), answers(session.score, rows), rule)
    if bool(validation.trained.refused.all()):
        raise ConversionError(
            f"the estimator accepts none of the {len(rows)} validation rows, so nothing can be proved{why_refused(trained, rows)}",
            hint="train on the frame as it is given, with a validation period that holds rows",
        )
    near = nearest(rule.margin(validation.trained.scores), _NEAR_THRESHOLD)
    cases, told = _cases(emission, rows, near)
    compared = {"validation": validation, **{kind: compare(some) for kind, some in cases.items() if len(some)}}
    batch = _batch_mismatches(session, list(compared.values()))
    mutants, caught = _controls(emission, session, validation, rule)
    everything = list(compared.values())
    errors, nans, flips, ties = (
        sum(int(getattr(c, name).sum()) for c in everything) for name in ("error", "nan", "flip", "tie")
    )
    largest = max(float(c.difference.max()) for c in everything)
    counts = {kind: len(c.rows) for kind, c in compared.items()}
    counts["refused"] = sum(int(c.trained.refused.sum()) for c in everything)
    counts |= {kind: count for kind, count in told.items() if count}
    model_sha256 = hashlib.sha256(emission.model).hexdigest()
    return ParityProof(
        passed=largest <= emission.tolerance and not (errors or nans or flips or batch) and caught == mutants,
        cases=counts,
        max_difference=largest,
        flips=flips,
        near_ties=ties,
        nan_mismatches=nans,
        error_mismatches=errors,
        batch_mismatches=batch,
        mutants=mutants,
        mutants_caught=caught,
        tolerance=emission.tolerance,
        batch_sizes=BATCH_SIZES,
        worst=worst_of(compared, compare, emission.columns, emission.tolerance),
        versions=versions_in_proof(),
        model_sha256=model_sha256,
        artefact_sha256=artefact_sha256,
        digest=digest_of(compared, model_sha256),
        host=host_class(session.device),
    )


def versions_in_proof() -> dict[str, str]:
    """Versions of what takes part: of another framework only if it is in use, under whichever name it was installed."""
    others = [name for module, names in _OTHERS.items() if module in sys.modules for name in names]
    found = installed((*_PACKAGES, *others))
    return {name: version for name, version in found.items() if version or name not in others}


def why_refused(trained: Scorer, rows: Rows) -> str:
    """What the estimator says to the first row, as the end of a sentence; ``""``: nothing."""
    first = rows.take(np.arange(min(1, len(rows))))
    try:
        trained(first.numbers, first.categories)
    except Exception as error:  # noqa: BLE001 -- the plugin border, as above; the message is passed on
        return f": {error}"
    return ""


def nearest(margin: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The ``count`` rows nearest to another decision, of margins ``(n,)``; those without a score come last."""
    return np.argsort(np.where(np.isnan(margin), np.inf, margin), kind="stable")[:count]


def _cases(emission: Emission, rows: Rows, near: NDArray[np.int64]) -> tuple[dict[str, Rows], dict[str, int]]:
    """Rows by kind, and how many were not made, by reason."""
    base = near[:_BASE_ROWS]
    cases = {
        "threshold": rows.take(near),
        "missing": probe.missing(rows, base),
        "unseen": probe.unseen(rows, base),
        "extremes": probe.extremes(rows, base),
        "texts": probe.texts(rows, base, emission.texts),
    }
    if not emission.forests:
        return cases, {}
    most = probe.MOST_BOUNDARY_ROWS // len(emission.forests)
    found = []
    for forest, looked_at in emission.forests:
        session = ScoringSession(looked_at)
        found.append(probe.splits(forest, _looker(session), rows, most))
    cases["boundaries"] = joined([one.boundaries for one in found])
    cases["categories"] = joined([one.categories for one in found])
    cases["missing"] = joined([cases["missing"], *(one.missing for one in found)])
    told = {
        "boundaries-left-out": sum(one.left_out for one in found),
        "splits-untraced": sum(one.untraced for one in found),
    }
    return cases, told


def _looker(session: ScoringSession) -> Callable[[Rows], NDArray[np.float64]]:
    return lambda some: session.score(some.numbers, some.categories)


def _batch_mismatches(session: ScoringSession, compared: Sequence[Comparison]) -> int:
    """Rows whose bits change with the batch they are in, or with their place in it."""
    pool = joined([c.rows.take(spread(len(c.rows), _BATCH_POOL // len(compared))) for c in compared])
    expected = np.concatenate([c.served.scores[spread(len(c.rows), _BATCH_POOL // len(compared))] for c in compared])
    mismatched = np.zeros(len(pool), dtype=bool)
    for size in BATCH_SIZES:
        for start in range(0, len(pool), size):
            part = np.arange(start, min(start + size, len(pool)))
            mismatched[part] |= ~same(answers(session.score, pool.take(part)).scores, expected[part])
    shuffled = np.random.default_rng(0).permutation(len(pool))
    mismatched[shuffled] |= ~same(answers(session.score, pool.take(shuffled)).scores, expected[shuffled])
    return int(mismatched.sum())


def _controls(emission: Emission, session: ScoringSession, validation: Comparison, rule: Rule) -> tuple[int, int]:
    """Models with one changed leaf or coefficient that were tried, and those of them that the comparison tells from the trained one.

    Where some function of the model is constant in places, a change is made larger until the row's answer shows it.
    """
    trained = validation.trained
    if emission.outputs.kind == "probability":
        margin = np.abs(trained.scores[:, 0] - 0.5)
        margin[margin >= 0.5 - control.CERTAIN] = np.nan
    else:
        margin = rule.margin(trained.scores)
    closest = nearest(margin, 1).tolist()
    if emission.flat:
        closest += spread(len(margin), _CONTROL_ROWS).tolist()
    candidates = [row for row in closest if not np.isnan(margin[row])]
    best = (0, 0)
    for change in (1.0, 1e3, 1e6) if emission.flat else (1.0,):
        for row in candidates:
            size = change * (control.CHANGE and max(control.CHANGE, _VISIBLE * emission.tolerance))
            tried, caught = _control(emission, session, validation, rule, row, size)
            if caught < tried or tried >= (_WEIGHTS if emission.weights else 1):
                return tried, caught
            best = max(best, (tried, caught))
    return best


def _control(
    emission: Emission, session: ScoringSession, validation: Comparison, rule: Rule, row: int, change: float
) -> tuple[int, int]:
    """The same for one row and one size of change; in a flat model only changes that show count as tried."""
    chosen = np.array([row])
    one = validation.rows.take(chosen)
    expected = Answers(validation.trained.scores[chosen], validation.trained.refused[chosen])
    before = answers(session.score, one)
    after = [answers(mutant.score, one) for mutant in control.mutants(emission, one, change)]
    if emission.flat:
        after = [each for each in after if not same(each.scores, before.scores).all()]
    if emission.weights:
        least = _DETECTABLE * emission.tolerance
        after = [each for each in after if rule.difference(before.scores, each.scores)[0] > least]
    wrong = [weigh(one, expected, each, rule).wrong(emission.tolerance)[0] for each in after]
    if emission.flat and not all(wrong) and change < _LARGEST_CHANGE:
        return 0, 0
    return len(wrong), int(sum(wrong))


def same(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of scores ``(n, k)`` that are equal, ``(n,)``."""
    same: NDArray[np.bool_] = ((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1)
    return same


def worst_of(
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
    for side, sided in (("(trained)", found.trained), ("(served)", found.served)):
        scores = sided.scores[row].tolist()
        told[side] = "refused" if sided.refused[row] else ", ".join(map(repr, scores))
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


def digest_of(compared: dict[str, Comparison], model_sha256: str) -> str:
    """SHA-256 over a model, the rows it was tried on and both sides' answers."""
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
