"""What a search for a faster version asked for, what it found, and how the version it chose was made."""

from __future__ import annotations

import msgspec

from seakeep.records.metric import Metric
from seakeep.records.version import Version


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate must keep, even by the pessimistic end of what was measured.

    Attributes
    ----------
    p99_ms
        Most milliseconds of 99 % of the calls; None: no limit.
    size_mb
        Most megabytes (10**6 bytes) of the model; None: no limit.
    loss
        How much worse it may be than the source: of the log-loss, or of the squared error as a share of the source's.
    batch
        Rows of one call.
    """

    p99_ms: float | None = None
    size_mb: float | None = None
    loss: float = 0.01
    batch: int = 1


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate is made of the source; with the source's artefact, its rows and a seed it gives the same bytes.

    Attributes
    ----------
    by
        The maker, by its registered name.
    told
        In words: ``100 of 300 trees``.
    settings
        What the maker needs to know.
    without
        Inputs of the source that it does not have.
    """

    by: str
    told: str
    settings: dict[str, bool | int | str] = {}
    without: tuple[str, ...] = ()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: a candidate and what was measured of it on the calibration rows.

    Attributes
    ----------
    told
        The recipe in words; ``"the source"`` is the version that was searched from.
    size_bytes
        Of the model; 0 if it could not be made.
    calls
        Calls that were timed in the last round it took part in.
    p50_us, p99_us, p99_high_us
        Time of one call; ``high`` is the upper end of a one-sided 95 % interval, None with too few calls for one.
    metric
        The metric the model is known by, with its 95 % interval.
    loss
        Loss minus the source's on the same rows (negative is better), with its 95 % interval.
    flips
        Rows whose decision differs from the source's.
    fault
        Why it cannot be chosen; ``""``: nothing stands in the way.
    pareto
        Whether no other candidate is at least as good in p99, size and loss, and better in one of them.
    """

    told: str
    size_bytes: int = 0
    calls: int = 0
    p50_us: float | None = None
    p99_us: float | None = None
    p99_high_us: float | None = None
    metric: Metric | None = None
    loss: Metric | None = None
    flips: int = 0
    fault: str = ""
    pareto: bool = False


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen candidate beside the source on the test rows, which had no part in the choice.

    Attributes
    ----------
    metric, source
        The metric the model is known by, and the source's.
    """

    rows: int
    loss: Metric
    metric: Metric | None
    source: Metric | None
    flips: int


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from that was not trained, but made of another one.

    Attributes
    ----------
    version, run
        The source: its reference, and the run it came from.
    recipe, seed
        What was done to it.
    attempts
        All candidates of the search, the source first.
    confirmed
        What the test rows say.
    """

    version: str
    run: str
    recipe: Recipe
    seed: int
    limits: Limits
    attempts: tuple[Attempt, ...]
    confirmed: Confirmed


class Optimised(msgspec.Struct, frozen=True, kw_only=True):
    """What a search gave.

    Attributes
    ----------
    source
        Reference of the version that was searched from.
    known_by
        The name of the metric of the table.
    attempts
        The source first, then all candidates.
    chosen
        The chosen candidate in words; ``""``: none.
    refusal
        Why neither a candidate nor the source keeps the limits, with the nearest; ``""`` if one of them does.
    confirmed
        Of the chosen one, by the test rows.
    version
        What was registered; None in a dry run, or if nothing was chosen.
    """

    source: str
    limits: Limits
    known_by: str
    attempts: tuple[Attempt, ...]
    chosen: str = ""
    refusal: str = ""
    confirmed: Confirmed | None = None
    version: Version | None = None
