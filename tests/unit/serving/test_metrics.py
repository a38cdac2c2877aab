import math
import os

import pytest

from seakeep.errors import PlatformError
from seakeep.serving.metrics import BOUNDS_US, STAGES, TOGETHER, Histogram, Meters, Used, prepare, read, statuses


def versions(folder):
    return {(one.model, one.version): one for one in read(folder).versions}


def test_workers_are_added_up_by_version(tmp_path):
    first, second = Meters(tmp_path, 0), Meters(tmp_path, 1)
    first.of("late", 1).answered(3, 2, (1, 2, 3, 10))
    second.of("other", 7).answered(1, 0, (1, 1, 1, 4))
    second.of("late", 1).answered(5, 0, (1, 2, 3, 10))
    second.of("late", 1).failed("row")
    first.server.failed("not-found")
    second.server.taken(9)
    found = versions(tmp_path)
    late = found["late", 1]
    assert late.counters == {
        "requests": 3, "rows": 8, "unknown": 2, "shadow_scored": 0, "shadow_dropped": 0, "gaps": 0, "batches": 0,
        "stale": 0, "standby": 0, "rule": 0, "cached": 0, "cache_missed": 0,
        "native_processes": 0, "native_bytes": 0, "native_start_ms": 0, "native_restarts": 0,
    }  # fmt: skip
    assert late.errors == {"row": 1}
    assert {stage: (one.count, one.sum_us) for stage, one in late.stages.items() if one.count} == {
        "parse": (2, 2), "queue": (2, 4), "serialise": (2, 6), "total": (2, 20),
    }  # fmt: skip
    assert found["", 0].counters["requests"] == 2
    assert found["", 0].errors == {"not-found": 1}
    assert set(found) == {("", 0), ("late", 1), ("other", 7)}


def test_how_the_workers_are_can_be_asked_without_what_they_counted(tmp_path):
    meters = Meters(tmp_path, 3)
    meters.report("ready", 5, 17)
    (tmp_path / "worker-9.metrics").write_bytes(b"cut")
    assert statuses(tmp_path) == read(tmp_path).workers
    (one,) = statuses(tmp_path)
    assert (one.index, one.pid, one.state, one.in_flight, one.beat_us) == (3, os.getpid(), "ready", 5, 17)


def test_a_code_that_is_not_foreseen_counts_as_other(tmp_path):
    Meters(tmp_path, 0).server.failed("quantum")
    assert versions(tmp_path)["", 0].errors == {"other": 1}


def test_a_worker_that_takes_a_dead_one_s_place_counts_on(tmp_path):
    dead = Meters(tmp_path, 0)
    dead.of("late", 1).answered(1, 0, (1, 1, 1, 1))
    dead.report("ready", 5, 1)
    successor = Meters(tmp_path, 0)
    successor.of("late", 2).answered(1, 0, (1, 1, 1, 1))
    successor.of("late", 1).answered(1, 0, (1, 1, 1, 1))
    assert {key: one.counters["requests"] for key, one in versions(tmp_path).items()} == {
        ("", 0): 0, ("late", 1): 2, ("late", 2): 1,
    }  # fmt: skip
    assert read(tmp_path).workers[0].in_flight == 0


def test_labels_do_not_grow_without_bound(tmp_path):
    meters = Meters(tmp_path, 0)
    for number in range(1, 101):
        meters.of("late", number).answered(1, 0, (1, 1, 1, 1))
    again = Meters(tmp_path, 0)
    again.of("late", 1000).answered(1, 0, (1, 1, 1, 1))
    again.of("late", 5).answered(1, 0, (1, 1, 1, 1))
    found = versions(tmp_path)
    assert len(found) == 64
    assert found["other", 0].counters["requests"] == 39
    assert found["late", 5].counters["requests"] == 2
    assert sum(one.counters["requests"] for one in found.values()) == 102


def test_the_longest_name_with_a_large_number_fits(tmp_path):
    Meters(tmp_path, 0).of("m" * 64, 9_999_999).failed("row")
    assert versions(tmp_path)["m" * 64, 9_999_999].errors == {"row": 1}


def test_a_worker_says_how_it_is(tmp_path):
    meters = Meters(tmp_path, 3)
    meters.started(5)
    meters.settled(4096)
    meters.report("draining", 2, 9)
    (worker,) = read(tmp_path).workers
    assert (worker.index, worker.pid, worker.state, worker.in_flight) == (3, os.getpid(), "draining", 2)
    assert (worker.started_us, worker.beat_us, worker.ready_bytes) == (5, 9, 4096)
    assert statuses(tmp_path) == (worker,)
    Meters(tmp_path, 3)
    assert statuses(tmp_path)[0].ready_bytes == 0


def test_what_is_not_a_whole_file_of_counters_is_not_read(tmp_path):
    Meters(tmp_path, 0).server.taken(1)
    whole = (tmp_path / "worker-0.metrics").read_bytes()
    (tmp_path / "worker-1.metrics").write_bytes(whole[:-1])
    (tmp_path / "worker-2.metrics").write_bytes(b"")
    (tmp_path / "worker-3.metrics").write_bytes(bytes(len(whole)))
    assert [worker.index for worker in read(tmp_path).workers] == [0]
    assert [worker.index for worker in statuses(tmp_path)] == [0, 1]
    assert versions(tmp_path)["", 0].counters["requests"] == 1


def test_a_foreign_file_is_begun_anew(tmp_path):
    (tmp_path / "worker-0.metrics").write_bytes(b"x" * 1_000_000)
    Meters(tmp_path, 0).server.taken(1)
    assert versions(tmp_path)["", 0].counters["requests"] == 1


def test_a_new_service_begins_at_zero(tmp_path):
    Meters(tmp_path, 0).server.taken(1)
    prepare(tmp_path)
    assert read(tmp_path) == read(tmp_path / "nowhere")
    assert read(tmp_path).versions == ()


def test_a_folder_that_cannot_be_used_is_an_error_with_its_place(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PlatformError, match=r"worker-0\.metrics cannot be used: File exists"):
        Meters(tmp_path / "file", 0)


def histogram(*values):
    """A histogram that counted these, microseconds."""
    counts = [0] * (len(BOUNDS_US) + 1)
    for value in values:
        counts[next((place for place, bound in enumerate(BOUNDS_US) if value <= bound), len(BOUNDS_US))] += 1
    return Histogram(tuple(counts), sum(values))


def test_a_bucket_holds_its_upper_bound(tmp_path):
    meter = Meters(tmp_path, 0).of("late", 1)
    alone, together = (0.0, 1.0, 2.0, 1e12), (1.0, 2.0, 2.1, 1e12)
    meter.answered(1, 0, alone)
    meter.worked(1, together)
    stages = versions(tmp_path)["late", 1].stages
    assert [stages[stage] for stage in ("parse", "queue", "serialise", "total")] == [histogram(one) for one in alone]
    assert [stages[stage] for stage in TOGETHER] == [histogram(one) for one in together]
    assert set(stages) == set(STAGES)


def test_requests_of_a_batch_took_as_long_as_it_and_its_work_was_done_once(tmp_path):
    meter = Meters(tmp_path, 0).of("late", 1)
    meter.answered(1, 0, (1.5, 2.0, 3.0, 60.0))
    meter.answered(1, 0, (2.25, 2.0, 3.0, 60.0))
    meter.worked(2, (10.5, 0.0, 20.0, 5.0))
    meter.worked(0, (1.0, 0.0, 0.0, 4.0))
    late = versions(tmp_path)["late", 1]
    assert (late.counters["requests"], late.counters["batches"]) == (2, 2)
    assert [(late.stages[stage].count, late.stages[stage].sum_us) for stage in TOGETHER] == [
        (2, 21), (0, 0), (2, 40), (2, 10),
    ]  # fmt: skip
    assert late.work_us == {
        "parse": 3.75, "serialise": 6, "validate": 11.5, "features": 0, "model": 20, "record": 9,
    }  # fmt: skip


def test_what_a_process_used_is_added_to_what_those_before_it_in_its_place_used(tmp_path):
    Meters(tmp_path, 0).used(Used(loop_us=5, cpu_us=8, lag_us=3, lags=2, memory_bytes=1000))
    meters = Meters(tmp_path, 0)
    for loop_us in (1, 10):
        meters.used(Used(loop_us=loop_us, cpu_us=20, lag_us=30, lags=40, memory_bytes=500))
    (worker,) = read(tmp_path).workers
    assert worker.used == Used(loop_us=15, cpu_us=28, lag_us=33, lags=42, memory_bytes=500)


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_a_quantile_is_within_a_quarter_of_a_doubling_of_the_true_one(q):
    values = sorted((37 * n) % 9973 + 1.5 for n in range(5000))
    true = values[math.ceil(q * len(values)) - 1]
    assert true / 2**0.25 <= histogram(*values).quantile(q) <= true * 2**0.25


def test_quantiles_at_the_edges():
    assert math.isnan(histogram().quantile(0.5))
    assert histogram(1e12).quantile(0.5) == BOUNDS_US[-1]
    assert 0 < histogram(0.5).quantile(0.5) <= 1


def test_histograms_add_up():
    both = histogram(1, 20, 300) + histogram(20, 1e12)
    assert both == histogram(1, 20, 300, 20, 1e12)
    assert both.count == 5
