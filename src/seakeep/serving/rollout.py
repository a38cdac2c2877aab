"""Leads a candidate through its canary stages, or takes it back, on the evidence of the recorder.

While a candidate exists, champion and candidate score the same requests: one answers, the other in its shadow. The
controller follows the recorder, builds pairs, has them judged, and advances, completes or rolls back. Only the
comparison on the same traffic may roll back, never an absolute number: the world may change for both.

It keeps no state of its own. After a restart it reads the releases and the records again and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal as OneOf
from typing import Protocol

import msgspec

from seakeep.clock import MICROSECONDS, Clock
from seakeep.errors import ConflictError
from seakeep.features.rows import cells_to_table
from seakeep.recorder.pairs import Pairing, PairTable
from seakeep.recorder.query import outcomes_of
from seakeep.recorder.reader import Tail
from seakeep.records.model import Canary, Label
from seakeep.records.prediction import ANSWERED, EventBatch, Gap, Prediction
from seakeep.records.release import Receipt, Release
from seakeep.records.source import ColumnSchema

SETTLE_US = MICROSECONDS
"""How long after a switch the receipt waits for records still on their way: far longer than a group commit."""

_GROWTH = 1.02
"""New evidence is judged when there is this much more of it."""


class Judgement(Protocol):
    """What a comparison found; :class:`seakeep.serving.comparison.Judgement` is one."""

    @property
    def action(self) -> OneOf["advance", "rollback", "wait"]:
        """What the evidence supports."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """One sentence each, with numbers."""
        ...


class Releases(Protocol):
    """Where releases are kept and changed; the registry's promotion is one."""

    def history(self, model: str) -> Sequence[Release]:
        """All releases of a model, oldest first."""
        ...

    def advance(self, model: str, share: float, *, revision: int, reason: str) -> Release:
        """Let the candidate answer a larger share; at 1 it becomes the champion. ConflictError if not at ``revision``."""
        ...

    def rollback(self, model: str, *, revision: int, reason: str) -> Release:
        """Take the candidate back. ConflictError if the release is not at ``revision`` any more."""
        ...


class Receipts(Protocol):
    """Where receipts are kept."""

    def receipts(self, model: str) -> Sequence[Receipt]:
        """All receipts of a model."""
        ...

    def add_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt."""
        ...


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The model a controller looks after.

    Attributes
    ----------
    canary
        Its stages.
    label, schema
        Its outcome, and the columns of the outcome's source.
    """

    name: str
    canary: Canary
    label: Label
    schema: tuple[ColumnSchema, ...]


class RolloutController:
    """Looks after the rollouts of one model; call :meth:`step` about ten times a second.

    Parameters
    ----------
    subject
        The model.
    predictions, events
        The recorder's folders.
    releases, receipts
        Where releases are changed and receipts are kept.
    judge
        Compares the pairs; :func:`seakeep.serving.comparison.judge`.
    clock
        The wall clock that also dates the records.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        predictions: Path,
        events: Path,
        releases: Releases,
        receipts: Receipts,
        judge: Callable[[PairTable, Canary], Judgement],
        clock: Clock,
    ) -> None:
        self._subject, self._predictions, self._events = subject, predictions, events
        self._releases, self._receipts, self._judge, self._clock = releases, receipts, judge, clock
        self._rollout: _Rollout | None = None
        self._finished: set[int] = set()

    def step(self) -> Receipt | None:
        """Look at what was recorded since the last step and act on it; the receipt, if a rollout has ended."""
        history = self._releases.history(self._subject.name)
        span = self._unfinished(history)
        if span is None:
            self._forget()
            return None
        if self._rollout is None or self._rollout.span.started != span.started:
            self._forget()
            self._rollout = _Rollout(self._subject, span, self._predictions, self._events)
        rollout = self._rollout
        rollout.read()
        if span.ended is None:
            if rollout.has_news():
                self._act(rollout, history[-1])
            return None
        if self._clock.now_us() < span.ended.from_us + SETTLE_US:
            return None
        receipt = rollout.receipt(span.ended)
        self._receipts.add_receipt(receipt)
        self._forget()
        return receipt

    def _unfinished(self, history: Sequence[Release]) -> Span | None:
        """The oldest rollout without a receipt."""
        found = spans(history)
        if len(found) > len(self._finished):
            self._finished = {one.started_us for one in self._receipts.receipts(self._subject.name)}
        return next((span for span in found if span.started.from_us not in self._finished), None)

    def _act(self, rollout: _Rollout, current: Release) -> None:
        pairs, canary = rollout.table(), self._subject.canary
        judgement = self._judge(pairs, canary)
        if judgement.action == "advance" and current.candidate and current.candidate.held:
            return  # an A/B test is ended by a person
        if judgement.action == "advance":
            # All pairs of the rollout may take it back; each stage must be earned by pairs and outcomes of its own.
            judgement = self._judge(pairs.since(current.from_us), canary)
            if judgement.action != "advance":
                return
        reason = "; ".join(judgement.reasons)
        try:
            if judgement.action == "rollback":
                self._releases.rollback(self._subject.name, revision=current.revision, reason=reason)
            elif judgement.action == "advance":
                share = _next_stage(canary, current)
                self._releases.advance(self._subject.name, share, revision=current.revision, reason=reason)
        except ConflictError:
            return  # somebody else changed the release first; the next step sees what they did

    def _forget(self) -> None:
        if self._rollout:
            self._rollout.close()
        self._rollout = None


class _Rollout:
    """One rollout: what the recorder tells of it so far."""

    def __init__(self, subject: Subject, span: Span, predictions: Path, events: Path) -> None:
        self.span, self._subject = span, subject
        self._pairing = Pairing(subject.name, span.champion, span.candidate)
        self._predictions = Tail(predictions, since_us=span.started.from_us)
        self._events = Tail(events, since_us=span.started.from_us)
        self._answers: list[tuple[int, bool, bool]] = []
        self._gaps: list[Gap] = []
        self._judged = 0.0

    def read(self) -> None:
        """Take in what was recorded since the last time."""
        for record in self._predictions.poll():
            if isinstance(record, Gap):
                self._gaps.append(record)
            elif isinstance(record, Prediction) and record.model == self._subject.name:
                self._pairing.add(record)
                if record.role in ANSWERED and record.role != "pinned":
                    by_candidate = record.role == "canary" and record.version == self.span.candidate
                    self._answers.append((record.recorded_us, bool(record.error), by_candidate))
        source = self._subject.label.source
        for record in self._events.poll():
            if isinstance(record, EventBatch) and record.source == source.name:
                found = outcomes_of([cells_to_table(record.columns, self._subject.schema, source)], self._subject.label)
                columns = (found.key.tolist(), found.value.tolist(), found.known_us.tolist())
                for key, value, known_us in zip(*columns, strict=True):
                    self._pairing.outcome(key, value, known_us)

    def has_news(self) -> bool:
        """Whether there is enough new evidence to judge again."""
        evidence = len(self._pairing) + self._pairing.outcomes
        if not len(self._pairing) or evidence < self._judged * _GROWTH or evidence == self._judged:
            return False
        self._judged = evidence
        return True

    def table(self) -> PairTable:
        """All pairs so far."""
        return self._pairing.table(self._subject.label.delay_us)

    def receipt(self, ended: Release) -> Receipt:
        """What the rollout did to whom, counted from the records.

        It ended at the switch or, where a worker saw the switch later, with the candidate's last answer.
        """
        span = self.span
        taken_back = ended.champion is None or ended.champion.version != span.candidate
        late = (moment for moment, _, by_candidate in self._answers if by_candidate and taken_back)
        ended_us = max(ended.from_us, max(late, default=0))
        counted = [answer for answer in self._answers if answer[0] <= ended_us]
        missing = sum(gap.count for gap in self._gaps if gap.from_us <= ended_us)
        evidence = tuple(ended.reason.split("; "))
        if missing:
            evidence += (f"{missing} records of this time are missing from the recorder.",)
        return Receipt(
            model=self._subject.name,
            champion=span.champion,
            candidate=span.candidate,
            outcome="rolled-back" if taken_back else "completed",
            reason=ended.reason,
            started_us=span.started.from_us,
            ended_us=ended_us,
            requests=len(counted),
            failed=sum(failed for _, failed, _ in counted),
            answered_by_candidate=sum(by_candidate for _, _, by_candidate in counted),
            detect_s=(ended.from_us - span.started.from_us) / MICROSECONDS,
            switch_s=(ended_us - ended.from_us) / MICROSECONDS,
            evidence=evidence,
        )

    def close(self) -> None:
        """Let go of the recorder's files."""
        self._predictions.close()
        self._events.close()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout in the releases: how it started, with whom, and how it ended (None: not yet)."""

    started: Release
    ended: Release | None
    champion: int
    candidate: int


def spans(history: Sequence[Release]) -> list[Span]:
    """The rollouts of a history, oldest first: from the first release with a candidate beside a champion, to the
    first without it.
    """
    found: list[Span] = []
    running: Span | None = None
    for release in history:
        candidate = release.candidate.version if release.candidate else 0
        if running and candidate != running.candidate:
            found.append(msgspec.structs.replace(running, ended=release))
            running = None
        if running is None and candidate and release.champion:
            running = Span(started=release, ended=None, champion=release.champion.version, candidate=candidate)
    return [*found, running] if running else found


def _next_stage(canary: Canary, current: Release) -> float:
    """The first share above the one in force; 1 if there is none."""
    weight = current.candidate.weight if current.candidate else 0.0
    return next((stage for stage in canary.stages if stage > weight), 1.0)
