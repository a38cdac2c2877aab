import dataclasses
import math
import time
from types import SimpleNamespace

import pytest
from tests.serving_rig import expected_score, onnx_model
from tests.serving_runs import row

from seakeep.errors import NotFoundError, QuotaError, RecorderError, RowError, UnavailableError
from seakeep.serving.admission import TICK_ROWS
from seakeep.serving.batching import Plan
from seakeep.serving.priority import NORMAL, SHEDDABLE
from seakeep.serving.routing import Traffic, place_of


def batches_of(plane, monkeypatch):
    """Sizes of the batches that are executed, by number of calls."""
    sizes, execute = [], plane.runner.run
    monkeypatch.setattr(plane.runner, "run", lambda version, parts: sizes.append(len(parts)) or execute(version, parts))
    return sizes


def test_all_calls_of_one_turn_are_one_batch_and_those_of_the_next_another(plane, monkeypatch):
    sizes = batches_of(plane, monkeypatch)
    for _ in range(5):
        plane.ask(row())
    assert plane.dataplane.in_flight == 5
    assert plane.replies == []
    plane.turn()
    assert (sizes, len(plane.replies), plane.dataplane.in_flight) == ([5], 5, 0)
    plane.ask(row())
    plane.turn()
    assert sizes == [5, 1]
    assert not plane.later


def test_rows_beyond_a_turn_s_worth_wait_for_the_next(plane, monkeypatch):
    monkeypatch.setattr("seakeep.serving.admission.TICK_S", 1000)
    sizes = batches_of(plane, monkeypatch)
    for _ in range(5):
        plane.ask(*[row()] * (TICK_ROWS // 2))
    plane.turn()
    assert (sizes, len(plane.replies)) == ([2], 2)
    plane.finish()
    assert (sizes, len(plane.replies)) == ([2, 2, 1], 5)


def test_more_rows_or_calls_than_fit_are_refused_and_room_comes_back(make_plane, rig, monkeypatch):
    monkeypatch.setattr("seakeep.serving.admission.MAX_WAITING", 1000)
    plane = make_plane(max_in_flight=3)
    plane.serve(rig.load(rig.put(1)))
    rows = plane.call(row()).rows * 500
    plane.ask(rows=rows)
    plane.ask(rows=rows)
    with pytest.raises(UnavailableError, match="too many requests"):
        plane.ask(row())
    plane.finish()
    for _ in range(3):
        plane.ask(row())
    with pytest.raises(UnavailableError, match="too many requests"):
        plane.ask(row())
    plane.finish()
    assert plane.dataplane.in_flight == 0
    assert [len(call.answers) for call in plane.replies] == [500] * 2 + [1] * 3


def test_a_model_that_is_not_there_and_one_that_is_not_loaded_are_told_apart(plane):
    plane.dataplane.traffic = {**plane.dataplane.traffic, "slow": None}
    with pytest.raises(NotFoundError, match="no model 'lat' here") as caught:
        plane.dataplane.traffic_of("lat")
    assert caught.value.hint == "models served: late, slow"
    with pytest.raises(UnavailableError, match="'slow' is not loaded yet"):
        plane.dataplane.traffic_of("slow")
    with pytest.raises(NotFoundError, match="version 2 of 'late' is not loaded") as caught:
        plane.dataplane.version_of("late", 2)
    assert caught.value.hint == "loaded: 1"
    assert plane.dataplane.version_of("late", 1).number == 1


def test_a_model_that_goes_while_a_call_waits_is_an_error_of_that_call(plane):
    call = plane.ask(row())
    plane.dataplane.traffic = {}
    plane.turn()
    assert plane.replies == [call]
    assert call.error.code == "not-found"
    assert plane.counted()[":0"]["not-found"] == 1
    assert plane.sink.records == []


def test_a_version_that_is_pinned_answers_whatever_the_weights(plane, rig):
    champion = plane.dataplane.traffic["late"].champion
    plane.serve(champion, rig.load(rig.put(2)), 0.0)
    calls = [plane.ask(row(), version=plane.dataplane.version_of("late", number), role="pinned") for number in (2, 1)]
    plane.finish()
    assert [call.answers[0].version for call in calls] == [2, 1]
    assert plane.roles() == ["pinned", "pinned"]


def test_rows_of_one_call_go_to_the_versions_of_their_keys_and_come_back_in_order(plane, rig):
    plane.serve(plane.dataplane.traffic["late"].champion, rig.load(rig.put(2)), 0.4)
    keys = [f"k{number}" for number in range(100)]
    together, alone = plane.ask(*map(row, keys)), [plane.ask(row(key)) for key in keys]
    plane.finish()
    expected = [2 if place_of(key, model="late", version=2) < 0.4 else 1 for key in keys]
    assert [answer.version for answer in together.answers] == expected
    assert [call.answers[0].version for call in alone] == expected
    assert [answer.key for answer in together.answers] == keys
    for answer in together.answers:
        assert answer.score == pytest.approx(expected_score(math.nan, 500, "AA", answer.version / 8), rel=1e-14)


def test_a_row_without_a_readable_key_is_an_error_when_keys_decide(plane, rig):
    plane.serve(plane.dataplane.traffic["late"].champion, rig.load(rig.put(2)), 0.4)
    bad, good = plane.ask(row(), b"7"), plane.ask(row())
    plane.turn()
    assert isinstance(bad.error, RowError)
    assert good.error is None


def test_a_fault_while_a_call_is_routed_is_an_error_of_that_call(plane, caplog):
    class Broken:
        champion = plane.dataplane.traffic["late"].champion

        @property
        def split(self):
            raise ZeroDivisionError("/home/secret")

    plane.dataplane.traffic = {**plane.dataplane.traffic, "broken": Broken()}
    bad, good = plane.ask(row(), model="broken"), plane.ask(row())
    plane.turn()
    assert (bad.error.code, good.error) == ("internal", None)
    assert "secret" not in bad.error.message
    assert plane.counted()[":0"]["internal"] == 1


def test_a_call_fails_as_a_whole_when_one_of_its_versions_fails(plane, rig):
    broken = rig.load(rig.put(2, model=onnx_model(nan_below=1e9)))
    plane.serve(plane.dataplane.traffic["late"].champion, broken, 0.5)
    mixed = plane.ask(*[row(f"k{number}") for number in range(20)])
    key = next(f"k{number}" for number in range(20) if place_of(f"k{number}", model="late", version=2) >= 0.5)
    fine = plane.ask(row(key))
    plane.turn()
    assert mixed.error.code == "serving"
    assert mixed.answers == []
    assert fine.answers[0].version == 1
    assert [record.error for record in plane.sink.records].count("serving") == 20
    assert [record.key for record in plane.sink.records if not record.error] == [key]


def test_an_answer_that_cannot_be_sent_disturbs_no_other_and_is_recorded(plane, caplog):
    def unreachable(_call):
        raise ConnectionResetError("gone")

    plane.ask(row("a"))
    plane.ask(row("b"), reply=unreachable)
    plane.ask(row("c"))
    plane.turn()
    assert len(plane.replies) == 2
    assert [record.key for record in plane.sink.records] == ["a", "b", "c"]
    assert plane.dataplane.in_flight == 0
    assert "an answer could not be sent" in caplog.text


def test_a_recorder_that_fails_costs_records_not_answers(plane, caplog):
    def broken(_record):
        raise ZeroDivisionError

    plane.sink.append = broken
    call = plane.ask(row())
    plane.turn()
    assert plane.replies == [call]
    assert call.error is None
    assert "was not recorded" in caplog.text


def test_rows_and_inputs_of_one_turn_are_separate_batches(plane, direct_inputs):
    version = plane.dataplane.traffic["late"].champion
    by_row, by_input = plane.ask(row()), plane.ask(direct=direct_inputs(500.0), version=version)
    plane.turn()
    assert by_row.answers[0].score == by_input.answers[0].score
    assert [record.categories for record in plane.sink.records] == [["AA"], ["AA"]]


def test_what_is_recorded_waits_until_the_answers_are_sent(plane):
    sent = []
    plane.dataplane.after = sent.append
    plane.ask(row())
    plane.turn()
    assert (len(plane.replies), plane.sink.records) == (1, [])
    sent.pop()()
    assert [record.id for record in plane.sink.records] == [plane.replies[0].answers[0].id]


def test_in_an_a_b_test_the_value_of_its_column_decides_whatever_the_key(plane, rig):
    champion = plane.dataplane.traffic["late"].champion
    plane.dataplane.traffic = {"late": Traffic(champion, rig.load(rig.put(2)), 0.5, held=True, by="carrier")}
    carriers = [f"C{number}" for number in range(30)]
    calls = [plane.ask(*[row(f"{time}-{carrier}", carrier=carrier) for carrier in carriers]) for time in range(3)]
    plane.finish()
    expected = [2 if place_of(carrier, model="late", version=2) < 0.5 else 1 for carrier in carriers]
    assert set(expected) == {1, 2}
    assert [[answer.version for answer in call.answers] for call in calls] == [expected] * 3


def test_an_answer_waits_for_its_record_if_it_must(plane):
    plane.sink.answers_wait = True
    committed = []
    reply = lambda call: committed.append((plane.sink.committed, call.error, len(call.answers)))  # noqa: E731
    plane.ask(row("a"), row("b"), reply=reply)
    plane.ask(row("c"), reply=reply)
    plane.turn()
    assert committed == [(3, None, 2), (3, None, 1)]


@pytest.mark.parametrize("trouble", ["full", "fault"])
def test_an_answer_without_its_record_is_refused_if_it_must_have_one(plane, trouble):
    plane.sink.answers_wait = True
    setattr(plane.sink, trouble, RecorderError("the disk is full") if trouble == "fault" else True)
    call = plane.ask(row("a"))
    plane.turn()
    assert plane.replies == [call]
    assert call.error.code == "recorder"
    assert call.answers == []
    setattr(plane.sink, trouble, None)
    again = plane.ask(row("a"))
    plane.turn()
    assert (again.error, len(again.answers)) == (None, 1)


def test_an_answer_whose_record_cannot_be_made_is_refused_if_it_must_have_one(plane, monkeypatch):
    plane.sink.answers_wait = True
    with monkeypatch.context() as broken:
        broken.setattr(plane.sink, "append", lambda record: 1 / 0)
        calls = [plane.ask(row("a")), plane.ask(row("b"))]
        plane.turn()
    assert [call.error.code for call in calls] == ["recorder"] * 2
    again = plane.ask(row("a"))
    plane.turn()
    assert (again.error, [record.key for record in plane.sink.records]) == (None, ["a"])


def test_a_turn_that_went_wrong_leaves_nothing_due_from_the_next(plane, direct_inputs, monkeypatch):
    plane.sink.answers_wait = True
    numbers, version = plane.sink.next_sequence, plane.dataplane.traffic["late"].champion
    tries = iter([numbers, explode])
    with monkeypatch.context() as broken:
        broken.setattr(plane.sink, "next_sequence", lambda count: next(tries)(count))
        calls = [plane.ask(row("a")), plane.ask(direct=direct_inputs(5.0), version=version)]
        plane.turn()
    assert next(tries, None) is None  # one batch was numbered, the other could not be
    assert [call.error.code for call in calls] == ["internal"] * 2
    after = plane.ask(row("b"))
    plane.turn()
    assert (after.error, len(after.answers)) == (None, 1)


def test_records_are_numbered_before_answers_go_out_also_if_these_wait(plane):
    plane.sink.answers_wait = True
    plane.ask(row("a"), row("b"))
    plane.ask(row("c"))
    plane.turn()
    assert [record.sequence for record in plane.sink.records] == [1, 2, 3]


def patient(plane, *, enough=4, patience_s=1e6):
    """The plane, serving a model that gains by batches."""
    champion = plane.dataplane.traffic["late"].champion
    plane.serve(dataclasses.replace(champion, plan=Plan(enough=enough, patience_s=patience_s)))
    return plane


def test_calls_of_a_model_that_gains_by_it_wait_until_there_are_enough(plane, monkeypatch):
    sizes = batches_of(plane, monkeypatch)
    patient(plane)
    for _ in range(3):
        plane.ask(row())
        plane.turn()
        assert sizes == []
    plane.ask(row())
    plane.finish()
    assert (sizes, len(plane.replies), plane.dataplane.in_flight) == ([4], 4, 0)


def test_calls_do_not_wait_longer_than_the_model_is_patient(plane):
    patient(plane, patience_s=0.02)
    plane.ask(row())
    plane.finish()
    assert len(plane.replies) == 1


def test_a_call_that_has_little_time_left_waits_for_nobody(plane):
    patient(plane, patience_s=10.0)
    plane.ask(row(), deadline_s=time.perf_counter() + 15.0)
    plane.turn()
    assert len(plane.replies) == 1


def test_a_model_that_waits_keeps_no_other_waiting(plane):
    at_once = plane.dataplane.traffic["late"]
    patient(plane)
    plane.dataplane.traffic = {**plane.dataplane.traffic, "other": at_once}
    plane.ask(row())
    other = plane.ask(row(), model="other")
    plane.turn()
    assert plane.replies == [other]
    plane.ask(*[row()] * 3)
    plane.turn()
    assert len(plane.replies) == 3


def explode(*_arguments):
    raise ZeroDivisionError("/home/secret")


@pytest.mark.parametrize(
    "where", ["runner.run", "dataplane.execution._stand_ins.answers", "recording.number", "queue.apart"]
)
def test_whatever_goes_wrong_in_a_turn_its_calls_are_answered_and_the_next_turn_is_as_ever(
    plane, monkeypatch, caplog, where
):
    with monkeypatch.context() as broken:
        *path, name = where.split(".")
        owner = plane
        for step in path:
            owner = getattr(owner, step)
        broken.setattr(owner, name, explode)
        calls = [plane.ask(row("a")), plane.ask(row("b", "far"))]
        plane.finish()
    assert plane.replies == calls
    assert calls[0].error is None or calls[0].error.code == "internal"
    assert calls[1].error.code in {"internal", "row"}
    assert plane.dataplane.in_flight == 0
    after = plane.ask(row("c"))
    plane.finish()
    assert (after.error, len(after.answers)) == (None, 1)


def test_a_client_whose_answer_cannot_be_made_is_told_of_a_fault(plane, caplog):
    told = []

    def unwritable(call):
        told.append(call.error and call.error.code)
        if not call.error:
            raise ValueError("not JSON")

    plane.ask(row("a"), reply=unwritable)
    plane.turn()
    assert told == [None, "internal"]
    assert [record.error for record in plane.sink.records] == ["internal"]


@pytest.mark.parametrize("sent", ["rows", "inputs"])
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_one_let_in_for_a_version_that_is_gone_when_its_turn_comes_is_answered_by_those_there_are(
    plane, rig, direct_inputs, sent, weight
):
    champion, other = plane.dataplane.traffic["late"].champion, rig.load(rig.put(2))
    plane.dataplane.traffic = {"late": Traffic(champion, other, weight, standby=other)}
    given = {"direct": direct_inputs(1.0), "version": champion} if sent == "inputs" else {}
    call = plane.ask(*([] if given else [row()]), rung="standby", **given)
    plane.serve(champion, other, weight)
    plane.finish()
    assert (call.error, len(call.answers), call.answers[0].rung) == (None, 1, "")


class TestRoom:
    @pytest.fixture
    def full(self, make_plane, rig, monkeypatch):
        monkeypatch.setattr("seakeep.serving.admission.MAX_WAITING", 100)
        plane = make_plane(queue_ms=100_000)
        plane.serve(rig.load(rig.put(1)))
        for rank in (NORMAL, NORMAL, SHEDDABLE):
            plane.ask(*[row()] * 30, rank=rank)
        return plane

    def test_nobody_is_turned_away_for_one_for_whom_there_is_no_room_all_the_same(self, full):
        with pytest.raises(UnavailableError, match="too many requests"):
            full.ask(*[row()] * 60, rank=NORMAL)
        assert full.replies == []
        full.ask(*[row()] * 40, rank=NORMAL)
        assert [call.rank for call in full.replies] == [SHEDDABLE]

    def test_a_quota_is_spent_for_what_is_let_in_alone(self, full):
        spent = []
        full.dataplane._terms = SimpleNamespace(settle=lambda _call: None, spend=lambda call: spent.append(call.size))
        with pytest.raises(UnavailableError):
            full.ask(*[row()] * 60)
        full.ask(row())
        assert spent == [1]

    def test_nobody_is_turned_away_for_one_who_has_used_up_what_it_may(self, full):
        def spend(_call):
            raise QuotaError("used up")

        full.dataplane._terms = SimpleNamespace(settle=lambda _call: None, spend=spend)
        with pytest.raises(QuotaError):
            full.ask(*[row()] * 40, rank=NORMAL)
        assert full.replies == []
