import math

import pytest
from tests.serving_runs import row

from seakeep.serving.metrics import STAGES, read


def test_a_record_holds_all_that_is_needed_to_compute_the_answer_again(plane):
    call = plane.ask(row("a", 5.0), row("b", None, None))
    plane.clock.value_us += 7
    plane.turn()
    first, second = plane.sink.records
    version = plane.dataplane.traffic["late"].champion
    for record, answer in zip((first, second), call.answers, strict=True):
        assert (record.id, record.score, record.decision) == (answer.id, answer.score, answer.decision)
        assert (record.model, record.version, record.bundle) == ("late", 1, version.bundle)
        assert (record.role, record.pair, record.principal, record.error) == ("champion", "", "me", "")
        assert (record.time_us, record.recorded_us) == (plane.clock.now_us(),) * 2
    assert first.request == row("a", 5.0)
    assert second.request == {"flight_id": "b", "distance": None, "carrier": None}
    assert (first.numbers[1], first.categories) == (5.0, ["AA"])
    assert math.isnan(second.numbers[1])
    assert second.categories == [""]
    assert [first.sequence, second.sequence] == [1, 2]


def test_every_stage_of_an_answered_request_is_counted_for_its_version(plane):
    plane.ask(row("a"))
    plane.ask(row("b"), row("c"))
    plane.ask(row(distance="far"))
    plane.turn()
    (late,) = [one for one in read(plane.rig.metrics).versions if one.model]
    assert {stage: one.count for stage, one in late.stages.items()} == dict.fromkeys(STAGES, 2)
    assert all(spent > 0 for stage, spent in late.work_us.items() if stage != "parse")
    parts = sum(one.sum_us for stage, one in late.stages.items() if stage not in {"record", "total"})
    assert parts <= late.stages["total"].sum_us
    assert late.counters["batches"] == 3


def test_a_record_that_comes_first_is_counted_with_the_answer_after_it(plane):
    plane.sink.answers_wait = True
    plane.ask(row("a"))
    plane.turn()
    (late,) = [one for one in read(plane.rig.metrics).versions if one.model]
    assert {stage: one.count for stage, one in late.stages.items()} == dict.fromkeys(STAGES, 1)
    within = sum(one.sum_us for stage, one in late.stages.items() if stage != "total")
    assert within <= late.stages["total"].sum_us
    assert plane.sink.records[0].total_us <= late.stages["total"].sum_us


def test_tensors_go_through_neither_validation_nor_features(plane, direct_inputs):
    version = plane.dataplane.traffic["late"].champion
    plane.ask(direct=direct_inputs(5.0), version=version)
    plane.turn()
    (late,) = [one for one in read(plane.rig.metrics).versions if one.model]
    missed = {stage for stage, one in late.stages.items() if not one.count}
    assert missed == {"validate", "features"}


def test_stages_add_up_to_no_more_than_the_whole(plane):
    call = plane.ask(row())
    plane.turn()
    (record,) = plane.sink.records
    parts = (record.parse_us, record.features_us, record.queue_us, record.model_us)
    assert all(part > 0 for part in parts)
    assert sum(parts) <= record.total_us
    assert call.parsed_s >= call.arrived_s


@pytest.mark.parametrize(
    ("sent", "key", "request_"),
    [
        (row("a", distance="far"), "a", row("a", distance="far")),
        ({"distance": 5.0}, "", {"distance": 5.0}),
        ({"flight_id": None}, "", {"flight_id": None}),
        ({"flight_id": 5}, "5", {"flight_id": 5}),
        (b"7", "", {}),
        (b'{"flight_id": "\xff"}', "", {}),
    ],
)
def test_a_row_that_could_not_be_read_is_recorded_as_far_as_it_can_be(plane, sent, key, request_):
    plane.ask(sent)
    plane.turn()
    (record,) = plane.sink.records
    assert (record.key, record.request, record.error, record.decision) == (key, request_, "row", False)
    assert (record.numbers, record.categories, record.feature_times_us) == ([], [], [])
    assert math.isnan(record.score)
    assert record.id
    assert record.time_us == record.recorded_us


def test_rows_of_a_failed_call_have_no_score_even_where_they_had_one(plane, rig):
    from tests.serving_rig import onnx_model

    plane.serve(rig.load(rig.put(1, model=onnx_model(nan_below=50.0))))
    plane.ask(row("fine", 500.0), row("bad", 5.0))
    plane.turn()
    assert [(record.key, record.error) for record in plane.sink.records] == [("fine", "serving"), ("bad", "serving")]
    assert all(math.isnan(record.score) and not record.decision for record in plane.sink.records)


def test_requests_rows_errors_and_gaps_are_counted_by_version(plane):
    event = {"flight_id": ["x"], "landed": [5], "carrier": ["UA"], "arr_delay": [4.0]}
    plane.features.ingest("arrivals", event, "b1")
    plane.ask(row("a", carrier="UA"), row("b"), row("c"))
    plane.ask(row(distance="far"))
    plane.turn()
    plane.sink.full = True
    plane.ask(row("d"))
    plane.turn()
    counted = plane.counted()["late:1"]
    assert (counted["requests"], counted["rows"], counted["unknown"]) == (3, 4, 3)
    assert (counted["row"], counted["gaps"]) == (1, 1)
    assert plane.sink.next_sequence() == 6


def test_when_an_answer_goes_out_its_record_has_a_number_so_that_a_crash_then_is_counted(plane):
    handed_out = []
    plane.ask(row("a"), row("b"), reply=lambda _: handed_out.append(plane.sink.last))
    plane.ask(row(distance="far"), reply=lambda _: handed_out.append(plane.sink.last))
    plane.turn()
    assert handed_out == [3, 3]
    assert [record.sequence for record in plane.sink.records] == [1, 2, 3]


def test_the_newest_event_of_each_view_is_recorded_with_the_features(plane):
    event = {"flight_id": ["x", "y"], "landed": [5, 9], "carrier": ["UA", "UA"], "arr_delay": [4.0, 8.0]}
    plane.features.ingest("arrivals", event, "b1")
    plane.ask(row(carrier="UA"), row(carrier="AA"))
    plane.turn()
    assert [record.feature_times_us for record in plane.sink.records] == [[9], [0]]
    assert plane.sink.records[0].numbers[0] == 6.0
