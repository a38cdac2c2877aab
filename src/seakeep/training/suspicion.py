"""What the owner of a run should look at before trusting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from seakeep.features.frame import Frame
from seakeep.records.model import Decision, TopShare
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.run import Metric
from seakeep.training.evaluate import roc_auc

TOO_GOOD = 0.99
"""Area under the ROC curve above which a leak is likelier than a good model."""

_FEW = 100


def suspicions(
    train: Frame,
    validate: Frame,
    metrics: Mapping[str, Metric],
    paired: Mapping[str, Metric],
    decision: Decision,
    outputs: Outputs = PROBABILITY,
) -> tuple[str, ...]:
    """Sentences about a finished fit: likely leaks, thin data, dead features, no gain over the baselines."""
    if outputs.of_classes:
        return (
            *_leaks(validate, metrics, alone=False),
            *_rare(train, validate, outputs),
            *_dead(train, validate),
            *_no_gain(paired),
        )
    if not outputs.yes_or_no:
        return *_few(train, validate), *_dead(train, validate), *_no_gain(paired, "squared error")
    return (
        *_leaks(validate, metrics),
        *_thin(train, validate),
        *_dead(train, validate),
        *_no_gain(paired),
        *_ties(decision, metrics),
    )


def _leaks(validate: Frame, metrics: Mapping[str, Metric], *, alone: bool = True) -> Iterator[str]:
    area = metrics["roc_auc"].value if "roc_auc" in metrics else 0.0
    if area <= TOO_GOOD:
        return
    numbers = [column.name for column in validate.columns if column.kind == "number"] if alone else []
    told = [name for name in numbers if _area_alone(validate, name) > TOO_GOOD]
    culprits = f": {', '.join(told)} alone nearly tells the label" if told else ""
    yield f"roc_auc {area:.4f} is too good to be true; look for a feature that knows the outcome{culprits}"


def _area_alone(frame: Frame, name: str) -> float:
    values = frame.values[name]
    known = ~np.isnan(values)
    area = roc_auc(frame.label[known], values[known]) if known.any() else 0.5
    return max(area, 1 - area)


def _thin(train: Frame, validate: Frame) -> Iterator[str]:
    for rows, side in ((train, "training"), (validate, "validation")):
        positives = int(rows.label.sum())
        fewer = min(positives, len(rows) - positives)
        if not fewer:
            yield f"all {len(rows):,} {side} rows have the same label"
        elif fewer < _FEW:
            yield f"only {fewer} of {len(rows):,} {side} rows have the rarer label; the metrics are uncertain"


def _rare(train: Frame, validate: Frame, outputs: Outputs) -> Iterator[str]:
    for rows, side in ((train, "training"), (validate, "validation")):
        for code, name in enumerate(outputs.names):
            count = int((rows.label == code).sum())
            if count < _FEW:
                yield f"only {count} of {len(rows):,} {side} rows are of class {name}; the metrics are uncertain"


def _few(train: Frame, validate: Frame) -> Iterator[str]:
    for rows, side in ((train, "training"), (validate, "validation")):
        if len(rows) < _FEW:
            yield f"only {len(rows)} {side} rows; the metrics are uncertain"


def _dead(train: Frame, validate: Frame) -> Iterator[str]:
    for column in train.columns:
        values = train.values[column.name]
        missing = values == "" if column.kind == "category" else np.isnan(values)
        later = validate.values[column.name]
        if missing.all():
            yield f"feature {column.name} is missing in every training row"
        elif not missing.any() and bool((values == values[0]).all()):
            yield f"feature {column.name} is constant in training: {values[0]!s}"
        elif bool((later == "" if column.kind == "category" else np.isnan(later)).all()):
            yield f"feature {column.name} is missing in every validation row"


def _no_gain(paired: Mapping[str, Metric], loss: str = "log_loss") -> Iterator[str]:
    for name, difference in paired.items():
        if difference.high >= 0:
            yield (
                f"{loss} is not surely better than the {name} baseline's: difference {difference.value:+.4f} "
                f"[{difference.low:+.4f}, {difference.high:+.4f}]"
            )


def _ties(decision: Decision, metrics: Mapping[str, Metric]) -> Iterator[str]:
    if isinstance(decision, TopShare) and abs(metrics["alert_rate"].value - decision.share) > 0.1 * decision.share:
        yield (
            f"the decision says yes to {metrics['alert_rate'].value:.1%} of the validation rows, not to the declared "
            f"{decision.share:.1%}: too many rows have equal scores"
        )
