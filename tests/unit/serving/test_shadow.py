import dataclasses
import math

import pytest
from tests.serving_rig import definition, expected_score, onnx_model
from tests.serving_runs import row

from seakeep.recorder.pairs import Pairing
from seakeep.serving import shadow
from seakeep.serving.shadow import MAX_WAITING


def failing(score, broken):
    """A version's ``score`` that raises in one version."""

    def scored(self, numbers, categories):
        if self is broken:
            raise ZeroDivisionError
        return score(self, numbers, categories)

    return scored


def shadows(plane):
    return [record for record in plane.sink.records if record.role == "shadow"]


@pytest.fixture
def versions(plane, rig):
    """Champion and candidate; the candidate only follows."""
    first, second = plane.dataplane.traffic["late"].champion, rig.load(rig.put(2))
    plane.serve(first, second)
    return first, second


def test_every_answered_row_is_scored_by_the_other_version_after_the_answer(plane, versions):
    plane.ask(*[row(f"k{n}", float(n)) for n in range(70)])
    plane.turn()
    assert len(plane.replies) == 1
    assert (shadows(plane), plane.shadow.waiting) == ([], 70)
    plane.turn()
    assert (len(shadows(plane)), plane.shadow.waiting) == (70, 0)
    assert len({record.model_us for record in shadows(plane)}) == 1, "as answered: together"
    twins = {record.id: record for record in plane.sink.records if record.role == "champion"}
    assert [record.pair for record in shadows(plane)] == list(twins)
    for record in shadows(plane):
        twin = twins[record.pair]
        assert (record.key, record.numbers[1], record.time_us, record.principal) == (
            twin.key, twin.numbers[1], twin.time_us, "me",
        )  # fmt: skip
        assert record.score == pytest.approx(expected_score(math.nan, twin.numbers[1], "AA", 2 / 8), rel=1e-14)
        assert (record.version, record.error, record.queue_us) == (2, "", 0.0)
        assert record.total_us >= record.model_us > 0
    assert plane.counted()["late:2"]["shadow_scored"] == 70
    assert plane.counted()["late:2"]["requests"] == 0


def test_what_was_pinned_has_no_shadow(plane, versions):
    plane.ask(row("a"))
    plane.ask(row("b"), version=versions[1], role="pinned")
    plane.finish()
    assert [record.key for record in shadows(plane)] == ["a"]


def test_what_neither_can_read_fails_twice_and_is_no_difference(plane, versions):
    plane.ask(row("a", distance="far"))
    plane.ask(b"7")
    plane.finish()
    assert [(record.key, record.error, record.numbers) for record in shadows(plane)] == [
        ("a", "row", []),
        ("", "row", []),
    ]


@pytest.mark.parametrize("fault", ["score", "crash"])
def test_a_candidate_that_fails_real_users_is_paired_with_the_champion_that_would_not_have(
    plane, rig, monkeypatch, fault, direct_inputs
):
    first, broken = plane.dataplane.traffic["late"].champion, rig.load(rig.put(2, model=onnx_model(nan_below=50.0)))
    plane.serve(first, broken, 1.0)
    if fault == "crash":
        monkeypatch.setattr(type(broken), "score", failing(type(broken).score, broken))
    plane.ask(row("b", 5.0))
    plane.ask(direct=direct_inputs(5.0), version=broken, role="canary")
    plane.finish()
    pairing = Pairing("late", 1, 2)
    for record in plane.sink.records:
        pairing.add(record)
    pairs = pairing.table()
    assert (pairs.champion_failed.tolist(), pairs.candidate_failed.tolist()) == ([False, False], [True, True])
    assert all(math.isfinite(score) for score in pairs.champion_score)


def test_only_the_row_without_a_score_fails(plane, rig):
    broken = rig.load(rig.put(2, model=onnx_model(nan_below=50.0)))
    plane.serve(plane.dataplane.traffic["late"].champion, broken)
    plane.ask(row("a", 500.0), row("b", 5.0), row("c", 500.0))
    plane.finish()
    assert [(record.key, record.error, math.isnan(record.score)) for record in shadows(plane)] == [
        ("a", "", False), ("b", "serving", True), ("c", "", False),
    ]  # fmt: skip
    assert not any(record.decision for record in shadows(plane) if record.error)


@pytest.mark.parametrize(("fault", "code"), [("row", "row"), ("zero", "internal")])
def test_only_the_row_that_the_candidate_cannot_take_fails(plane, rig, monkeypatch, caplog, fault, code):
    other = rig.load(rig.put(2, of=definition(version=2)))
    plane.serve(plane.dataplane.traffic["late"].champion, other)
    decode = other.decoder.decode

    def strict(rows):
        if b'"bad"' in rows:
            if fault == "zero":
                raise ZeroDivisionError
            return decode(b"[7]")
        return decode(rows)

    monkeypatch.setattr(other.decoder, "decode", strict)
    plane.ask(row("a"), row("bad"), row("c"))
    plane.ask(row("d"))
    plane.finish()
    assert [(record.key, record.error) for record in shadows(plane)] == [("a", ""), ("bad", code), ("c", ""), ("d", "")]
    assert plane.shadow.waiting == 0
    assert ("failed in the shadow" in caplog.text) is (fault == "zero")


def test_a_candidate_of_another_definition_computes_inputs_as_of_the_answer(plane, rig):
    plane.serve(plane.dataplane.traffic["late"].champion, rig.load(rig.put(2, of=definition(version=2))))
    plane.ask(row("a"))
    plane.turn()
    answered = plane.clock.now_us()
    plane.clock.value_us += 60_000_000
    plane.finish()
    (record,) = shadows(plane)
    assert (record.time_us, record.recorded_us) == (answered, plane.clock.now_us())
    assert record.parse_us > 0
    assert record.features_us > 0


def test_inputs_that_a_client_sent_serve_a_candidate_of_the_same_inputs_only(plane, rig, versions, direct_inputs):
    first, _ = versions
    plane.ask(direct=direct_inputs(1.0, 2.0), version=first)
    plane.finish()
    assert [record.error for record in shadows(plane)] == ["", ""]
    plane.serve(first, rig.load(rig.put(3, of=definition(version=2))))
    plane.ask(direct=direct_inputs(1.0, 2.0), version=first)
    plane.finish()
    assert len(shadows(plane)) == 2
    assert plane.counted()["late:3"]["shadow_dropped"] == 2


def test_what_there_is_no_room_for_is_dropped_and_counted_and_the_answers_stand(plane, versions):
    for _ in range(MAX_WAITING // 4096):
        plane.ask(*[row()] * 4096)
        plane.turn()
        plane.later.clear()
    assert plane.shadow.waiting == MAX_WAITING
    call = plane.ask(row(), row())
    plane.turn()
    assert len(call.answers) == 2
    assert plane.counted()["late:2"]["shadow_dropped"] == 2
    plane.shadow.finish()
    assert plane.shadow.waiting == 0
    assert len(shadows(plane)) == MAX_WAITING


class Held:
    """Where work is done only when it is let."""

    def __init__(self) -> None:
        self.waiting, self.models, self.finished = [], [], []

    def run(self, model, work, done) -> None:
        self.models.append(model)
        self.waiting.append((work, done))

    def work(self) -> None:
        work, done = self.waiting.pop(0)
        result = work()
        self.finished.append(lambda: done(result))

    def collect(self) -> None:
        while self.finished:
            self.finished.pop(0)()


@pytest.fixture
def held(plane):
    plane.shadow.apart = Held()
    return plane.shadow.apart


def ask(plane, *keys):
    """One batch, and the turn in which its shadow may be looked at."""
    plane.ask(*map(row, keys))
    plane.turn()
    plane.turn()


def test_what_is_not_known_to_be_short_is_scored_apart_and_what_is_between_the_ticks(plane, versions, held):
    ask(plane, "a")
    ask(plane, "b")
    assert held.models == ["late shadow"], "one at a time"
    held.work()
    assert shadows(plane) == [], "records are written on the loop"
    plane.shadow._lanes["late"].row_s[2] = 0.0
    held.collect()
    plane.finish()
    assert [record.key for record in shadows(plane)] == ["a", "b"]
    plane.shadow._lanes["late"].row_s[2] = 1.0
    ask(plane, "c")
    assert (len(shadows(plane)), len(held.waiting)) == (2, 1)
    held.work()
    held.collect()
    assert (len(shadows(plane)), plane.shadow.waiting) == (3, 0)


def test_a_shadow_that_looks_features_up_does_so_apart_however_short_it_is(plane, rig, held):
    plane.serve(plane.dataplane.traffic["late"].champion, rig.load(rig.put(2, of=definition(version=2))))
    for key in "ab":
        ask(plane, key)
        assert len(held.waiting) == 1
        held.work()
        held.collect()
    assert [record.key for record in shadows(plane)] == ["a", "b"]


def test_a_batch_that_fails_apart_is_tried_row_by_row(plane, rig, held):
    broken = rig.load(rig.put(2, model=onnx_model(nan_below=50.0)))
    plane.serve(plane.dataplane.traffic["late"].champion, broken)
    plane.ask(row("a", 500.0), row("b", 5.0))
    plane.finish()
    while held.waiting:
        held.work()
        held.collect()
        plane.finish()
    assert [(record.key, record.error) for record in shadows(plane)] == [("a", ""), ("b", "serving")]
    assert plane.shadow.waiting == 0


def test_a_candidate_that_hangs_holds_its_own_shadow_only_and_what_is_left_at_the_end_is_counted(
    plane, versions, held, monkeypatch
):
    for _ in range(MAX_WAITING // 4096):
        ask(plane, *["k"] * 4096)
    ask(plane, "no room")
    assert len(plane.replies) == MAX_WAITING // 4096 + 1
    assert plane.counted()["late:2"]["shadow_dropped"] == 1
    monkeypatch.setattr(shadow, "FINISH_S", 0.01)
    plane.shadow.finish()
    assert (plane.shadow.waiting, shadows(plane)) == (0, [])
    assert plane.counted()["late:2"]["shadow_dropped"] == 1 + MAX_WAITING
    held.work()
    held.collect()
    assert shadows(plane) == [], "whoever comes back later is too late"
    ask(plane, "after the end")
    assert plane.counted()["late:2"]["shadow_dropped"] == 2 + MAX_WAITING


def test_what_waits_at_the_end_is_worked_off_apart_too(plane, versions, held, monkeypatch):
    ask(plane, "a")
    ask(plane, "b")
    monkeypatch.setattr(held, "collect", lambda: (held.waiting and held.work(), Held.collect(held)))
    plane.shadow.finish()
    assert [record.key for record in shadows(plane)] == ["a", "b"]
    assert plane.counted()["late:2"]["shadow_dropped"] == 0


def failing_once(monkeypatch, where, name, when=lambda *_: True):
    """Let a method raise the first time that ``when`` says so."""
    whole, faults = getattr(where, name), [OSError("once")]

    def flawed(*arguments):
        if faults and when(*arguments):
            raise faults.pop()
        return whole(*arguments)

    monkeypatch.setattr(where, name, flawed)


def test_what_cannot_be_recorded_is_dropped_and_the_rest_is_scored(plane, versions, monkeypatch, caplog):
    failing_once(monkeypatch, plane.recording, "shadowed")
    for key in "abc":
        ask(plane, key)
    plane.finish()
    assert [record.key for record in shadows(plane)] == ["b", "c"]
    counted = plane.counted()["late:2"]
    assert (counted["shadow_dropped"], counted["shadow_scored"], plane.shadow.waiting) == (1, 2, 0)
    assert "late:2: 1 rows in the shadow are dropped" in caplog.text


def test_a_fault_in_the_lane_of_a_model_is_none_in_that_of_another(plane, versions, monkeypatch):
    other = dataclasses.replace(versions[1], model="early")
    failing_once(monkeypatch, plane.recording, "shadowed", lambda shared, *_: shared.version.model == "late")
    plane.ask(row("a"))
    plane.turn()
    lane = plane.shadow._lanes["late"]
    plane.shadow._lanes["early"] = twin = type(lane)()
    twin.jobs.append(dataclasses.replace(lane.jobs[0], version=other))
    twin.rows = lane.rows
    plane.shadow._step()
    assert ([record.model for record in shadows(plane)], plane.shadow.waiting) == (["early"], 0)


def test_a_fault_at_the_end_keeps_nothing_from_ending(plane, versions, monkeypatch):
    failing_once(monkeypatch, plane.recording, "shadowed")
    for key in "ab":
        plane.ask(row(key))
        plane.turn()
        plane.later.clear()
    plane.shadow.finish()
    assert [record.key for record in shadows(plane)] == ["b"]
    assert plane.counted()["late:2"]["shadow_dropped"] == 1


@pytest.mark.parametrize("where", ["on the way back", "on the way out"])
def test_a_fault_of_what_is_scored_apart_is_dropped_and_the_next_is_scored(plane, versions, held, monkeypatch, where):
    if where == "on the way back":
        failing_once(monkeypatch, plane.recording, "shadowed")
    else:
        failing_once(monkeypatch, held, "run")
    for key in "ab":
        ask(plane, key)
    while held.waiting:
        held.work()
        held.collect()
        plane.finish()
    assert [record.key for record in shadows(plane)] == ["b"]
    assert (plane.counted()["late:2"]["shadow_dropped"], plane.shadow.waiting) == (1, 0)


def test_scheduling_goes_on_though_a_fault_cannot_even_be_counted(plane, versions, monkeypatch):
    failing_once(monkeypatch, plane.recording, "shadowed")
    for key in "ab":
        plane.ask(row(key))
        plane.turn()
        plane.later.clear()
    with monkeypatch.context() as patched:
        failing_once(patched, plane.meters, "of")
        with pytest.raises(OSError, match="once"):
            plane.shadow._due()
    plane.finish()
    assert ([record.key for record in shadows(plane)], plane.shadow.waiting) == (["b"], 0)
