"""Fits a model as its owner declared it, and judges it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import SeakeepError, TrainingError
from seakeep.features.frame import Frame
from seakeep.records.model import Model, ModelDefinition
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.run import Metric
from seakeep.training.artefact import digest, to_bytes
from seakeep.training.baselines import Baseline, fit_constant, fit_linear
from seakeep.training.evaluate import Scored, evaluate, evaluate_slices, paired_loss
from seakeep.training.split import default_validate_from, split
from seakeep.training.suspicion import suspicions
from seakeep.training.threshold import choose_threshold
from seakeep.training.usercode import describe, framework_of, home_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SUM_TOLERANCE = 1e-5
"""By how much the probabilities of a row may miss 1: single precision does, a little."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted estimator as bytes, and what is known of it.

    Attributes
    ----------
    artefact, sha256
        The estimator's bytes and their digest.
    validate
        The labelled rows that judged it, with the estimator's scores of them: float64 ``(n,)``, of classes ``(n, classes)``.
    metrics, baselines, paired, slices, warnings
        As in :class:`seakeep.records.run.Run`.
    """

    artefact: bytes
    sha256: str
    validate_from_us: int
    rows_trained: int
    validate: Frame
    scores: NDArray[np.float64]
    threshold: float
    metrics: dict[str, Metric]
    baselines: dict[str, dict[str, Metric]]
    paired: dict[str, Metric]
    slices: dict[str, dict[str, dict[str, Metric]]]
    warnings: tuple[str, ...]


def fit(
    model: Model,
    frame: Frame,
    *,
    train: Callable[[Frame], Any] | None = None,
    validate_from_us: int = 0,
    seed: int = 0,
) -> Fitted:
    """Train on the past, validate on what came after, and compare with a constant and a linear baseline.

    Parameters
    ----------
    frame
        All rows that could be known, with the labels known by then.
    train
        Trains in place of the model's own function.
    validate_from_us
        Rows from this moment on judge the model; 0: the last fifth of the labelled time range.
    seed
        Of the resampling behind the intervals.

    Raises
    ------
    TrainingError
        The train function failed, or its estimator cannot score the validation rows, or there is nothing to learn from.
    """
    validate_from_us = validate_from_us or default_validate_from(frame)
    learn, validate = sides_of(model, frame, validate_from_us)
    outputs = model.definition.label.outputs
    trainer = train or model.train
    folder = home_of(trainer)
    estimator = _call(lambda: trainer(learn), "train", folder)
    if framework_of(estimator):
        raise TrainingError(
            f"train returned a bare network of {framework_of(estimator)}, which does not say what it gives",
            hint="return sk.Network(module, gives='logits', inputs=12), alone or as the last step of a pipeline",
        )
    if estimator is None:
        raise TrainingError("train returned nothing", hint="end it with `return estimator`")
    asked = "predict" if outputs.kind == "value" else "predict_proba"
    scores = _call(lambda: predict(estimator, validate, outputs), f"{asked} on the validation rows", folder)
    return judge(
        model.definition, (learn, validate), scores, to_bytes(estimator), validate_from_us=validate_from_us, seed=seed
    )


def sides_of(model: Model, frame: Frame, validate_from_us: int) -> tuple[Frame, Frame]:
    """Rows to learn from and rows to judge by, whose labels are what the model's label is declared to be.

    Raises
    ------
    TrainingError
        One side has no row, or there is nothing to learn from.
    """
    learn, validate = split(frame, validate_from_us=validate_from_us)
    _check_labels(frame, learn, model.definition.label.outputs)
    return learn, validate


def judge(
    definition: ModelDefinition,
    sides: tuple[Frame, Frame],
    scores: NDArray[np.float64],
    artefact: bytes,
    *,
    validate_from_us: int,
    seed: int = 0,
) -> Fitted:
    """Judge scores of the validation rows, beside a constant and a linear baseline.

    Parameters
    ----------
    sides
        Labelled rows from which the baselines learn, and those after them that judge.
    scores
        Of the rows that judge, float64 ``(n,)``.
    artefact
        What gave the scores, as bytes.
    """
    learn, validate = sides
    decision, outputs = definition.decision, definition.label.outputs
    threshold = choose_threshold(decision, scores, outputs)
    rows = Scored(label=validate.label, score=scores, time_us=validate.time_us, outputs=outputs)
    metrics = evaluate(rows, threshold=threshold, seed=seed)
    baselines: dict[str, Baseline] = {"constant": fit_constant(learn, outputs), "linear": fit_linear(learn, outputs)}
    others = {name: baseline.score(validate) for name, baseline in baselines.items()}
    paired = {name: paired_loss(rows, other, seed=seed) for name, other in others.items()}
    return Fitted(
        artefact=artefact,
        sha256=digest(artefact),
        validate_from_us=validate_from_us,
        rows_trained=len(learn),
        validate=validate,
        scores=scores,
        threshold=threshold,
        metrics=metrics,
        baselines={
            name: evaluate(
                dataclasses.replace(rows, score=other),
                threshold=choose_threshold(decision, other, outputs),
                seed=seed,
            )
            for name, other in others.items()
        },
        paired=paired,
        slices={
            column.name: evaluate_slices(validate.values[column.name], rows, threshold=threshold, seed=seed)
            for column in validate.columns
            if column.kind == "category"
        },
        warnings=suspicions(learn, validate, metrics, paired, decision, outputs),
    )


def predict(estimator: Any, frame: Frame, outputs: Outputs = PROBABILITY) -> NDArray[np.float64]:
    """Probabilities of the positive class, or the numbers of a regressor: float64 ``(n,)``; of classes ``(n, classes)``.

    Raises
    ------
    TrainingError
        The estimator does not give probabilities of classes 0 and 1, or of the declared ones, or no finite number a row.
    """
    if outputs.kind == "value":
        return _numbers(estimator, frame)
    if not hasattr(estimator, "predict_proba"):
        raise TrainingError(
            f"train returned a {type(estimator).__name__}, which has no predict_proba",
            hint="return a fitted classifier; wrap one without probabilities in CalibratedClassifierCV",
        )
    if outputs.of_classes:
        return _of_classes(estimator, frame, outputs)
    probabilities = np.asarray(estimator.predict_proba(frame.to_pandas()))
    classes = list(getattr(estimator, "classes_", (0, 1)))
    if classes != [0, 1] or probabilities.shape != (len(frame), 2):
        raise TrainingError(
            f"predict_proba gives shape {probabilities.shape} for classes {[str(one) for one in classes]} on {len(frame):,} rows",
            hint="fit the estimator on frame.label: classes 0 and 1",
        )
    scores = np.ascontiguousarray(probabilities[:, 1], dtype=np.float64)
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise TrainingError(
            f"{int((~((scores >= 0) & (scores <= 1))).sum()):,} of {len(frame):,} scores are not between 0 and 1",
            hint="check how the estimator treats missing values",
        )
    return scores


def _of_classes(estimator: Any, frame: Frame, outputs: Outputs) -> NDArray[np.float64]:
    """Probabilities of the declared classes in their order, ``(n, classes)``, whatever the estimator's own is."""
    name = type(estimator).__name__
    try:
        order = outputs.columns_of(np.asarray(getattr(estimator, "classes_", ())).tolist())
    except ValueError as error:
        raise TrainingError(
            f"{name} is fitted on other classes than are declared: {error}",
            hint="fit it on frame.label, which holds the classes' places in sk.classes(...), or on their names; "
            "a network gives one number for each, in their order",
        ) from error
    told = np.asarray(estimator.predict_proba(frame.to_pandas()), dtype=np.float64)
    if told.shape != (len(frame), len(order)):
        raise TrainingError(
            f"predict_proba of {name} gives shape {told.shape} for {len(frame):,} rows",
            hint="one row each, one column a class",
        )
    scores = np.ascontiguousarray(told[:, list(order)])
    fair = ((scores >= 0) & (scores <= 1)).all(axis=1) & (np.abs(scores.sum(axis=1) - 1) < _SUM_TOLERANCE)
    if not fair.all():
        raise TrainingError(
            f"{int((~fair).sum()):,} of {len(frame):,} rows have no probabilities that add up to 1",
            hint="check how the estimator treats missing values",
        )
    return scores


def _numbers(estimator: Any, frame: Frame) -> NDArray[np.float64]:
    name = type(estimator).__name__
    if not hasattr(estimator, "predict") or hasattr(estimator, "classes_"):
        raise TrainingError(f"train returned a {name}, which is no regressor", hint="the label is declared as a number")
    values = np.asarray(estimator.predict(frame.to_pandas()), dtype=np.float64)
    values = np.ascontiguousarray(values.reshape(len(frame), -1)[:, 0] if values.size == len(frame) else values)
    if values.shape != (len(frame),) or not np.isfinite(values).all():
        raise TrainingError(
            f"{name} gives shape {values.shape} for {len(frame):,} rows, {int((~np.isfinite(values)).sum()):,} not finite",
            hint="fit a regressor of one value on frame.label; check how it treats missing values",
        )
    return values


def _check_labels(frame: Frame, learn: Frame, outputs: Outputs) -> None:
    if outputs.of_classes:
        absent = [name for code, name in enumerate(outputs.names) if not (learn.label == code).any()]
        if absent:
            raise TrainingError(
                f"no training row is of class {', '.join(absent)}",
                hint="train on a longer past, or leave it out of sk.classes(...)",
            )
        return
    told = frame.label[~np.isnan(frame.label)]
    odd = told[(told != 0) & (told != 1)] if outputs.yes_or_no else told[~np.isfinite(told)]
    if len(odd) and not outputs.yes_or_no:
        raise TrainingError(f"{len(odd):,} labels are infinite", hint="clean the label's column in a loader")
    if len(odd):
        raise TrainingError(
            f"{len(odd):,} labels are neither 0 nor 1, for example {odd[0]:g}",
            hint='write the label as a comparison, as in col("delay") > 15, or declare it: answers=sk.number()',
        )
    if learn.label.min() == learn.label.max():
        raise TrainingError(
            f"all {len(learn):,} training rows have label {learn.label[0]:g}", hint="check the label's expression"
        )


def _call(function: Callable[[], Any], what: str, folder: Path | None) -> Any:
    try:
        return function()
    except SeakeepError:
        raise
    except Exception as error:  # the border to the user's code
        raise TrainingError(
            f"{what} failed: {describe(error, folder)}", hint="mend the train function in the project"
        ) from error
