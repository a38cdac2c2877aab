import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from tests.serving_rig import ARRIVALS, EventDecoder, FileFeatures, ListSink, definition
from tests.serving_runs import run, until

from seakeep.clock import FixedClock, TimeOrderedIds
from seakeep.errors import NotFoundError, RecorderError, RowError, UnavailableError
from seakeep.records.model import Label
from seakeep.serving.errors import InternalError, RequestError
from seakeep.serving.ingest import Ingest, intakes_of


def event(name="x", carrier="AA", delay=40.0, landed=5, **more):
    return {"flight_id": name, "landed": landed, "carrier": carrier, "arr_delay": delay} | more


class Sink(ListSink):
    """Can hold a commit up."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.commits: list[int] = []

    def commit(self) -> None:
        self.commits.append(len(self.records))
        assert self.gate.wait(20)
        super().commit()


class Taking:
    def __init__(self, rig, executor, **changes) -> None:
        clock = FixedClock(77)
        self.sink, self.features = Sink(), FileFeatures(rig.folder / "features.jsonl")
        parts = {"clock": clock, "ids": TimeOrderedIds(clock), "max_waiting": 5} | changes
        self.ingest = Ingest(self.sink, self.features, executor, **parts)
        self.ingest.intakes = intakes_of([definition()], EventDecoder)
        self.outcomes = {}

    def send(self, *events, key="", source="arrivals"):
        rows = [msgspec.Raw(one if isinstance(one, bytes) else msgspec.json.encode(one)) for one in events]
        number = len(self.outcomes)
        self.outcomes[number] = None
        try:
            self.ingest.submit(source, rows, key, lambda outcome: self.outcomes.update({number: outcome}))
        except Exception:
            del self.outcomes[number]
            raise
        return number

    async def all_told(self):
        await until(lambda: None not in self.outcomes.values())
        await until(lambda: self.ingest._task is None)
        return list(self.outcomes.values())


@pytest.fixture
def taking(rig):
    @contextlib.contextmanager
    def start(**changes):
        with ThreadPoolExecutor(1) as executor:
            one = Taking(rig, executor, **changes)
            try:
                yield one
            finally:
                one.sink.gate.set()

    return start


def test_events_are_durable_before_they_are_applied_and_applied_before_they_are_told(taking):
    async def scenario():
        with taking() as one:
            order = []
            ingest = one.features.ingest
            one.features.ingest = lambda *given: order.append(one.sink.committed) or ingest(*given)
            one.send(event("a"), event("b"), key="k1")
            (outcome,) = await one.all_told()
            return order, outcome, one.sink.records, one.ingest.in_flight

    order, outcome, (record,), in_flight = run(scenario())
    assert order == [1]
    assert (outcome.accepted, outcome.duplicate, in_flight) == (2, False, 0)
    assert (record.batch, record.source, record.recorded_us, record.sequence) == ("k1", "arrivals", 77, 1)
    assert record.columns["flight_id"] == ["a", "b"]


def test_batches_that_arrive_during_a_commit_share_the_next(taking):
    async def scenario():
        with taking() as one:
            one.sink.gate.clear()
            one.send(event("a"))
            await until(lambda: one.sink.commits)
            for name in "bcd":
                one.send(event(name))
            one.sink.gate.set()
            await one.all_told()
            return one.sink.commits

    assert run(scenario()) == [1, 4]


def test_a_batch_sent_again_under_its_key_counts_once_and_one_without_a_key_counts_each_time(taking):
    async def scenario():
        with taking() as one:
            for key in ("k", "k", "", ""):
                one.send(event(), key=key)
                await one.all_told()
            return await one.all_told(), [record.batch for record in one.sink.records]

    outcomes, batches = run(scenario())
    assert [outcome.duplicate for outcome in outcomes] == [False, True, False, False]
    assert len(set(batches)) == 3


def test_what_could_not_be_made_durable_is_neither_applied_nor_acknowledged(taking, caplog):
    async def scenario():
        with taking() as one:
            one.sink.fault = RecorderError("the disk is full")
            one.send(event("a"), key="a")
            one.send(event("b"), key="b")
            failed = await one.all_told()
            one.sink.fault = None
            one.send(event("a"), key="a")
            return failed, (await one.all_told())[-1]

    failed, after = run(scenario())
    assert [error.code for error in failed] == ["recorder", "recorder"]
    assert (after.accepted, after.duplicate) == (1, False)


def test_a_batch_the_recorder_has_no_room_for_is_refused_at_once_and_harms_no_other(taking):
    async def scenario():
        with taking() as one:
            one.sink.gate.clear()
            one.send(event("a"))
            await until(lambda: one.sink.commits)
            one.sink.full = True
            with pytest.raises(RecorderError, match="no room"):
                one.send(event("b"))
            one.sink.full = False
            one.send(event("c"))
            one.sink.gate.set()
            return await one.all_told(), one.sink.records, one.sink.next_sequence()

    outcomes, records, sequence = run(scenario())
    assert [outcome.accepted for outcome in outcomes] == [1, 1]
    assert [record.columns["flight_id"] for record in records] == [["a"], ["c"]]
    assert sequence == 4  # the number of the batch that was dropped was handed out: a gap will count it


@pytest.mark.parametrize(
    ("fault", "code"), [(RecorderError("/secret"), "recorder"), (ZeroDivisionError("/secret"), "internal")]
)
@pytest.mark.parametrize("where", ["commit", "apply"])
def test_a_fault_is_told_and_the_next_batch_is_taken(taking, caplog, fault, code, where):
    async def scenario():
        with taking() as one:
            if where == "commit":
                one.sink.fault = fault
            else:
                ingest = one.features.ingest

                def failing(*_given):
                    one.features.ingest = ingest
                    raise fault

                one.features.ingest = failing
            one.send(event("a"))
            failed = await one.all_told()
            one.sink.fault = None
            one.send(event("b"))
            return failed[0], (await one.all_told())[-1]

    failed, after = run(scenario())
    assert failed.code == code
    assert after.accepted == 1


def test_more_batches_than_may_wait_are_refused_and_room_comes_back(taking):
    async def scenario():
        with taking(max_waiting=2) as one:
            one.sink.gate.clear()
            one.send(event("a"))
            one.send(event("b"))
            with pytest.raises(UnavailableError, match="too many batches"):
                one.send(event("c"))
            one.sink.gate.set()
            await one.all_told()
            one.send(event("c"))
            return await one.all_told()

    assert len(run(scenario())) == 3


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (event(landed=None), "row 1 has no 'landed'"),
        (event(delay="late"), "row 1"),
        (event(altitude=5), "row 1"),
        (event(carrier=None), "row 1"),
        (b"7", "row 1"),
        (b'{"flight_id":"x","flight_id":"y","landed":5,"carrier":"AA","arr_delay":1}', "'flight_id' is there twice"),
    ],
)
def test_an_event_at_fault_is_named_and_none_of_its_batch_is_recorded(taking, sent, told):
    async def scenario():
        with taking() as one:
            with pytest.raises(RowError, match=told):
                one.send(event("fine"), sent)
            return one.sink.records, one.ingest.in_flight

    assert run(scenario()) == ([], 0)


@pytest.mark.parametrize("key", ["a b", "\u00e9", "a\x00", "\x7f", "k" * 201])
def test_a_key_that_is_not_visible_ascii_of_some_length_is_refused(taking, key):
    async def scenario():
        with taking() as one, pytest.raises(RequestError, match="1 to 200 visible ASCII"):
            one.send(event(), key=key)

    run(scenario())


def test_events_of_a_source_that_nothing_reads_are_not_taken(taking):
    async def scenario():
        with taking() as one:
            with pytest.raises(NotFoundError, match="no events of 'weather' are taken here") as caught:
                one.send(event(), source="weather")
            one.ingest.intakes = {}
            with pytest.raises(NotFoundError) as nothing:
                one.send(event())
            return caught.value.hint, nothing.value.hint

    assert run(scenario()) == ("sources: arrivals", "sources: none")


def test_sources_of_views_and_of_labels_are_taken_if_their_columns_are_known():
    elsewhere = msgspec.structs.replace(ARRIVALS, name="diversions")
    one = definition()
    unknown = msgspec.structs.replace(one, label=Label(elsewhere, one.label.value))
    known = msgspec.structs.replace(unknown, schemas=one.schemas | {"diversions": one.schemas["arrivals"]})
    assert set(intakes_of([one], EventDecoder)) == {"arrivals"}
    assert set(intakes_of([unknown], EventDecoder)) == {"arrivals"}
    assert set(intakes_of([known], EventDecoder)) == {"arrivals", "diversions"}
    assert intakes_of([], EventDecoder) == {}


def test_events_submitted_while_others_settle_are_not_forgotten(taking):
    async def scenario():
        with taking(max_waiting=200) as one:
            for number in range(100):
                one.send(event(f"f{number}"))
                if number % 7 == 0:
                    await asyncio.sleep(0)
            return await one.all_told()

    assert [outcome.accepted for outcome in run(scenario())] == [1] * 100


def test_a_batch_whose_reply_fails_leaves_the_others_told_and_later_ones_taken(taking, caplog):
    async def scenario():
        with taking() as one:

            def fail(_outcome):
                raise ValueError("the connection is gone")

            rows = [msgspec.Raw(msgspec.json.encode(event("a")))]
            one.ingest.submit("arrivals", rows, "", fail)
            one.send(event("b"))
            await one.all_told()
            one.send(event("c"))
            return await one.all_told(), one.ingest.in_flight

    outcomes, in_flight = run(scenario())
    assert [outcome.accepted for outcome in outcomes] == [1, 1]
    assert in_flight == 0
    assert "could not be told" in caplog.text


def test_batches_for_which_no_thread_can_be_started_are_refused_and_later_ones_taken(taking, monkeypatch):
    async def scenario():
        with taking() as one:
            with monkeypatch.context() as patched:
                patched.setattr(one.ingest._executor, "submit", cannot_start)
                one.send(event("a"))
                await one.all_told()
            one.send(event("b"))
            return await one.all_told(), one.ingest.in_flight

    (refused, taken), in_flight = run(scenario())
    assert isinstance(refused, InternalError)
    assert (taken.accepted, in_flight) == (1, 0)


def cannot_start(*_):
    raise RuntimeError("can't start new thread")
