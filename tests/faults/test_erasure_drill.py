"""The drill: whoever is erased is in no file any more, byte by byte, and everybody else is as before."""

import json

import msgspec
import numpy as np
import pytest
from tests.flights import AS_OF_US, MODEL, Server, opened, run, wait_for
from tests.recording import batch, prediction

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.clock import DAY_US, FixedClock
from seakeep.config import RecorderSettings
from seakeep.data.version import load
from seakeep.features.forget import forget
from seakeep.features.service import FeatureService
from seakeep.project import stream
from seakeep.recorder.compaction import compact
from seakeep.recorder.container import opened as opened_file
from seakeep.recorder.erasure import erase
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.layout import parts
from seakeep.recorder.policy import Policies
from seakeep.recorder.query import of_key
from seakeep.recorder.reader import scan
from seakeep.recorder.subject import Subject
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import EventBatch
from seakeep.security.privacy import Protector

NOW_US = 1_700_000_000_000_000
CLOCK = FixedClock(NOW_US)
PEOPLE = [f"canary-{number:03d}-lovelace" for number in range(100)]
GONE, KEPT = PEOPLE[::2], PEOPLE[1::2]


def bytes_of(*folders):
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()
    for folder in folders:
        for part in parts(folder)[0]:
            if part.state == "parquet":
                with opened_file(part.path) as name, open(name, "rb") as file:  # noqa: PTH123 -- it may be in memory alone
                    yield part.path, file.read()


def found_in(text, *folders):
    return [path for path, content in bytes_of(*folders) if text.encode() in content]


@pytest.fixture
def definition():
    from tests.unit.recorder.test_policy import definition as made

    return made({"flight_id": "tokenise"}, {"flight_id": "tokenise", "note": "tokenise"})


class Recorder:
    """Predictions and events of all people, three times each: compacted, sealed and being written."""

    def __init__(self, place, definition, *, encrypted):
        self.folders = [place / "predictions", place / "events"]
        self.policies = Policies(Protector(b"pepper", b"t" * 32))
        self.policies.learn(prediction(1).bundle, definition)
        for folder in self.folders:
            folder.mkdir()
        self.rings = [Keyring(folder, place / "keys" / "k") if encrypted else None for folder in self.folders]
        self._pens = [self._pen(0), self._pen(1)]
        for turn in range(3):
            for who in PEOPLE:
                self._tell(who, turn)
            if turn < 2:
                self._pens[0].close()
                if turn == 0:
                    compact(self.folders[0], self.rings[0])
                self._pens[0] = self._pen(0)
        for pen in self._pens:
            pen.commit()

    def _pen(self, place):
        settings = RecorderSettings(commit_ms=1)
        ring = self.rings[place]
        return Writer(self.folders[place], "w", clock=CLOCK, settings=settings, policy=self.policies, keyring=ring)

    def _tell(self, who, turn):
        asking, telling = self._pens
        request = {"flight_id": who, "carrier": "UA"}
        assert asking.append(prediction(asking.next_sequence(), key=who, request=request))
        rows = {"flight_id": [who, "nobody"], "note": ["x", who], "arr_delay": [1.0, 2.0], "landed": [turn, turn]}
        assert telling.append(batch(telling.next_sequence(), columns=rows))

    def of(self, who):
        found = [one for form in self.policies.forms(who) for one in of_key(self.folders[0], form)]
        return [msgspec.msgpack.encode(one) for one in found]

    def erase(self, people):
        columns = frozenset({"flight_id", "note"})
        subject = Subject(frozenset().union(*map(self.policies.forms, people)), columns)
        return [
            erase(folder, subject, clock=CLOCK, keyring=ring)
            for folder, ring in zip(self.folders, self.rings, strict=True)
        ]

    def close(self):
        for pen in self._pens:
            pen.close()


@pytest.mark.parametrize("encrypted", [False, True])
def test_fifty_of_a_hundred_are_erased_and_fifty_are_as_before(tmp_path, definition, encrypted):
    recorder = Recorder(tmp_path, definition, encrypted=encrypted)
    before = {who: recorder.of(who) for who in KEPT}
    assert {len(found) for found in before.values()} == {3}
    predictions, events = recorder.erase(GONE)
    assert (predictions.predictions, events.events) == (150, 300)
    for text in (text for who in GONE for text in recorder.policies.forms(who)):
        assert found_in(text, *recorder.folders) == []
    assert {who: recorder.of(who) for who in KEPT} == before
    left = [one for one in scan(recorder.folders[1]) if isinstance(one, EventBatch)]
    assert len(left) == 300
    assert sum(len(one.columns["landed"]) for one in left) == 300
    recorder.close()


def test_nothing_of_an_entity_is_left_in_the_online_store_not_even_in_free_pages(tmp_path):
    from tests.unit.recorder.test_policy import definition as made

    store = LmdbOnlineStore(tmp_path / "online")
    service = FeatureService(store, clock=FixedClock(NOW_US))
    by_name = made(entity="flight_id")
    service.add(by_name)
    for turn in range(8):
        for who in PEOPLE:
            cells = {"flight_id": [who], "landed": [NOW_US + turn], "arr_delay": [float(turn)], "carrier": ["UA"]}
            service.ingest("arrivals", cells, f"{who}-{turn}")

    def values(who):
        table = {
            name: np.array([who if name == "flight_id" else ""], dtype=object)
            for name in ("flight_id", "carrier", "note")
        }
        table["distance"] = np.array([1.0])
        return service.assemble(by_name, table, np.array([NOW_US + 100]))

    before = {who: values(who) for who in KEPT}
    assert found_in(GONE[0], tmp_path)
    assert forget(store, set(GONE)) == len(GONE)
    assert store.scrub([who.encode() for who in GONE]) == 0
    for who in GONE:
        assert found_in(who, tmp_path) == []
    for who in KEPT:
        assert values(who).numbers.tobytes() == before[who].numbers.tobytes()
    assert values(GONE[0]).unknown == [("recent",)]
    store.close()


@pytest.mark.slow
def test_a_subject_is_erased_while_the_service_runs(flights_at):
    folder = flights_at("promoted")
    with opened(folder) as project:
        loaded = project._loaded
        bundle = project.bundle(project.resolve(MODEL))
        plan = stream.plan(loaded, bundle.definition, from_us=AS_OF_US, to_us=AS_OF_US + DAY_US, share=1.0)
        trained = next(iter(project.stores.runs.list())).dataset
    rows = plan.requests.rows[:60]
    arrivals = next(one for one in plan.events if one.name == "arrivals").rows
    keys = [row["flight_id"] for row in rows]
    told = [row for row in arrivals if row["flight_id"] in keys]
    gone = next(row["flight_id"] for row in told)
    home = folder / ".seakeep"
    with Server(folder) as server:
        server.predict(rows)
        server.predict(rows)
        server.send("arrivals", told, "one")
        with opened(folder) as project:
            wait_for(
                lambda: all(len(project.recorder.of_key(key)) == 2 for key in keys)
            )  # answers do not wait for records
            kept = {key: project.recorder.of_key(key) for key in keys if key != gone}
            assert found_in(gone, home / "recorder" / "predictions", home / "recorder" / "events")
            said = run(folder, "erase", gone, "--yes", "--json")
            assert said.code == 0, said
            done = json.loads(said.out)
            assert (done["predictions"], done["events"], done["left"], done["unreadable"]) == (2, 1, 0, [])
            assert done["datasets"] == []
            assert gone not in said.out + said.err
            for path, content in bytes_of(home / "recorder", home / "online", home / "metrics"):
                assert gone.encode() not in content, path
            assert gone.encode() not in b"".join(path.read_bytes() for path in home.glob("state.db*"))
            assert project.recorder.of_key(gone) == []
            for key, before in kept.items():
                assert list(map(msgspec.msgpack.encode, project.recorder.of_key(key))) == list(
                    map(msgspec.msgpack.encode, before)
                )
            assert len(server.predict(rows[:3])) == 3
            assert project.stores.audit.list()[-1].action == "erase"
            assert project.verify_audit() > 0
            assert {one.name: one.missing for one in project.recorder.status()}["predictions"] == {"erased": 2}
            version = project.stores.datasets.get_manifest(trained)
            trained_key = load(version, project.stores.datasets)["flights"]["flight_id"][0]
            assert project.recorder.erase(trained_key).datasets == (trained,)
