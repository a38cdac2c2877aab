"""Whatever happens to the bytes of the state's file, each answer is the right one or a clear fault, never a traceback."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registering import NOW_US, fill, open_sqlite, run, version, written

from seakeep.errors import IntegrityError, PlatformError, SeakeepError

READS = {
    "runs": lambda state: state.runs.list(),
    "run": lambda state: state.runs.get(run().id),
    "versions": lambda state: state.versions.list("late"),
    "version": lambda state: state.versions.get("late", 1),
    "gates": lambda state: state.gates.get("late", 1),
    "releases": lambda state: state.releases.history("late"),
    "routes": lambda state: state.releases.routes(),
    "revision": lambda state: state.releases.revision(),
    "receipts": lambda state: state.receipts.receipts("late"),
    "keys": lambda state: state.keys.list(),
    "audit": lambda state: state.audit.list(),
    "verified": lambda state: state.verified(),
}


def whole():
    with tempfile.TemporaryDirectory() as place:
        state = open_sqlite(Path(place))
        fill(state)
        right = {name: written(read(state)) for name, read in READS.items()}
        state.close()
        return (Path(place) / "state.db").read_bytes(), right


CONTENT, RIGHT = whole()


def answers(content):
    """By question, the answer in JSON or the fault."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "state.db").write_bytes(content)
        try:
            state = open_sqlite(Path(place))
        except SeakeepError as error:
            return dict.fromkeys(READS, error)
        found = {}
        for name, read in READS.items():
            try:
                found[name] = written(read(state))
            except SeakeepError as error:
                found[name] = error
        state.close()
        return found


def check(content):
    found = answers(content)
    if found["verified"] == RIGHT["verified"]:
        # What the log vouches for is what was written; indexes may be damaged, and then hide it or say so.
        for name in ("runs", "versions", "releases", "receipts", "gates", "audit"):
            missing = isinstance(found[name], Exception) or len(found[name]) < len(RIGHT[name])
            assert missing or found[name] == RIGHT[name], name
    else:
        assert isinstance(found["verified"], (IntegrityError, PlatformError)), found["verified"]
        assert found["verified"].hint


def test_the_whole_file_gives_every_answer():
    assert answers(CONTENT) == RIGHT


@settings(max_examples=250, derandomize=True)
@given(st.integers(0, len(CONTENT) - 1), st.binary(min_size=1, max_size=24))
def test_bytes_that_were_overwritten(place, fresh):
    check(CONTENT[:place] + fresh + CONTENT[place + len(fresh) :])


@settings(max_examples=60, derandomize=True)
@given(st.sampled_from([found.start() for found in re.finditer(rb'[{}\[\]":,]', CONTENT)]))
def test_bytes_of_the_records_that_were_overwritten(place):
    check(CONTENT[:place] + b"\xff" + CONTENT[place + 1 :])


@settings(max_examples=40, derandomize=True)
@given(st.integers(101, len(CONTENT) - 1))
def test_a_file_that_was_cut(length):
    check(CONTENT[:length])


def test_a_version_is_still_registered_only_once_in_a_state_that_was_copied():
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "state.db").write_bytes(CONTENT)
        state = open_sqlite(Path(place))
        assert state.versions.add(version(1), actor="ada", now_us=NOW_US).number == 1
        assert len(state.verified()) == 8
        state.close()
