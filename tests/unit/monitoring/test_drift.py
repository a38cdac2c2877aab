import dataclasses

import numpy as np
import pytest
from tests.unit.diagnosis.streams import CHANGE_US, COLUMNS, LIVE_US, Change, simulate

from seakeep.clock import DAY_US
from seakeep.monitoring.drift import InputBins, InputCounts, broken, drift, stability_index
from seakeep.recorder.table import PredictionTable


def windows(change: Change, seed: int, days: int = 7) -> tuple[PredictionTable, PredictionTable]:
    live = simulate(change, seed).live
    return live.between(LIVE_US, CHANGE_US).predictions, live.between(CHANGE_US, CHANGE_US + days * DAY_US).predictions


def test_windows_without_a_shift_stay_silent():
    found = [drift(*windows(Change(per_day=60), seed), COLUMNS) for seed in range(60)]
    assert sum(bool(one) for one in found) <= 3


@pytest.mark.parametrize("rows", [31, 61, 210])
def test_few_rows_are_compared_with_as_few(rows):
    quiet = 0
    for seed in range(40):
        base, window = windows(Change(per_day=120), seed)
        few = window.select(np.isin(np.arange(len(window)), np.linspace(0, len(window) - 1, rows).astype(int)))
        quiet += not drift(base, few, COLUMNS)
    assert quiet >= 38


def test_a_large_shift_shows_in_few_rows():
    found = 0
    for seed in range(12):
        base, window = windows(Change(shift=2.5, per_day=60), seed)
        findings = drift(base, window.select(np.arange(len(window)) % 4 == 0), COLUMNS)
        found += [finding.subject for finding in findings] == ["load"]
    assert found >= 10


@pytest.mark.parametrize("rows", [1, 5, 29])
def test_a_handful_of_rows_is_neither_drift_nor_broken(rows):
    base, window = windows(Change(per_day=60, load_stuck_at=0.3), 2)
    few = window.select(np.isin(np.arange(len(window)), np.linspace(0, len(window) - 1, rows).astype(int)))
    assert drift(base, few, COLUMNS) == ()
    assert broken(base, few, COLUMNS) == ()


def by_hour(table: PredictionTable) -> PredictionTable:
    hour = (table.time_us // (DAY_US // 24) % 24).astype(float)
    return dataclasses.replace(table, numbers=np.column_stack([hour, table.numbers[:, 1]]))


def test_a_part_of_a_day_is_compared_with_equally_long_parts():
    base, window = (by_hour(table) for table in windows(Change(per_day=2400), 5))
    morning = window.select(window.time_us < CHANGE_US + DAY_US // 24)
    assert broken(base, morning, COLUMNS) == ()
    assert drift(base, morning, COLUMNS) == ()
    stuck = dataclasses.replace(morning, numbers=np.column_stack([morning.numbers[:, 0], np.zeros(len(morning))]))
    assert [loss.subject for loss in broken(base, stuck, COLUMNS)] == ["speed"]


def test_two_days_since_the_first_prediction_are_compared_with_two_days():
    shifted = windows(Change(shift=2.5, per_day=60), 3, 2)
    assert [finding.subject for finding in drift(*shifted, COLUMNS)] == ["load"]
    assert sum(bool(drift(*windows(Change(per_day=60), seed, 2), COLUMNS)) for seed in range(20)) <= 1


def test_shifted_input_is_named_and_the_others_are_not():
    found = [drift(*windows(Change(shift=1.2, per_day=60), seed), COLUMNS) for seed in range(12)]
    assert sum([one.subject for one in findings] == ["load"] for findings in found) >= 10
    finding = next(findings[0] for findings in found if findings)
    assert finding.now > finding.before
    assert finding.effect > 3
    assert finding.kind == "drift"


def test_new_category_values_and_missing_numbers_are_drift():
    base, window = windows(Change(per_day=60), 1)
    categories, numbers = window.categories.copy(), window.numbers.copy()
    categories[::2, 0] = "new"
    numbers[::2, 1] = np.nan
    findings = drift(base, dataclasses.replace(window, categories=categories, numbers=numbers), COLUMNS)
    assert {finding.subject for finding in findings} == {"site", "speed"}
    sentences = {finding.subject: finding.sentence for finding in findings}
    assert "unseen values" in sentences["site"]
    assert "missing in 50% of rows" in sentences["speed"]


def test_a_base_too_short_to_know_what_is_normal_gives_no_findings():
    base, window = windows(Change(shift=3, per_day=60), 1)
    assert drift(base.select(base.time_us >= CHANGE_US - 10 * DAY_US), window, COLUMNS) == ()


@pytest.mark.parametrize("days", [1, 7])
def test_stuck_missing_and_unseen_inputs_are_broken(days):
    base, window = windows(Change(per_day=60, load_stuck_at=0.3), 2, days)
    numbers, categories = window.numbers.copy(), window.categories.copy()
    numbers[:, 1] = np.nan
    categories[:, 0] = "?"
    losses = broken(base, dataclasses.replace(window, numbers=numbers, categories=categories), COLUMNS)
    assert [loss.sentence.split(" in ")[0] for loss in losses] == [
        "load is stuck",
        "speed is missing",
        "site has values never seen",
    ]


def test_an_input_that_is_constant_for_a_day_by_nature_is_not_broken():
    base, window = windows(Change(per_day=60), 3, 1)
    weekday = [np.column_stack([table.time_us // DAY_US % 7, table.numbers[:, 1]]) for table in (base, window)]
    tables = [
        dataclasses.replace(table, numbers=n.astype(float)) for table, n in zip((base, window), weekday, strict=True)
    ]
    assert broken(tables[0], tables[1], COLUMNS) == ()


def test_healthy_windows_are_not_broken():
    assert all(broken(*windows(Change(per_day=60), seed, 1), COLUMNS) == () for seed in range(20))


def test_summaries_merge_by_day():
    base, _ = windows(Change(per_day=60), 4)
    bins = InputBins.fit(COLUMNS[0], base.numbers[:, 0])
    whole = InputCounts.of(bins, base.numbers[:, 0], base.time_us)
    parts = [
        InputCounts.of(bins, base.numbers[part, 0], base.time_us[part]) for part in (slice(0, 500), slice(500, None))
    ]
    merged = parts[0].merge(parts[1])
    np.testing.assert_array_equal(merged.count, whole.count)
    np.testing.assert_array_equal(merged.day, whole.day)


def test_index_is_zero_for_equal_shares_and_grows_with_the_shift():
    base = np.array([1000.0, 1000, 1000])
    assert stability_index(base, base * 3) < 1e-5
    assert stability_index(base, np.array([900.0, 1000, 1100])) < stability_index(base, np.array([500.0, 1000, 1500]))
