"""Spans against a real receiver of the OpenTelemetry protocol: an HTTP server that decodes what it is sent."""

import logging
import time

import pytest
from tests.flights import wait_for

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from tests.collecting import Collector

from seakeep.backends.otlp import traces as module
from seakeep.backends.otlp.traces import OtlpTraces
from seakeep.serving.ports import Stage, Traced

TRACED = Traced(
    trace_id=0x0AF7651916CD43DD8448EB211C80319C, parent=0xB7AD6B7169203331, name="predict late", start_ns=1000,
    end_ns=9000, stages=(Stage("parse", 1000, 2000), Stage("model", 3000, 8000)),
    attributes={"seakeep.rows": 2, "seakeep.prediction_ids": ("one", "two")}, error="",
)  # fmt: skip


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 0.02)
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)


@pytest.fixture
def open_traces():
    opened = []

    def make(endpoint):
        opened.append(OtlpTraces(endpoint, service="flights", version="1.2"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_a_request_arrives_as_a_server_span_with_its_stages_below_it(collector, open_traces):
    open_traces(collector.endpoint).put(TRACED)
    wait_for(lambda: len(collector.spans) == 3)
    root, parse, model = collector.spans
    assert {span.trace_id.hex() for span in collector.spans} == {f"{TRACED.trace_id:032x}"}
    assert root.parent_span_id.hex() == f"{TRACED.parent:016x}"
    assert parse.parent_span_id == model.parent_span_id == root.span_id
    assert len({span.span_id for span in collector.spans}) == 3
    assert [span.name for span in collector.spans] == ["predict late", "parse", "model"]
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (1000, 9000)
    assert (model.start_time_unix_nano, model.end_time_unix_nano) == (3000, 8000)
    assert root.kind == root.SPAN_KIND_SERVER
    attributes = {one.key: one.value for one in root.attributes}
    assert attributes["seakeep.rows"].int_value == 2
    assert [one.string_value for one in attributes["seakeep.prediction_ids"].array_value.values] == ["one", "two"]
    assert collector.resources[0]["service.name"] == "flights"
    assert collector.resources[0]["service.version"] == "1.2"


def test_a_trace_that_begins_here_has_no_parent_and_a_failure_is_an_error(collector, open_traces):
    open_traces(collector.endpoint).put(TRACED._replace(parent=0, error="row", stages=()))
    wait_for(lambda: collector.spans)
    (root,) = collector.spans
    assert root.parent_span_id == b""
    assert root.status.code == root.status.STATUS_CODE_ERROR
    assert {one.key: one.value.string_value for one in root.attributes}["error.type"] == "row"


def test_what_waits_when_the_worker_ends_is_sent(collector, open_traces):
    traces = open_traces(collector.endpoint)
    for _ in range(300):
        traces.put(TRACED)
    traces.close()
    assert len(collector.spans) == 900
    assert traces.dropped == 0


def test_a_collector_that_is_away_is_told_once_and_costs_the_caller_nothing(collector, open_traces, caplog):
    caplog.set_level(logging.WARNING)
    collector.status = 400
    traces = open_traces(collector.endpoint)
    for asked in (1, 2, 3):
        began = time.thread_time()
        traces.put(TRACED)
        assert time.thread_time() - began < 0.01
        wait_for(lambda asked=asked: traces.dropped == asked)
    collector.status = 200
    traces.put(TRACED)
    wait_for(lambda: collector.spans)
    traces.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"the collector {collector.endpoint} takes no traces; they are lost until it does",
        f"the collector {collector.endpoint} takes traces again; 3 were lost",
    ]


def test_more_than_the_queue_holds_is_dropped_and_counted(open_traces, monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 60)
    traces = open_traces("http://127.0.0.1:9/v1/traces")
    for _ in range(module.MOST_WAITING + 5):
        traces.put(TRACED)
    assert traces.dropped == 5
    traces._queue.clear()


def test_nobody_who_listens_is_a_collector_that_is_away(open_traces, caplog):
    traces = open_traces("http://127.0.0.1:9/v1/traces")
    traces.put(TRACED)
    wait_for(lambda: traces.dropped == 1)
    assert "takes no traces" in caplog.text
