"""Whatever a model costs and however requests come: plans are of measured sizes, and nobody waits longer than is saved."""

from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.batching import LOOK_S, SIZES, Cost, Gathering, Plan, measure, plan

SECONDS = st.floats(1e-7, 1.0)
COSTS = st.lists(SECONDS, min_size=1, max_size=len(SIZES)).map(
    lambda seconds: Cost(SIZES[: len(seconds)], tuple(seconds))
)


@given(COSTS)
def test_a_plan_is_of_measured_sizes_and_saves_what_it_waits(cost):
    found = plan(cost)
    rates = dict(
        zip(cost.rows, (rows / seconds for rows, seconds in zip(cost.rows, cost.seconds, strict=True)), strict=True)
    )
    assert 1 <= found.enough <= found.most
    assert rates[found.most] >= 0.9 * max(rates.values())
    assert rates[found.enough] >= 0.95 * max(rates.values())
    assert found.patience_s == 0.0 or LOOK_S <= found.patience_s < cost.seconds[0]


@given(st.lists(SECONDS, min_size=1, max_size=len(SIZES)))
def test_whatever_a_model_costs_measuring_it_ends_in_time(seconds):
    now = [0.0]

    def run(rows):
        now[0] += seconds[min(SIZES.index(rows), len(seconds) - 1)]

    cost = measure(run, lambda: now[0])
    assert cost.rows == SIZES[: len(cost.rows)]
    assert now[0] <= 0.15 + 2 * max(seconds)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(1e-6, 1e-3)), min_size=1, max_size=200),
    st.integers(1, 64),
    st.floats(0.0, 2e-3),
)
def test_nobody_waits_longer_than_is_saved_nor_when_there_are_enough(turns, enough, patience_s):
    gathering, of = Gathering(), Plan(enough=enough, patience_s=patience_s)
    rows, now_s, since_s = 0, 0.0, None
    for more, turn_s in turns:
        now_s += turn_s
        rows += more
        if not rows:
            continue
        since_s = now_s if since_s is None else since_s
        if gathering.waits(of, rows, now_s):
            assert rows < enough
            assert now_s - since_s < patience_s
        else:
            rows, since_s = 0, None
