from tests.unit.diagnosis.streams import END_US, Change, simulate

from seakeep.clock import DAY_US, format_day, parse_moment
from seakeep.diagnosis.monthly import month_starts, monthly


def test_month_starts_hold_the_period_with_the_month_before():
    starts = month_starts(parse_moment("2013-11-15"), parse_moment("2014-01-02"))
    assert [format_day(one) for one in starts] == ["2013-10-01", "2013-11-01", "2013-12-01", "2014-01-01", "2014-02-01"]


def test_months_are_judged_only_when_their_outcomes_had_time_to_come():
    history = simulate(Change(), 1)
    every = monthly(history, now_us=END_US + 40 * DAY_US)
    assert sum(month.predictions for month in every) == len(history.live)
    assert all(month.to_us + DAY_US <= END_US - 10 * DAY_US for month in monthly(history, now_us=END_US - 10 * DAY_US))


def test_a_month_carries_its_own_rates():
    month = monthly(simulate(Change(), 1), now_us=END_US + 40 * DAY_US)[0]
    rows = simulate(Change(), 1).live.between(month.from_us, month.to_us)
    assert month.alert_rate == rows.predictions.decision.mean()
    assert month.realised["base_rate"].value == rows.value.mean()
