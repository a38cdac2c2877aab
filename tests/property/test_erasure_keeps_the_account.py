"""Whatever is recorded, sealed, compacted, erased or let go, in whatever order: what is left is all that was not taken out."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recording import NOW_US, all_same, prediction, writer

from seakeep.clock import FixedClock
from seakeep.recorder.compaction import compact
from seakeep.recorder.erasure import count, erase
from seakeep.recorder.keyring import Keyring, rotate
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.retention import expire, expired
from seakeep.recorder.subject import Subject
from seakeep.records.prediction import Gap, Prediction

people = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), people),
        st.tuples(st.just("append"), people),
        st.tuples(st.just("erase"), people),
        st.tuples(st.sampled_from(["commit", "restart", "compact", "poll", "rotate", "expire", "encrypt"]), people),
    ),
    max_size=20,
)


def subject(who):
    return Subject(frozenset({f"somebody-{who}"}), frozenset())


@settings(max_examples=60, deadline=None)
@given(steps)
def test_what_is_left_is_all_that_was_not_taken_out(todo):
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name) / "r", FixedClock(NOW_US)
        folder.mkdir()
        keyring, encrypting = Keyring(folder, Path(name) / "k"), False
        tail, followed, made, erased = Tail(folder), [], [], set()
        pen = writer(folder, clock=clock, commit_ms=1)
        for step, who in todo:
            clock.value_us += 1
            if step == "append":
                made.append(prediction(pen.next_sequence(), key=f"somebody-{who}"))
                assert pen.append(made[-1])
            elif step == "erase":
                erase(folder, subject(who), clock=clock, keyring=keyring)
                erased.update(one.sequence for one in made if one.key == f"somebody-{who}")
                assert count(folder, subject(who)).predictions == 0
            elif step == "commit":
                pen.commit()
            elif step in {"restart", "encrypt"}:
                pen.close()
                encrypting = encrypting ^ (step == "encrypt")
                pen = writer(folder, clock=clock, commit_ms=1, keyring=keyring if encrypting else None)
            elif step == "compact":
                compact(folder, keyring if encrypting else None)
            elif step == "poll":
                followed += tail.poll()
            elif step == "rotate":
                rotate([folder], Path(name) / "k")
            else:
                expire(folder, max_bytes=5_000)
        handed = len(made)
        pen.close()
        found = list(scan(folder))
        gone = expired(folder)["w"]
        left = [one for one in found if isinstance(one, Prediction)]
        counted = sum(one.count for one in found if isinstance(one, Gap))
        assert gone + len(left) + counted == handed
        kept = {one.sequence for one in left}
        assert all_same(sorted(left, key=lambda one: one.sequence), [one for one in made if one.sequence in kept])
        assert not kept & erased
        assert len(erased | kept) >= handed - gone
        followed += tail.poll()
        tail.close()
        numbers = [one.sequence for one in followed if isinstance(one, Prediction)]
        assert len(numbers) == len(set(numbers))
        assert kept <= set(numbers)
