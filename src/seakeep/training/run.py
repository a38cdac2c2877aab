"""Assembles the record of a training run."""

from __future__ import annotations

import dataclasses
import hashlib

import msgspec

from seakeep.clock import Ids
from seakeep.records.model import ModelDefinition
from seakeep.records.run import Environment, Given, Run
from seakeep.training.fit import Fitted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that decides what a run gives; the attributes are those of :class:`seakeep.records.run.Run`."""

    id: str
    started_us: int
    seed: int
    as_of_us: int
    dataset: str
    code: dict[str, str]
    definition: ModelDefinition
    environment: Environment
    trainer: str = ""
    threads: int = 1
    given: Given | None = None


def new_run_id(ids: Ids) -> str:
    """``r-`` and twelve hexadecimal digits."""
    return f"r-{hashlib.sha256(ids.new().encode()).hexdigest()[:12]}"


def definition_digest(definition: ModelDefinition) -> str:
    """SHA-256 of a definition's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(definition, order="deterministic")).hexdigest()


def assemble(inputs: Inputs, fitted: Fitted, *, seconds: float) -> Run:
    """The run's record."""
    return Run(
        id=inputs.id,
        model=inputs.definition.name,
        started_us=inputs.started_us,
        seconds=seconds,
        seed=inputs.seed,
        as_of_us=inputs.as_of_us,
        validate_from_us=fitted.validate_from_us,
        dataset=inputs.dataset,
        code=inputs.code,
        definition=inputs.definition,
        definition_digest=definition_digest(inputs.definition),
        environment=inputs.environment,
        rows_trained=fitted.rows_trained,
        rows_validated=len(fitted.validate),
        threshold=fitted.threshold,
        metrics=fitted.metrics,
        baselines=fitted.baselines,
        paired=fitted.paired,
        slices=fitted.slices,
        artefact=fitted.sha256,
        warnings=fitted.warnings,
        trainer=inputs.trainer,
        threads=inputs.threads,
        given=inputs.given,
    )
