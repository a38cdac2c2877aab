"""After a writer died: seal what it left, and count exactly what is missing."""

from __future__ import annotations

import os
from pathlib import Path

from seakeep.clock import Clock
from seakeep.errors import RecorderError
from seakeep.recorder.appender import Appender, Group, rename_sealed
from seakeep.recorder.layout import Part, parts, writers
from seakeep.recorder.ledger import Ledger
from seakeep.recorder.segment import moment_us, read_segment, weight
from seakeep.records.prediction import Gap


def recover(folder: Path, clock: Clock) -> list[Gap]:
    """Seal the segments of all writers that died, and write a gap for what each had handed out but not recorded.

    Writers that live are left alone. Running it again, or after it was itself killed, changes nothing more.

    Returns
    -------
    list of Gap
        The gaps written now.
    """
    found = []
    for writer in writers(folder):
        try:
            ledger = Ledger(folder, writer)
        except RecorderError:
            continue  # it lives
        try:
            found.append(settle(ledger, clock))
        finally:
            ledger.close()
    return [gap for gap in found if gap]


def settle(ledger: Ledger, clock: Clock) -> Gap | None:
    """Seal what a dead writer left; its ledger is ours now.

    Returns
    -------
    Gap or None
        What was missing, as written; None if nothing was.
    """
    from_us = 0
    for part in parts(ledger.folder)[0]:
        if part.writer == ledger.writer and part.state == "open":
            from_us = _seal(part, ledger)
    missing = ledger.sequence - ledger.accounted
    if missing <= 0:
        # After a loss of power the ledger may be older than the records.
        ledger.sequence = max(ledger.sequence, ledger.accounted)
        return None
    return write_gap(ledger, clock, missing, from_us=from_us)


def write_gap(ledger: Ledger, clock: Clock, missing: int, *, from_us: int) -> Gap:
    """Record that the last ``missing`` numbers handed out never came, in a segment of its own."""
    now_us = clock.now_us()
    gap = Gap(
        sequence=ledger.sequence - missing + 1,
        writer=ledger.writer,
        count=missing,
        reason="crash",
        from_us=from_us or now_us,
        to_us=max(from_us, now_us),  # the clock may have been set back
    )
    group = Group()
    group.add(gap)
    appender = Appender(ledger, now_us)
    appender.write(group)
    appender.seal()
    return gap


def _seal(part: Part, ledger: Ledger) -> int:
    """Cut the torn tail off a segment and seal it; what it accounts for goes into the ledger.

    Returns
    -------
    int
        When its newest record was made; 0 if it has none.
    """
    reader = read_segment(part.path)
    header = reader.header()
    if header is None:
        part.path.unlink()  # died while beginning it
        return 0
    accounted = last = newest_us = 0
    for record in reader.records():
        accounted += weight(record)
        last = max(last, record.sequence + weight(record) - 1)
        newest_us = max(newest_us, moment_us(record))
    ledger.accounted = header.accounted + accounted
    ledger.sequence = max(ledger.sequence, last)
    ledger.segment = max(ledger.segment, header.number)
    if not accounted:
        part.path.unlink()
        return 0
    descriptor = os.open(part.path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, reader.offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    rename_sealed(part.path)
    return newest_us
