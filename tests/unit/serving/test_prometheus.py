import re

import pytest

from seakeep.serving.metrics import Meters, Used, read
from seakeep.serving.prometheus import CONTENT_TYPE, render

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)*)\})? (\S+)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


@pytest.fixture
def page(tmp_path):
    one, two = Meters(tmp_path, 0), Meters(tmp_path, 1)
    one.report("ready", 2, 0)
    two.report("draining", 1, 0)
    for value in (3.0, 20.0, 20.0, 1_000.0, 1e9):
        one.of("late", 1).answered(2, 1, (value,) * 4)
    one.of("late", 1).worked(5, (10.0, 20.0, 2_000_000.0, 0.0))
    one.used(Used(loop_us=1_500_000, cpu_us=2_000_000, lag_us=30_000, lags=40, memory_bytes=90_000_000))
    two.of("late", 1).failed("row")
    two.of("late", 2).shadow(scored=4, dropped=3)
    two.of("late", 2).gap()
    one.server.failed("not-found")
    return render(read(tmp_path)).decode()


def samples(page):
    """By name and labels."""
    found = {}
    for line in page.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            key = (name, labels or "")
            assert key not in found
            found[key] = float(value)
    return found


def test_every_line_is_of_the_text_format_and_every_family_is_declared_once_before_its_samples(page):
    assert page.endswith("\n")
    declared: dict[str, str] = {}
    current = ""
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, current, kind = line.split()
            assert current not in declared
            declared[current] = kind
        elif not line.startswith("# HELP "):
            name = SAMPLE.fullmatch(line).group(1)
            suffixes = SUFFIXES.get(declared[current], ("",))
            assert name in {current + suffix for suffix in suffixes}
    assert set(declared.values()) == {"gauge", "counter", "histogram", "summary"}
    assert all(name.endswith("_total") for name, kind in declared.items() if kind == "counter")
    assert b"version=0.0.4" in CONTENT_TYPE


def test_counts_are_those_of_the_workers(page):
    found = samples(page)
    assert found["seakeep_workers", 'state="ready"'] == found["seakeep_workers", 'state="draining"'] == 1
    assert [found["seakeep_in_flight", f'worker="{index}"'] for index in (0, 1)] == [2, 1]
    assert found["seakeep_requests_total", 'model="late",version="1"'] == 6
    assert found["seakeep_rows_total", 'model="late",version="1"'] == 10
    assert found["seakeep_unknown_entities_total", 'model="late",version="1"'] == 5
    assert found["seakeep_errors_total", 'model="late",version="1",code="row"'] == 1
    assert found["seakeep_errors_total", 'model="",version="",code="not-found"'] == 1
    assert found["seakeep_shadow_scored_total", 'model="late",version="2"'] == 4
    assert found["seakeep_shadow_dropped_total", 'model="late",version="2"'] == 3
    assert found["seakeep_recorder_gaps_total", 'model="late",version="2"'] == 1


def test_what_a_worker_used_is_in_seconds_and_bytes(page):
    found = samples(page)
    worker = 'worker="0"'
    assert found["seakeep_loop_seconds_total", worker] == 1.5
    assert found["seakeep_cpu_seconds_total", worker] == 2
    assert found["seakeep_memory_bytes", worker] == 90_000_000
    assert (found["seakeep_loop_lag_seconds_sum", worker], found["seakeep_loop_lag_seconds_count", worker]) == (
        0.03,
        40,
    )
    assert found["seakeep_stage_work_seconds_total", 'model="late",version="1",stage="model"'] == 2
    assert found["seakeep_stage_seconds_sum", 'model="late",version="1",stage="model"'] == 10
    assert found["seakeep_batches_total", 'model="late",version="1"'] == 1


def test_prometheus_own_parser_reads_the_page_as_it_is_meant(page):
    parser = pytest.importorskip("prometheus_client.parser")
    families = {family.name: family for family in parser.text_string_to_metric_families(page)}
    assert {name: family.type for name, family in families.items()} == {
        "seakeep_workers": "gauge",
        "seakeep_native_processes": "gauge",
        "seakeep_native_memory_bytes": "gauge",
        "seakeep_native_start_seconds": "gauge",
        "seakeep_native_restarts": "counter",
        "seakeep_in_flight": "gauge",
        "seakeep_loop_seconds": "counter",
        "seakeep_cpu_seconds": "counter",
        "seakeep_memory_bytes": "gauge",
        "seakeep_loop_lag_seconds": "summary",
        "seakeep_requests": "counter",
        "seakeep_rows": "counter",
        "seakeep_unknown_entities": "counter",
        "seakeep_shadow_scored": "counter",
        "seakeep_shadow_dropped": "counter",
        "seakeep_stale_rows": "counter",
        "seakeep_standby_rows": "counter",
        "seakeep_rule_rows": "counter",
        "seakeep_cached_rows": "counter",
        "seakeep_cache_missed_rows": "counter",
        "seakeep_recorder_gaps": "counter",
        "seakeep_batches": "counter",
        "seakeep_errors": "counter",
        "seakeep_stage_work_seconds": "counter",
        "seakeep_stage_seconds": "histogram",
    }
    read_by_it = {
        (one.name, tuple(one.labels.items())): one.value for family in families.values() for one in family.samples
    }
    assert len(read_by_it) == len(samples(page))
    counted = ("model", "late"), ("version", "1"), ("stage", "model")
    assert read_by_it["seakeep_stage_seconds_count", counted] == 5


def test_a_histogram_is_cumulative_in_seconds_and_ends_with_all(page):
    labels = 'model="late",version="1",stage="total"'
    buckets = {
        key[1].rpartition('le="')[2].rstrip('"'): value
        for key, value in samples(page).items()
        if key[0] == "seakeep_stage_seconds_bucket" and key[1].startswith(labels)
    }
    bounds = [float(bound) for bound in buckets]
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    values = list(buckets.values())
    assert values == sorted(values)
    assert (buckets["1.6e-05"], buckets["3.2e-05"], buckets["0.001024"], buckets["+Inf"]) == (1, 3, 4, 5)
    assert samples(page)["seakeep_stage_seconds_count", labels] == 5


def test_a_large_sum_of_seconds_keeps_its_microseconds(tmp_path):
    meter = Meters(tmp_path, 0).of("late", 1)
    meter.answered(1, 0, (123_456_789_012.0, 1, 1, 1))
    before = samples(render(read(tmp_path)).decode())
    meter.answered(1, 0, (40.0, 1, 1, 1))
    after = samples(render(read(tmp_path)).decode())
    key = ("seakeep_stage_seconds_sum", 'model="late",version="1",stage="parse"')
    assert after[key] - before[key] == pytest.approx(40e-6, rel=1e-3)


def test_a_service_that_has_counted_nothing_yet_has_a_page(tmp_path):
    Meters(tmp_path, 0).started(0)
    assert samples(render(read(tmp_path)).decode())["seakeep_workers", 'state="starting"'] == 1


def test_the_processes_of_native_models_are_told_where_there_are_any_and_end_with_their_worker(tmp_path, page):
    assert "seakeep_native_processes{" not in page
    one, two = Meters(tmp_path, 0), Meters(tmp_path, 1)
    one.of("late", 1).native(1, 200_000_000, 1.5, 0)
    one.of("late", 1).native(1, 250_000_000, 2.5, 3)
    two.of("late", 1).native(0, 0, 2.0, 1)
    found = samples(render(read(tmp_path)).decode())
    late = 'model="late",version="1"'
    assert found["seakeep_native_processes", late] == 1
    assert found["seakeep_native_memory_bytes", late] == 250_000_000
    assert found["seakeep_native_start_seconds", late] == 4.5
    assert found["seakeep_native_restarts_total", late] == 4
    assert ("seakeep_native_processes", 'model="late",version="2"') not in found
    Meters(tmp_path, 0)  # a worker that takes the place of the first
    again = samples(render(read(tmp_path)).decode())
    assert again["seakeep_native_memory_bytes", late] == 0
    assert again["seakeep_native_restarts_total", late] == 4
