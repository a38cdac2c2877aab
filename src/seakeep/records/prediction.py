"""What the flight recorder keeps: predictions, event batches and gaps."""

from __future__ import annotations

from typing import Any
from typing import Literal as OneOf

import msgspec

Rung = OneOf["stale", "standby", "rule"]
"""What stood in for a full answer: features as they were last known, a smaller version, the version's rule."""
Role = OneOf["champion", "canary", "shadow", "pinned", "stale", "standby", "rule", "cached"]
EXECUTED: tuple[Role, ...] = ("champion", "canary", "pinned", "stale", "standby", "cached")
"""Roles of predictions that reached a client and that the version's model gives again from their inputs."""
ANSWERED: tuple[Role, ...] = (*EXECUTED, "rule")
"""Roles of predictions that reached a client."""
FRESH: tuple[Role, ...] = ("champion", "canary", "pinned", "standby")
"""Roles of predictions whose features were those of their moment."""
FULL: tuple[Role, ...] = ("champion", "canary", "pinned")
"""Roles of predictions that are full answers, computed for their request."""
COMPARED: tuple[Role, ...] = ("champion", "canary", "shadow")
"""Roles of predictions that tell two versions apart: full answers, and what the other version would have said."""
Cell = bool | int | float | str | None


class Prediction(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="p"):
    """One prediction, complete enough to be executed again.

    Attributes
    ----------
    sequence
        Position among the records of its writer, from 1; gaps are counted with it.
    role
        Why this version computed it, and on which rung: ``stale``, its features were as last known; ``standby``, it is the
        smaller version; ``rule``, its rule answered in place of its model, which has no inputs then; ``cached``, it is an
        earlier answer. A ``shadow`` never reached a client.
    pair
        Of a shadow, the id of the answered prediction on the same request; of an answer that stood in for one that
        failed, the id of that one; of a cached answer, the id of the first; else ``""``.
    time_us
        The moment the prediction speaks for; features are as of this moment.
    recorded_us
        Wall clock when it was answered.
    key
        The asking row's key, by which the outcome is found; ``""`` if the client sent features directly.
    request
        The asking row as sent, after the recording policy.
    numbers, categories
        The model's inputs: values of the number columns and of the category columns, each in the order of the
        definition's columns. Missing is NaN and ``""``.
    feature_times_us
        For each view, when the newest event in it became known; 0 if it had none.
    score
        Probability of the positive class; of a model of numbers the number, of one of classes the probability of the class
        it answered with; NaN if it failed.
    parse_us .. total_us
        Time in each stage, microseconds.
    error
        ``""``, or the code of the error the client got.
    scores
        Of a model of classes the probability of each, in the order of its label's names; else empty, as if it failed.
    answer
        Of a model of classes the name of the class it answered with; else ``""``.
    """

    sequence: int
    id: str
    model: str
    version: int
    bundle: str
    role: Role
    pair: str
    time_us: int
    recorded_us: int
    key: str
    principal: str
    request: dict[str, Any]
    numbers: list[float]
    categories: list[str]
    feature_times_us: list[int]
    score: float
    decision: bool
    parse_us: float
    features_us: float
    queue_us: float
    model_us: float
    total_us: float
    error: str = ""
    scores: tuple[float, ...] = ()
    answer: str = ""


class EventBatch(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="e"):
    """Events that arrived together.

    Attributes
    ----------
    batch
        The sender's idempotency key (or one made for it): a batch counts once however often it is sent.
    columns
        Values by column; all lists have the same length. Times are microseconds since the epoch.
    """

    sequence: int
    batch: str
    source: str
    recorded_us: int
    columns: dict[str, list[Cell]]


class Gap(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="g"):
    """Records that are known to be missing, and why: never a silent loss.

    A gap has no number of its own: the records of a writer and the counts of its gaps add up to the last number it
    handed out.

    Attributes
    ----------
    sequence
        Number of the first missing record; after a crash, the first that the count can stand for.
    reason
        ``overflow``: the queue was full; ``disk``: it was full because the disk failed; ``crash``: handed out by a
        process that ended before it was recorded; ``invalid``: it could not be encoded; ``erased``: it was recorded,
        and taken out by an erasure at ``from_us``.
    """

    sequence: int
    writer: str
    count: int
    reason: OneOf["overflow", "disk", "crash", "invalid", "erased"]
    from_us: int
    to_us: int


Record = Prediction | EventBatch | Gap
