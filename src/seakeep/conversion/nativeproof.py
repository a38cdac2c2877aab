"""The proof of a natively served model: read back in a process of its own, it gives the trained estimator's own bits.

There is no other model to compare with, so no tolerance either, and no borders of splits to look for. What can go wrong is
that the file is not the estimator, that another process computes otherwise, or that the last bits of a row depend on the
rows beside it. The first two fail the proof; in the third case each row is scored by itself from then on, on both sides.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.conversion import probe
from seakeep.conversion.compare import Answers, Comparison, Rule, answers, weigh
from seakeep.conversion.native import native_scorer
from seakeep.conversion.nativesession import NativeSession
from seakeep.conversion.packed import CodeFile, Native, OwnCode, Packed, pack
from seakeep.conversion.parity import BATCH_SIZES, digest_of, nearest, same, versions_in_proof, why_refused, worst_of
from seakeep.conversion.rows import Rows, Scorer, joined, spread
from seakeep.conversion.skopsfile import dumps
from seakeep.errors import ConversionError
from seakeep.records.version import ParityProof
from seakeep.training.environment import installed
from seakeep.training.host import host_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from seakeep.records.feature import FeatureColumn
    from seakeep.records.outputs import Outputs

MOST_ALONE = 2_000
"""Validation rows tried where each is scored by itself."""
_FRAMEWORKS = {
    "scikit-learn": "sklearn", "xgboost": "xgboost", "xgboost-cpu": "xgboost", "lightgbm": "lightgbm",
    "catboost": "catboost",
}  # fmt: skip
_NEAR, _BASE, _POOL = 256, 3, 300


def steady(estimator: Any) -> None:
    """Let every part of an estimator work in one thread: the sum of several has no fixed order, and so no fixed last bit."""
    seen: set[int] = set()
    pending = [estimator]
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            pending += one.values()
        elif isinstance(one, list | tuple):
            pending += one
        elif hasattr(one, "get_params") and hasattr(one, "__dict__"):
            if getattr(one, "n_jobs", None) is not None:
                one.n_jobs = 1
            pending += vars(one).values()


def packed_model(estimator: Any, columns: Sequence[FeatureColumn], outputs: Outputs, own: OwnCode) -> Packed:
    """An estimator as it is served natively.

    Raises
    ------
    ConversionError
        A part of it cannot be stored without pickle, or is of a type that is not trusted.
    """
    estimator_file = dumps(estimator, own.files)
    code: dict[str, CodeFile] = {name: own.files[name] for name in sorted(own.imported)}
    native = Native(
        columns=tuple(columns),
        outputs=outputs,
        modules={name: one.path for name, one in code.items()},
        versions=_versions_in_use(),
    )
    return Packed(native=native, estimator=estimator_file, code=code)


def prove_native(
    estimator: Any, packed: Packed, rows: Rows, *, threshold: float, artefact_sha256: str
) -> tuple[bytes, ParityProof]:
    """Hold a packed model, read back in a process of its own, against the estimator it was made of.

    Parameters
    ----------
    rows
        Validation rows, at least one.
    threshold
        The deployed threshold.
    artefact_sha256
        Digest of the estimator, for the record.

    Returns
    -------
    tuple
        The file, which says whether rows are scored one by one, and its proof.

    Raises
    ------
    ConversionError
        The estimator refuses all rows.
    IntegrityError
        The file cannot be loaded.
    """
    native = packed.native
    trained = native_scorer(estimator, native.columns, native.outputs)
    rule = Rule(native.outputs, threshold, 0.0)
    first = _accepted(estimator, native, trained, rows)
    cases = _cases(rows, nearest(rule.margin(first.scores), _NEAR))
    alone = _dependent(trained, [rows, *cases.values()]) > 0
    if alone:
        native = msgspec.structs.replace(native, alone=True)
        rows = rows.take(spread(len(rows), MOST_ALONE))
        trained = one_by_one(trained)
    model = pack(msgspec.structs.replace(packed, native=native))
    session = NativeSession(model)

    def compare(some: Rows) -> Comparison:
        return weigh(some, answers(trained, some), answers(session.score, some), rule)

    try:
        compared = {kind: compare(some) for kind, some in {"validation": rows, **cases}.items() if len(some)}
        batch = _dependent(session.score, [found.rows for found in compared.values()])
        worst = worst_of(compared, compare, native.columns, 0.0)
    finally:
        session.close()
    everything = list(compared.values())
    errors, nans, flips = (sum(int(getattr(c, name).sum()) for c in everything) for name in ("error", "nan", "flip"))
    bits = sum(_other_bits(c.trained, c.served) for c in everything)
    model_sha256 = hashlib.sha256(model).hexdigest()
    proof = ParityProof(
        passed=not (bits or errors or nans or flips or batch),
        cases={kind: len(found.rows) for kind, found in compared.items()}
        | {"refused": sum(int(c.trained.refused.sum()) for c in everything)},
        max_difference=max(float(c.difference.max()) for c in everything),
        flips=flips,
        nan_mismatches=nans,
        error_mismatches=errors,
        batch_mismatches=batch,
        tolerance=0.0,
        batch_sizes=BATCH_SIZES,
        worst=worst,
        versions=versions_in_proof() | native.versions,
        model_sha256=model_sha256,
        artefact_sha256=artefact_sha256,
        digest=digest_of(compared, model_sha256),
        host=host_class(),
    )
    return model, proof


def _accepted(estimator: Any, native: Native, trained: Scorer, rows: Rows) -> Answers:
    """The estimator's answers to the validation rows; ConversionError if they are none, or not of the declared form."""
    first = answers(trained, rows)
    if bool(first.refused.all()):
        raise ConversionError(
            f"the estimator accepts none of the {len(rows)} validation rows, so nothing can be proved{why_refused(trained, rows)}",
            hint="train on the frame as it is given, with a validation period that holds rows",
        )
    width = 1 if native.outputs.single else len(native.outputs.names)
    if first.scores.shape[1] not in {1, width}:
        raise ConversionError(
            f"{type(estimator).__name__} gives {first.scores.shape[1]} numbers a row where {native.outputs.kind} has {width}",
            hint="fit one estimator for each of the numbers",
        )
    return first


def one_by_one(scorer: Scorer) -> Scorer:
    """The same answers, each row scored by itself."""

    def score(numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        parts = [scorer(numbers[at : at + 1], categories[at : at + 1]) for at in range(len(numbers))]
        return np.concatenate(parts)

    return score


def _versions_in_use() -> dict[str, str]:
    """Versions of the frameworks that this process has imported, by the name they were installed under."""
    names = [name for name, module in _FRAMEWORKS.items() if module in sys.modules]
    found = installed(names)
    return {name: found[name] for name in names if found[name]}


def _cases(rows: Rows, near: NDArray[np.int64]) -> dict[str, Rows]:
    base = near[:_BASE]
    return {
        "threshold": rows.take(near),
        "missing": probe.missing(rows, base),
        "unseen": probe.unseen(rows, base),
        "extremes": probe.extremes(rows, base),
    }


def _dependent(scorer: Callable[..., NDArray[np.float64]], parts: Sequence[Rows]) -> int:
    """Rows whose bits change with the batch they are in, or with their place in it."""
    pool = joined([part.take(spread(len(part), _POOL // len(parts))) for part in parts if len(part)])
    expected = answers(scorer, pool).scores
    mismatched = np.zeros(len(pool), dtype=bool)
    for size in BATCH_SIZES[:-1]:
        for start in range(0, len(pool), size):
            part = np.arange(start, min(start + size, len(pool)))
            mismatched[part] |= ~same(answers(scorer, pool.take(part)).scores, expected[part])
    shuffled = np.random.default_rng(0).permutation(len(pool))
    mismatched[shuffled] |= ~same(answers(scorer, pool.take(shuffled)).scores, expected[shuffled])
    return int(mismatched.sum())


def _other_bits(trained: Answers, served: Answers) -> int:
    """Rows whose scores are not the same 64 bits; any NaN is as good as another."""
    left, right = np.broadcast_arrays(trained.scores, served.scores)
    equal = (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
    return int((~equal).any(axis=1).sum())
