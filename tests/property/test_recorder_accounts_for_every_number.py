"""Whatever is appended, dropped, abandoned or cut off: records and gap counts add up to the numbers handed out."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recording import NOW_US, prediction, writer

from seakeep.clock import FixedClock
from seakeep.recorder.compaction import compact
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.recovery import recover
from seakeep.records.prediction import Gap

steps = st.lists(
    st.sampled_from(
        ["append", "append", "append", "abandon", "commit", "restart", "kill", "compact", "poll", "broken"]
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(steps, st.data())
def test_records_and_gaps_add_up(todo, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = FixedClock(NOW_US)
        tail = Tail(folder)
        followed = []
        pen = writer(folder, clock=clock, queue_records=4, commit_ms=60_000)
        handed = 0
        for step in todo:
            clock.value_us += 1
            if step in {"append", "broken"}:
                handed = pen.next_sequence()
                pen.append(prediction(handed, request={"n": 2**70} if step == "broken" else {}))
            elif step == "abandon":
                handed = pen.next_sequence(3) + 2
            elif step == "commit":
                pen.commit()
            elif step == "restart":
                pen.close()
                pen = writer(folder, clock=clock, queue_records=4, commit_ms=60_000)
            elif step == "kill":
                # Close, then forget the end of the last segment: what a kill leaves of an unfinished group.
                pen.close()
                cut(folder, data.draw(st.integers(0, 400)))
                recover(folder, clock)
                tail.close()
                tail, followed = Tail(folder), []  # what was cut off here had been durable: a new look is needed
                pen = writer(folder, clock=clock, queue_records=4, commit_ms=60_000)
            elif step == "compact":
                compact(folder)
            else:
                followed += tail.poll()
        pen.close()
        found = list(scan(folder))
        numbers = [one.sequence for one in found if not isinstance(one, Gap)]
        assert len(numbers) == len(set(numbers))
        assert len(numbers) + sum(one.count for one in found if isinstance(one, Gap)) == handed
        followed += tail.poll()
        tail.close()
        assert sorted(one.sequence for one in followed if not isinstance(one, Gap)) == sorted(numbers)


def cut(folder: Path, size: int) -> None:
    """Make the newest segment an open one that lost its last bytes."""
    from seakeep.recorder.layout import parts
    from seakeep.recorder.ledger import Ledger
    from seakeep.recorder.segment import SegmentReader

    last = max((part for part in parts(folder)[0]), key=lambda part: part.last, default=None)
    if last is None or last.state != "seg":
        return
    data = last.path.read_bytes()
    header = SegmentReader(data, "").header()
    assert header is not None
    last.path.with_suffix(".open").write_bytes(data[: max(len(data) - size, 0)])
    last.path.unlink()
    ledger = Ledger(folder, "w")
    ledger.accounted = header.accounted
    ledger.close()
