"""Law 6: what the server acknowledged is there once, whoever is killed while it works."""

import collections
import http.client
import os
import queue
import signal
import threading

import pytest
from tests.flights import AS_OF_US, MODEL, Server, copy, opened, stage, wait_for

from seakeep.clock import DAY_US
from seakeep.recorder import query
from seakeep.recorder.ledger import Ledger
from seakeep.recorder.reader import scan

pytestmark = pytest.mark.slow

HOUR_US = DAY_US // 24
SENDERS = 4
EVENTS = 8
"""Events in a batch: small, so that many are on their way at any moment."""


def batches_of(history):
    """A day's events of all sources in small batches, in the order in which they became known: key, source, rows."""
    rows = [
        (at, stream.name, row)
        for stream in history.events
        for row, at in zip(stream.rows, stream.times_us, strict=True)
        if at < AS_OF_US + DAY_US
    ]
    rows.sort(key=lambda one: one[0])
    by_source = collections.defaultdict(list)
    for _, name, row in rows:
        by_source[name].append(row)
    cut = [
        (name, f"{name}-{place}", found[place : place + EVENTS])
        for name, found in by_source.items()
        for place in range(0, len(found), EVENTS)
    ]
    return sorted(cut, key=lambda one: int(one[1].rpartition("-")[2]))


def inputs_of(definition):
    """One row of inputs for v2, all of them missing: it asks for a prediction and leaves the views alone."""
    return {
        "inputs": [
            {
                "name": column.name,
                "shape": [1],
                "datatype": "FP64" if column.kind == "number" else "BYTES",
                "data": [None],
            }
            for column in definition.columns
        ]
    }


class Senders:
    """Clients that send batches and ask for predictions, and remember what was acknowledged."""

    def __init__(self, server, batches, inputs) -> None:
        self._server, self._inputs = server, inputs
        self._waiting = queue.SimpleQueue()
        for batch in batches:
            self._waiting.put(batch)
        self.acknowledged, self.predicted, self.unanswered = {}, [], 0
        self._threads = [threading.Thread(target=self._work) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _work(self):
        while not self._waiting.empty():
            try:
                source, key, rows = self._waiting.get_nowait()
                self.acknowledged[key] = self._server.send(source, rows, key)
                status, answer = self._server.post(f"/v2/models/{MODEL}/infer", self._inputs)
                assert status == 200, answer
                self.predicted.append(answer["parameters"]["prediction_ids"])
            except queue.Empty:
                return
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                if self._server.process.poll() is not None:
                    return

    def after(self, count):
        """Wait until so many batches were acknowledged."""
        wait_for(lambda: len(self.acknowledged) >= count or not any(one.is_alive() for one in self._threads))

    def join(self):
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def killed(flights_root, history, tmp_path_factory):
    """A service of two workers of which one is killed, then all processes, each in the middle of its work."""
    folder = copy(stage(flights_root, "promoted"), tmp_path_factory.mktemp("killed") / "flights")
    batches = batches_of(history)
    with opened(folder) as project:
        inputs = inputs_of(project.bundle(project.resolve(MODEL)).definition)
    with Server(folder, workers=2) as server:
        senders = Senders(server, batches, inputs)
        senders.after(30)
        first = server.workers
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: len(set(server.workers) - set(first)) == 1)
        senders.after(len(senders.acknowledged) + 40)
        server.kill()
        senders.join()
    return folder, batches, senders


@pytest.fixture(scope="module")
def settled(killed):
    """The same service started again, after every batch was sent again: by clients that know nothing of the first try."""
    folder, batches, _ = killed
    with Server(folder, workers=2) as server:
        answers = {key: server.send(source, rows, key) for source, key, rows in batches}
        yield server, answers


def test_it_was_killed_at_work(killed):
    _, batches, senders = killed
    assert 70 <= len(senders.acknowledged) < len(batches)
    assert senders.unanswered >= 1
    assert not any(answer["duplicate"] for answer in senders.acknowledged.values())
    assert all(answer["accepted"] for answer in senders.acknowledged.values())


def test_an_acknowledged_batch_is_on_the_disk_when_everything_is_dead(killed):
    folder, batches, senders = killed
    sent = {key: rows for _, key, rows in batches}
    kept = collections.Counter()
    for record in scan(folder / ".seakeep/recorder/events", damage=[]):
        kept[record.batch] += 1
        assert len(record.columns["carrier" if "carrier" in record.columns else "origin"]) == len(sent[record.batch])
    assert set(senders.acknowledged) <= set(kept)
    assert set(kept.values()) == {1}


def test_sent_again_an_acknowledged_batch_counts_as_a_duplicate(killed, settled):
    _, _, senders = killed
    _, answers = settled
    assert all(answers[key]["duplicate"] for key in senders.acknowledged)
    fresh = [key for key, answer in answers.items() if not answer["duplicate"]]
    # One whose answer was lost on the way may have been taken: it too counts once.
    assert len(answers) - len(senders.acknowledged) - len(fresh) <= SENDERS * 2
    assert fresh


def test_the_events_are_those_that_were_sent_each_once(killed, settled):
    folder, batches, _ = killed
    for source in ("arrivals", "departures", "weather"):
        sent = [row for name, _, rows in batches for row in rows if name == source]
        columns = query.load_events(folder / ".seakeep/recorder/events", source, damage=[])
        names = sorted(columns)
        kept = sorted(zip(*(columns[name] for name in names), strict=True), key=repr)
        assert kept == sorted((tuple(row.get(name) for name in names) for row in sent), key=repr)


def test_the_features_are_those_of_events_that_count_once(settled, history):
    """Asked at the day's end, every feature equals its recomputation from history: none is missing, none counts twice."""
    server, _ = settled
    rows = history.requests.between(AS_OF_US + 18 * HOUR_US, AS_OF_US + DAY_US)
    answers = server.predict(rows)
    with opened(server.folder) as project:
        wanted = {answer["id"] for answer in answers}
        loaded = lambda: set(query.load(project.home.predictions, query.Query(model=MODEL), damage=[]).id.tolist())  # noqa: E731
        wait_for(lambda: wanted <= loaded())
        report = project.parity()
    assert (report.rows, report.unmatched) == (len(rows), 0)
    for feature in report.features:
        assert feature.identical == feature.rows > 100, feature


def test_every_prediction_is_recorded_once_or_counted_as_missing(killed, settled):
    folder, _, senders = killed
    predictions = folder / ".seakeep/recorder/predictions"
    table = query.load(predictions, query.Query(model=MODEL), damage=[])
    ids = table.id.tolist()
    assert len(set(ids)) == len(ids)
    gaps = query.gaps(predictions)
    assert {gap.reason for gap in gaps} <= {"crash"}
    missing = set(senders.predicted) - set(ids)
    assert len(missing) <= sum(gap.count for gap in gaps)


def test_the_records_and_the_gaps_add_up_to_what_was_handed_out(killed, settled):
    folder, _, _ = killed
    server, _ = settled
    assert server.stop() == 0
    predictions = folder / ".seakeep/recorder/predictions"
    handed_out = 0
    for writer in ("worker-0", "worker-1"):
        ledger = Ledger(predictions, writer)
        handed_out += ledger.sequence
        ledger.close()
    recorded = len(query.load(predictions, query.Query(model=MODEL), damage=[]))
    assert recorded + sum(gap.count for gap in query.gaps(predictions)) == handed_out > 0
