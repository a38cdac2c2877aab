import math
import threading

import numpy as np
import pytest
from tests.serving_rig import definition, expected_score, onnx_model
from tests.serving_runs import row

from seakeep.errors import FeaturesError
from seakeep.serving.inference import Part


def parts(version, *calls, **more):
    return [Part(call, version, "champion", **more) for call in calls]


def fault(batches, call):
    """Why a call was not answered."""
    return next(part.error for batch in batches for part in batch.parts if part.call is call)


def errors(batches, calls):
    return [error.code if (error := fault(batches, call)) else "" for call in calls]


def test_parts_are_executed_as_one_batch_and_each_gets_what_it_would_get_alone(plane):
    version = plane.dataplane.traffic["late"].champion
    rows = [row(f"k{n}", 37.7 * n, "AA" if n % 2 else "DL") for n in range(70)]
    (batch,) = plane.runner.run(version, parts(version, *(plane.call(*rows[at : at + 7]) for at in range(0, 70, 7))))
    alone = [plane.runner.run(version, parts(version, plane.call(one)))[0].answers[0] for one in rows]
    assert [one.score for one in batch.answers] == [one.score for one in alone]
    assert [one.key for one in batch.answers] == [one["flight_id"] for one in rows]
    assert len({one.id for one in (*batch.answers, *alone)}) == 140
    assert batch.answers[1].score == pytest.approx(expected_score(math.nan, 37.7, "AA", 1 / 8), rel=1e-14)
    assert {one.version for one in batch.answers} == {1}
    assert batch.inputs.times_us == [plane.clock.now_us()] * 70
    assert batch.model_us > 0


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (row(distance="far"), "row"),
        (b"7", "row"),
        (b'{"flight_id":"a","flight_id":"b"}', "row"),
        (row(scheduled=5), "row"),
        (row("dry", 5.0), "serving"),
        (row("boom"), "features"),
    ],
)
def test_the_one_at_fault_fails_and_no_other(make_plane, rig, monkeypatch, caplog, bad, code):
    plane = make_plane()
    version = rig.load(rig.put(1, model=onnx_model(nan_below=50.0)))
    assemble = plane.features.assemble

    def explosive(definition, table, times_us):
        if "boom" in table["flight_id"].tolist():
            raise ZeroDivisionError("/home/secret")
        return assemble(definition, table, times_us)

    monkeypatch.setattr(plane.features, "assemble", explosive)
    calls = [plane.call(row("a")), plane.call(bad), plane.call(row("b"), row("c")), plane.call(row("x"), bad)]
    batches = plane.runner.run(version, parts(version, *calls))
    assert errors(batches, calls) == ["", code, "", code]
    assert "secret" not in fault(batches, calls[1]).message
    answered = [one.key for batch in batches for part in batch.parts if not part.error for one in batch.answers]
    assert {"a", "b", "c"} <= set(answered)


@pytest.mark.parametrize(
    ("bad", "told"),
    [({"distance": "far"}, "row 3"), ({"scheduled": 5}, "row 3 names its own 'scheduled'"), ({"altitude": 1}, "row 3")],
)
def test_a_row_at_fault_is_named_by_its_place_in_the_request_also_when_versions_share_it(plane, bad, told):
    version = plane.dataplane.traffic["late"].champion
    call = plane.call(*[row(f"k{n}", **(bad if n == 3 else {})) for n in range(5)])
    error = fault(plane.runner.run(version, parts(version, call, positions=[1, 3])), call)
    assert told in error.message
    assert error.row == 3


class TestMoments:
    def test_rows_speak_for_the_present_moment_which_features_of_the_request_may_read(self, plane):
        version = plane.dataplane.traffic["late"].champion
        seen = []
        assemble = plane.features.assemble
        plane.features.assemble = lambda d, table, times: seen.append(table["scheduled"]) or assemble(d, table, times)
        plane.runner.run(version, parts(version, plane.call(row(), row())))
        np.testing.assert_array_equal(seen[0].astype(np.int64), [plane.clock.now_us()] * 2)

    def test_rows_of_the_past_bring_their_own_moment_or_are_refused(self, make_plane, rig):
        plane = make_plane(mode="request")
        version = rig.load(rig.put(1))
        given, without = plane.call(row(scheduled=7), row(scheduled="1970-01-01T00:00:01Z")), plane.call(row())
        batches = plane.runner.run(version, parts(version, given, without))
        assert batches[0].inputs.times_us == [7, 1_000_000]
        error = fault(batches, without)
        assert "row 0 has no 'scheduled'" in error.message
        assert (error.column, error.row) == ("scheduled", 0)

    def test_the_shadow_looks_features_up_as_of_the_moment_of_the_answer(self, plane):
        version = plane.dataplane.traffic["late"].champion
        inputs = plane.runner.inputs(version, plane.call(row(), row()).rows, [5, 6])
        assert inputs.times_us == [5, 6]


def test_inputs_that_clients_sent_are_joined_as_they_are(plane, direct_inputs):
    version = plane.dataplane.traffic["late"].champion
    calls = [plane.call(direct=direct_inputs(*distances)) for distances in ([1.0, 2.0], [3.0], [4.0, 5.0])]
    (batch,) = plane.runner.run(version, parts(version, *calls))
    assert batch.inputs.numbers[:, 1].tolist() == [1, 2, 3, 4, 5]
    expected = [expected_score(math.nan, distance, "AA", 1 / 8) for distance in (1, 2, 3, 4, 5)]
    assert [one.score for one in batch.answers] == pytest.approx(expected, rel=1e-14)
    assert (batch.inputs.decode_us, batch.inputs.features_us) == (0, 0)


def test_the_decision_is_the_score_against_the_version_s_threshold(rig, make_plane):
    plane = make_plane()
    route = rig.put(1)
    version = rig.load(route)
    plane.serve(version)
    call = plane.ask(row("a", 0.0, "UA"), row("b", 500.0))
    plane.turn()
    low, high = call.answers
    for threshold, decisions in ((low.score, [True, True]), (high.score, [False, True]), (1.0, [False, False])):
        digest = rig.bundles.put(definition(), onnx_model(bias=1 / 8), threshold)
        strict = rig.load(type(route)(model="late", version=1, bundle=digest, role="champion", weight=1.0))
        (batch,) = plane.runner.run(strict, parts(strict, plane.call(row("a", 0.0, "UA"), row("b", 500.0))))
        assert [one.decision for one in batch.answers] == decisions


def counted(monkeypatch, owner, name):
    """Calls of a method, which goes on as before."""
    asked, method = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *given: asked.append(given) or method(*given))
    return asked


@pytest.mark.parametrize("fault", [FeaturesError("down"), ConnectionError("gone")])
def test_a_store_that_does_not_answer_is_asked_once_for_a_whole_batch(plane, monkeypatch, caplog, fault):
    def down(*_):
        raise fault

    monkeypatch.setattr(plane.features, "assemble", down)
    asked = counted(monkeypatch, plane.features, "assemble")
    calls = [plane.call(row(f"k{n}")) for n in range(32)]
    batches = plane.runner.run(version := plane.dataplane.traffic["late"].champion, parts(version, *calls))
    assert errors(batches, calls) == ["features"] * 32
    assert len(asked) == 1


def test_the_one_at_fault_is_found_by_halves(plane, monkeypatch):
    tries = counted(monkeypatch, plane.runner, "_execute")
    calls = [plane.call(row(f"k{n}", "far" if n == 41 else 5.0)) for n in range(64)]
    batches = plane.runner.run(version := plane.dataplane.traffic["late"].champion, parts(version, *calls))
    assert [n for n, error in enumerate(errors(batches, calls)) if error] == [41]
    assert len(tries) == 1 + 2 * 6


def test_each_thread_tells_since_when_it_looks_features_up(plane, monkeypatch):
    version, me = plane.dataplane.traffic["late"].champion, threading.get_ident()
    seen, assemble = [], plane.features.assemble

    def watched(*given):
        seen.append((plane.runner.looking_since(me), plane.runner.looking_since(-1)))
        return assemble(*given)

    monkeypatch.setattr(plane.features, "assemble", watched)
    plane.runner.looks_up_from(5.0)
    for _ in range(2):
        plane.runner.inputs(version, plane.call(row()).rows)
        assert plane.runner.looking_since(me) is None
    assert seen[0] == (5.0, None)
    assert seen[1][0] > 5.0
