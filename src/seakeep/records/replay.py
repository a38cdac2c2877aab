"""What recorded traffic shows when it goes through a version again, or through another one."""

from __future__ import annotations

import msgspec

from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.run import Metric


class ReplayedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What one version had answered, beside what the version under replay answers to the same rows.

    Attributes
    ----------
    version
        The version that answered then.
    rows
        Its recorded answers that were executed again.
    equal
        Those whose score has the same 64 bits.
    decisions
        Those whose decision is another one now.
    refused
        Those that the version under replay gives no score.
    largest
        Largest absolute difference where there are two scores; 0 if there is none.
    examples
        Ids of a few whose bits differ, in the order they were read.
    """

    version: int
    rows: int
    equal: int
    decisions: int
    refused: int
    largest: float
    examples: tuple[str, ...] = ()


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A range of recorded traffic through one version.

    Attributes
    ----------
    from_us, to_us
        The range, ``to_us`` outside; None where it is open.
    failed
        Recorded requests that had failed: they have no inputs to execute again.
    unmatched
        Requests left out because an input of the version was not recorded and their row cannot be read again.
    recomputed
        Inputs that were recomputed from the requests and the sources' history, as of each request.
    versions
        By the version that had answered.
    seconds
        How long it took.
    """

    model: str
    version: int
    from_us: int | None
    to_us: int | None
    failed: int
    unmatched: int
    recomputed: tuple[str, ...]
    versions: tuple[ReplayedVersion, ...]
    seconds: float

    @property
    def rows(self) -> int:
        """Requests executed again."""
        return sum(one.rows for one in self.versions)

    @property
    def equal(self) -> int:
        """Those whose score has the same bits."""
        return sum(one.equal for one in self.versions)

    @property
    def holds(self) -> bool:
        """Whether no answer of the version itself came out differently, in any bit."""
        return all(one.equal == one.rows for one in self.versions if one.version == self.version)


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows went up and how many went down, and whether that can be chance.

    Attributes
    ----------
    up, down
        Of decisions: from no to yes, and from yes to no. Of outcomes: decided rightly only now, and only before.
    net
        ``(up - down) / rows`` with a 95 % interval: the wider of two, one from resampled blocks of time, because rows of
        one day are alike, and one that holds for few rows too.
    p_value
        Of a net this far from zero if the two versions were interchangeable; for slices after correction for the
        number of slices looked at (false discovery rate).
    """

    rows: int
    up: int
    down: int
    net: Metric
    p_value: float


class SliceShift(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one category input; ``outcomes`` is None where none is known."""

    column: str
    value: str
    decisions: Shift
    outcomes: Shift | None


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions beside outcomes, counted."""

    hits: int
    false_alarms: int
    missed: int
    silent: int


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two versions, on the rows that both executed.

    Attributes
    ----------
    threshold
        Score from which its decision is "yes".
    refused
        Rows it gives no score; their decision counts as "no".
    alerts
        Rows it decides "yes".
    confusion, metrics
        On rows whose outcome is known and that both gave a score; empty or None if there is none.
    p50_us, p99_us
        Time in the model for one row, microseconds, on the same rows in turn with the other side.
    cpu_s_per_million
        CPU seconds in the model for a million rows, one at a time.
    batch_cpu_s_per_million
        The same in batches.
    """

    version: int
    threshold: float
    refused: int
    alerts: int
    confusion: Confusion | None
    metrics: dict[str, Metric]
    p50_us: float
    p99_us: float
    cpu_s_per_million: float
    batch_cpu_s_per_million: float


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded traffic through a candidate and another version, with the features as they were.

    Attributes
    ----------
    from_us, to_us
        The range, ``to_us`` outside.
    rows
        Requests that both executed.
    failed, unmatched, recomputed
        As for :class:`Replay`.
    irreproducible
        Recorded answers of ``against`` whose bits did not come out again: 0 on the class of host that served them.
    equal
        Rows to which both give the same bits.
    mean_difference, largest
        Mean of candidate minus other, and the largest absolute one, where both give a score.
    decisions
        Those that cross the threshold.
    outcomes
        Decisions that became right or wrong, where the outcome is known; None if none is.
    differences
        Candidate minus other, by metric, with 95 % intervals.
    blocks, whole_days
        Stretches of time that were resampled for the intervals, and whether they are days; with fewer than ten days
        they are parts of days, and the intervals do not tell how unlike the days of other weeks may be.
    slices
        Every value of every category input, in the order of evidence.
    outputs
        What the versions answer. Of numbers, ``decisions`` are those that became larger or smaller, and ``outcomes`` those
        that came nearer to what came of it or went further from it.
    """

    model: str
    from_us: int
    to_us: int
    rows: int
    failed: int
    unmatched: int
    recomputed: tuple[str, ...]
    irreproducible: int
    equal: int
    mean_difference: float
    largest: float
    decisions: Shift
    outcomes: Shift | None
    candidate: Side
    against: Side
    differences: dict[str, Metric]
    blocks: int
    whole_days: bool
    slices: tuple[SliceShift, ...]
    outputs: Outputs = PROBABILITY


class SequentialTest(msgspec.Struct, frozen=True, kw_only=True):
    """A question to live pairs whose answer holds at whatever moment one looks.

    Attributes
    ----------
    question
        What would be harm.
    p_value
        At most this probable, however often one looks, if there is no harm.
    sentence
        What was counted.
    """

    question: str
    p_value: float
    sentence: str


class ShadowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Champion and candidate on the live requests that both scored.

    Attributes
    ----------
    from_us, to_us
        When the rollout began and ended, wall clock; ``to_us`` is None while it goes on.
    pairs, labelled
        Requests that both scored, and those of them with an outcome.
    equal
        Pairs with the same bits.
    up, down
        Decisions from no to yes and from yes to no, each version at its own threshold.
    largest
        Largest absolute difference of scores.
    differences
        Candidate minus champion: ``score``, ``alert_rate`` and, with outcomes, ``brier``; each with an interval that
        holds with 95 % probability at all moments together.
    tests
        Harm, question by question.
    outputs
        What the versions answer. Of numbers, ``up`` and ``down`` are those that are larger and smaller, and of
        ``differences`` there is ``capped_loss``, with outcomes: squared errors as shares of nine times the champion's usual
        one, at most 1.
    """

    model: str
    champion: int
    candidate: int
    from_us: int
    to_us: int | None
    pairs: int
    labelled: int
    equal: int
    up: int
    down: int
    largest: float
    differences: dict[str, Metric]
    tests: tuple[SequentialTest, ...]
    outputs: Outputs = PROBABILITY
