"""What is executed apart, where it begins when it is told to, and what is given up there."""

import time

import pytest
from tests.serving_runs import row

from seakeep.config import ModelSettings
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

    def leave(self, model):
        self.left.append(model)

    def after(self, _seconds, act):
        self.later.append(act)


@pytest.fixture
def limited(make_plane, rig):
    """Version 1 answers alone, its lookups may take a millisecond, and they are made elsewhere."""
    plane = make_plane(models={"late": ModelSettings(features_ms=1)})
    plane.serve(rig.load(rig.put(1)))
    plane.dataplane.execution.apart = Elsewhere()
    return plane


def test_a_lookup_that_has_not_begun_in_its_time_is_not_waited_for(limited):
    call, apart = limited.ask(row()), limited.dataplane.execution.apart
    limited.turn()
    time.sleep(0.002)
    apart.later.pop()()
    assert [name for name, *_ in apart.given] == ["late", "late without features"]
    apart.finish(1)
    assert limited.replies == [call]
    assert call.error.code == "features"
    assert (limited.queue.busy, limited.queue.stuck) == (False, True)
    apart.finish()
    assert (len(limited.replies), limited.queue.busy, limited.queue.stuck) == (1, False, False)


def test_while_a_lookup_hangs_what_is_next_is_answered_without_features_in_another_thread(limited):
    limited.ask(row("a"))
    limited.turn()
    apart = limited.dataplane.execution.apart
    time.sleep(0.002)
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


def test_a_model_that_does_not_come_back_is_given_up_and_the_next_batch_gets_another_thread(limited):
    apart, execution = limited.dataplane.execution.apart, limited.dataplane.execution
    hung = limited.ask(row("hung"))
    limited.turn()
    next_one = limited.ask(row("next"))
    assert execution.end_hanging(60.0) == []
    assert execution.end_hanging(0.0) == ["late"]
    assert (hung.error.code, apart.left, limited.dataplane.in_flight) == ("internal", ["late"], 1)
    limited.finish()
    assert [name for name, *_ in apart.given] == ["late", "late"]
    apart.finish(1)
    assert (next_one.error, len(next_one.answers)) == (None, 1)
    assert [(record.key, record.error) for record in limited.sink.records] == [("hung", "internal"), ("next", "")]
    assert execution.end_hanging(0.0) == []


def test_whatever_goes_wrong_when_a_lookup_is_given_up_its_calls_are_answered(limited, monkeypatch, caplog):
    call = limited.ask(row())
    limited.turn()
    time.sleep(0.002)
    monkeypatch.setattr(limited.runner, "failed", explode)
    limited.dataplane.execution.apart.later.pop()()
    limited.dataplane.execution.apart.finish(1)
    assert limited.replies == [call]
    assert (call.error.code, limited.dataplane.in_flight) == ("internal", 0)


def test_a_model_that_scores_for_longer_than_its_lookup_may_take_is_waited_for(limited, monkeypatch):
    call = limited.ask(row())
    limited.turn()
    ((_, work, done),) = limited.dataplane.execution.apart.given
    batches = work()
    time.sleep(0.002)
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
