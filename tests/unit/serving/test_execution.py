"""What is executed apart, where it begins when it is told to, and what is given up there."""

import time

import msgspec
import pytest
from tests.serving_rig import definition
from tests.serving_runs import row

from seakeep.config import ModelSettings
from seakeep.errors import SeakeepError
from seakeep.records.expression import as_node, col
from seakeep.serving.admission import Queue
from seakeep.serving.routing import Traffic


def explode(*_arguments):
    raise ZeroDivisionError("/home/secret")


class Elsewhere:
    """Work apart that begins when it is told to, and time that passes when it is told to."""

    def __init__(self):
        self.given, self.later, self.left = [], [], []

    def run(self, model, work, done):
        self.given.append((model, work, done))

    def finish(self, place=0):
        """Let one of the works be done."""
        _, work, done = self.given.pop(place)
        done(work())

    def collect(self):
        """Nothing is done before it is told to."""

    def leave(self, model):
        self.left.append(model)

    def after(self, _seconds, act):
        self.later.append(act)


@pytest.fixture
def passes(monkeypatch):
    """``passes(2.0)``: so many seconds are over at once."""
    now, over = time.perf_counter, []
    monkeypatch.setattr(time, "perf_counter", lambda: now() + sum(over))
    return over.append


@pytest.fixture
def limited(make_plane, rig):
    """Version 1 answers alone, its lookups may take a second, and they are made elsewhere."""
    plane = make_plane(models={"late": ModelSettings(features_ms=1_000)})
    plane.serve(rig.load(rig.put(1)))
    plane.dataplane.execution.apart = Elsewhere()
    return plane


def test_a_lookup_that_has_not_begun_in_its_time_is_not_waited_for(limited, passes):
    call, apart = limited.ask(row()), limited.dataplane.execution.apart
    limited.turn()
    passes(2.0)
    apart.later.pop()()
    assert [name for name, *_ in apart.given] == ["late", "late without features"]
    apart.finish(1)
    assert limited.replies == [call]
    assert call.error.code == "features"
    assert (limited.queue.busy, limited.queue.stuck) == (False, True)
    apart.finish()
    assert (len(limited.replies), limited.queue.busy, limited.queue.stuck) == (1, False, False)


def test_while_a_lookup_hangs_what_is_next_is_answered_without_features_in_another_thread(limited, passes):
    limited.ask(row("a"))
    limited.turn()
    apart = limited.dataplane.execution.apart
    passes(2.0)
    apart.later.pop()()
    waits = limited.ask(row("b"))
    assert limited.later == type(limited.later)(), "the other thread is busy with the first"
    apart.finish(1)
    limited.turn()
    assert [name for name, *_ in apart.given] == ["late", "late without features"]
    apart.finish(1)
    assert [call.error.code for call in limited.replies] == ["features", "features"]
    apart.finish()  # the store is back
    assert waits.answered
    after = limited.ask(row("c"))
    limited.turn()
    apart.finish()
    assert (after.error, len(after.answers)) == (None, 1)


def test_a_model_that_does_not_come_back_is_given_up_and_the_next_batch_gets_another_thread(limited, passes):
    apart, execution = limited.dataplane.execution.apart, limited.dataplane.execution
    hung = limited.ask(row("hung"))
    limited.turn()
    next_one = limited.ask(row("next"))
    assert execution.end_hanging(60.0) == []
    passes(0.001)
    assert execution.end_hanging(0.0) == ["late"]
    assert [name for name, *_ in apart.given] == ["late", "late without its model"]
    apart.finish(1)
    assert (hung.error.code, apart.left, limited.dataplane.in_flight) == ("internal", ["late"], 1)
    limited.finish()
    assert [name for name, *_ in apart.given] == ["late", "late"]
    apart.finish(1)
    assert (next_one.error, len(next_one.answers)) == (None, 1)
    assert [(record.key, record.error) for record in limited.sink.records] == [("hung", "internal"), ("next", "")]
    assert execution.end_hanging(0.0) == []


def test_whatever_goes_wrong_when_a_lookup_is_given_up_its_calls_are_answered(limited, monkeypatch, caplog, passes):
    call = limited.ask(row())
    limited.turn()
    passes(2.0)
    monkeypatch.setattr(limited.runner, "failed", explode)
    limited.dataplane.execution.apart.later.pop()()
    limited.dataplane.execution.apart.finish(1)
    assert limited.replies == [call]
    assert (call.error.code, limited.dataplane.in_flight) == ("internal", 0)


def test_a_model_that_scores_for_longer_than_its_lookup_may_take_is_waited_for(limited, monkeypatch, passes):
    call = limited.ask(row())
    limited.turn()
    ((_, work, done),) = limited.dataplane.execution.apart.given
    batches = work()
    passes(2.0)
    limited.dataplane.execution.apart.later.pop()()
    assert limited.replies == []
    done(batches)
    assert (call.error, len(call.answers)) == (None, 1)


def test_each_queue_has_a_thread_of_its_own_whatever_models_are_called(limited):
    champion = limited.dataplane.traffic["late"].champion
    limited.dataplane.traffic = {"late": Traffic(champion), "laterule": Traffic(champion)}
    for name in ("late", "late rule"):
        queue = limited.dataplane._queues.setdefault(name, Queue(10.0))
        queue.add(limited.call(row(), rung="rule" if name == "late rule" else ""))
    limited.dataplane._queues["laterule"] = other = Queue(10.0)
    other._heavy = True
    other.add(limited.call(row(), model="laterule"))
    limited.dataplane._tick()
    assert sorted(model for model, _, _ in limited.dataplane.execution.apart.given) == ["late", "late rule", "laterule"]


def test_what_came_back_before_it_was_given_up_is_settled_once_and_so_is_what_follows(limited):
    apart, execution = limited.dataplane.execution.apart, limited.dataplane.execution
    first = limited.ask(row("first"))
    limited.turn()
    _, work, done = apart.given.pop()
    late = work()
    assert execution.end_hanging(0.0) == ["late"]
    apart.finish()
    second = limited.ask(row("second"))
    limited.turn()
    done(late)
    assert limited.queue.busy
    apart.finish()
    limited.finish()
    assert limited.replies == [first, second]
    assert (first.error.code, second.error, limited.dataplane.in_flight) == ("internal", None, 0)
    assert [record.key for record in limited.sink.records] == ["first", "second"]


def test_time_in_which_nobody_looked_makes_no_model_hang(limited, monkeypatch):
    execution, now_s = limited.dataplane.execution, time.perf_counter()
    limited.ask(row())
    limited.turn()
    assert execution.end_hanging(2.0) == []
    monkeypatch.setattr("seakeep.serving.execution.time.perf_counter", lambda: now_s + 3600)
    assert execution.end_hanging(2.0) == [], "the process was stopped for an hour"


def test_a_rule_stands_in_for_a_model_that_hangs(make_plane, rig):
    plane = make_plane(models={"late": ModelSettings(features_ms=1000)})
    plane.serve(rig.load(rig.put(1, of=msgspec.structs.replace(definition(), rule=as_node(col("distance") / 1000)))))
    plane.dataplane.execution.apart = Elsewhere()
    call = plane.ask(row())
    plane.turn()
    assert plane.dataplane.execution.end_hanging(0.0) == ["late"]
    plane.dataplane.execution.apart.finish(1)
    assert (call.error, call.answers[0].rung, call.answers[0].score) == (None, "rule", 0.5)


def test_a_model_that_would_end_its_thread_is_a_fault_of_its_batch_alone(limited, monkeypatch, caplog):
    def leave(*_):
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr(limited.runner, "run", leave)
        call = limited.ask(row())
        limited.turn()
        limited.dataplane.execution.apart.finish()
    assert (call.error.code, limited.queue.busy) == ("internal", False)
    assert "ended its thread" in caplog.text


def test_a_thread_that_cannot_be_started_is_a_fault_of_its_batch_alone(limited, monkeypatch, caplog):
    apart = limited.dataplane.execution.apart
    with monkeypatch.context() as broken:
        broken.setattr(apart, "run", explode)
        call = limited.ask(row("a"))
        limited.turn()
    assert (call.error.code, limited.queue.busy) == ("internal", False)
    after = limited.ask(row("b"))
    limited.turn()
    apart.finish()
    assert (after.error, limited.dataplane.in_flight) == (None, 0)


def test_a_lookup_is_waited_for_where_nothing_can_be_begun_without_it(limited, monkeypatch, caplog, passes):
    call, apart = limited.ask(row()), limited.dataplane.execution.apart
    limited.turn()
    passes(2.0)
    with monkeypatch.context() as broken:
        broken.setattr(apart, "run", explode)
        apart.later.pop()()
    assert (limited.replies, limited.queue.stuck) == ([], False)
    apart.finish()
    assert (call.error, len(call.answers), limited.queue.busy, limited.dataplane.in_flight) == (None, 1, False, 0)


def test_where_no_thread_can_be_started_those_whose_model_hangs_are_told_all_the_same(limited, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    call = limited.ask(row())
    limited.turn()
    monkeypatch.setattr(limited.dataplane.execution.apart, "run", refuse)
    assert limited.dataplane.execution.end_hanging(0.0) == ["late"]
    assert (call.error.code, limited.dataplane.in_flight) == ("internal", 0)


def test_what_a_given_up_batch_had_come_to_is_not_taken_over(limited, passes):
    call = limited.ask(row())
    limited.turn()
    passes(2.0)
    apart = limited.dataplane.execution.apart
    apart.later.pop()()
    _, late, _ = apart.given[0]
    job = late.args[0]
    for part in (part for parts in job.groups for part in parts):
        part.error, part.stood_in = SeakeepError("of the thread that hangs"), True
    assert all(not part.error and not part.stood_in for parts in job.again().groups for part in parts)
    apart.finish(1)
    assert call.error.code == "features"


def test_those_left_waiting_by_a_batch_are_told_when_their_time_is_over(limited):
    limited.queue._limit_rows = 1
    far = time.perf_counter() + 3600
    calls = [limited.ask(row(key), deadline_s=far) for key in "ab"]
    limited.turn()
    apart = limited.dataplane.execution.apart
    assert calls[1] in limited.queue._lanes[calls[1].rank]
    calls[1].deadline_s = limited.queue.soonest_s = time.perf_counter()
    for alarm in apart.later[:]:
        apart.later.remove(alarm)
        alarm()
    limited.finish()
    assert [call.error.code for call in limited.replies] == ["deadline"]
