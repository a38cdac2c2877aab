import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_runs import INFER, PREDICT, body, row

from seakeep.clock import id_number
from seakeep.config import ObserveSettings, ServingSettings
from seakeep.serving.dataplane import Dataplane
from seakeep.serving.inference import Trace
from seakeep.serving.logs import AccessLog
from seakeep.serving.observer import Observer
from seakeep.serving.tracing import Caller, Tracing, parse_traceparent, trace_id

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{PARENT}-01"
GIVEN = Trace(int(TRACE, 16), int(PARENT, 16))
STAGES = ["parse", "queue", "validate", "features", "model", "serialise", "record"]


class Spans(list):
    closed = False

    def put(self, traced):
        self.append(traced)

    def close(self):
        self.closed = True


class TestTraceparent:
    def test_a_caller_says_where_it_is_and_whether_it_is_recorded(self):
        assert parse_traceparent(SENT.encode()) == Caller(GIVEN, sampled=True)
        assert parse_traceparent(f"00-{TRACE}-{PARENT}-00".encode()) == Caller(GIVEN, sampled=False)

    def test_other_flags_say_nothing_of_sampling(self):
        assert parse_traceparent(f"00-{TRACE}-{PARENT}-02".encode()).sampled is False
        assert parse_traceparent(f"00-{TRACE}-{PARENT}-03".encode()).sampled is True

    def test_a_later_version_may_say_more(self):
        assert parse_traceparent(f"cc-{TRACE}-{PARENT}-01-what-comes".encode()) == Caller(GIVEN, sampled=True)

    @pytest.mark.parametrize(
        "header",
        [
            "", "00", SENT.upper(), f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more", f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{PARENT}-1", f"00-{TRACE[1:]}-{PARENT}-01", f" {SENT}", f"{SENT}\n",
            f"cc-{TRACE}-{PARENT}-01.more",
        ],
    )  # fmt: skip
    def test_what_is_not_valid_is_as_if_nothing_had_been_sent(self, header):
        assert parse_traceparent(header.encode()) is None

    @given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
    def test_every_valid_header_is_read_as_it_was_written(self, number, parent, flags):
        found = parse_traceparent(f"00-{number:032x}-{parent:016x}-{flags:02x}".encode())
        assert found == Caller(Trace(number, parent), sampled=bool(flags & 1))

    @given(st.binary(max_size=80))
    def test_no_bytes_are_an_error(self, header):
        parse_traceparent(header)


@pytest.fixture
def traced(plane):
    """A plane that traces what its callers want traced: the plane, its tracing, and what was told."""
    spans = Spans()
    tracing = Tracing(spans, share=0.0, clock=plane.clock)
    traffic = plane.dataplane.traffic
    plane.dataplane = Dataplane(
        plane.runner, plane.recording, plane.shadow, defer=plane.later.append, settings=ServingSettings(), observe=Observer(AccessLog(0, float), tracing).answered
    )  # fmt: skip
    plane.dataplane.traffic = traffic
    return plane, tracing, spans


def test_a_sampled_request_has_a_span_of_each_stage_in_order_within_the_whole(traced):
    plane, tracing, spans = traced
    call = plane.ask(row("a"), row("b"), trace=tracing.begin(SENT.encode()))
    plane.ask(row("c"))
    plane.turn()
    (told,) = spans
    assert (told.trace_id, told.parent, told.name, told.error) == (*GIVEN, "predict late", "")
    assert [stage.name for stage in told.stages] == STAGES
    assert all(stage.start_ns <= stage.end_ns for stage in told.stages)
    starts = [stage.start_ns for stage in told.stages]
    assert starts == sorted(starts)
    assert all(told.start_ns <= stage.start_ns <= stage.end_ns <= told.end_ns for stage in told.stages[:-1])
    assert abs(told.end_ns - plane.clock.now_us() * 1000) < 60e9
    assert told.attributes == {
        "seakeep.model": "late",
        "seakeep.version": "1",
        "seakeep.rows": 2,
        "seakeep.batch_rows": 3,
        "seakeep.prediction_ids": tuple(answer.id for answer in call.answers),
    }
    assert trace_id(call.trace, call.answers[0].id) == TRACE


def test_a_request_that_fails_tells_its_code_and_still_its_prediction(traced):
    plane, tracing, spans = traced
    plane.ask(row(distance="far"), trace=tracing.begin(SENT.encode()))
    plane.turn()
    (told,) = spans
    assert told.error == "row"
    assert [stage.name for stage in told.stages] == ["parse", "queue", "serialise", "record"]
    assert told.attributes["seakeep.prediction_ids"] == (plane.sink.records[0].id,)


def test_a_request_that_two_versions_answer_is_one_trace(traced, rig):
    plane, tracing, spans = traced
    plane.serve(rig.load(rig.put(1)), rig.load(rig.put(2)), weight=0.5)
    plane.ask(*[row(f"k{number}") for number in range(20)], trace=tracing.begin(SENT.encode()))
    plane.turn()
    (told,) = spans
    assert told.attributes["seakeep.version"] == "1,2"
    assert [stage.name for stage in told.stages].count("model") == 2


def test_a_trace_that_begins_here_has_the_bits_of_its_first_prediction(traced):
    plane, _, spans = traced
    tracing = Tracing(spans, share=1.0, clock=plane.clock)
    call = plane.ask(row("a"), row("b"), trace=tracing.begin(b""))
    plane.turn()
    (told,) = spans
    assert (told.trace_id, told.parent) == (id_number(call.answers[0].id), 0)
    assert trace_id(call.trace, call.answers[0].id) == f"{told.trace_id:032x}"


def test_a_share_of_the_others_is_traced_and_a_callers_no_is_honoured(plane):
    tracing = Tracing(Spans(), share=0.25, clock=plane.clock)
    begun = [tracing.begin(b"") for _ in range(4000)]
    assert 800 < sum(one is not None for one in begun) < 1200
    everything = Tracing(Spans(), share=1.0, clock=plane.clock)
    assert everything.begin(f"00-{TRACE}-{PARENT}-00".encode()) is None
    assert Tracing(Spans(), share=0.0, clock=plane.clock).begin(b"nonsense") is None
    assert everything.begin(b"nonsense") == Trace(0, 0)


def test_more_predictions_than_a_span_can_name_are_cut_short(traced):
    plane, tracing, spans = traced
    plane.ask(*[row()] * 50, trace=tracing.begin(SENT.encode()))
    plane.turn()
    assert len(spans[0].attributes["seakeep.prediction_ids"]) == 16


def test_an_observer_that_fails_hurts_no_answer(plane, caplog):
    def broken(_calls, _batches):
        raise RuntimeError

    traffic = plane.dataplane.traffic
    plane.dataplane = Dataplane(
        plane.runner,
        plane.recording,
        plane.shadow,
        defer=plane.later.append,
        settings=ServingSettings(),
        observe=broken,
    )
    plane.dataplane.traffic = traffic
    call = plane.ask(row("a"))
    plane.turn()
    assert call.error is None
    assert len(plane.sink.records) == 1
    assert "could not be told" in caplog.text


def test_over_http_the_header_of_both_routes_is_honoured_and_the_worker_closes_what_collects(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    spans = Spans()
    tensors = {
        "inputs": [
            {"name": "carrier_recent.late_1h", "datatype": "FP64", "shape": [1], "data": [0.0]},
            {"name": "distance", "datatype": "FP64", "shape": [1], "data": [5.0]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
        ]
    }

    async def work():
        async with serve(spans=spans, observing=ObserveSettings(traces="x", trace_share=0.0)) as service:
            for path, sent in ((PREDICT, body(row("a"))), (INFER, json.dumps(tensors).encode())):
                for header in ({"traceparent": SENT}, {"traceparent": SENT[:-1] + "0"}, {}):
                    status, _ = await service.client.post(path, sent, header)
                    assert status == 200

    on_loop(work())
    assert [(told.trace_id, told.parent) for told in spans] == [GIVEN, GIVEN]
    assert spans.closed
