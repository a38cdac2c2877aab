"""The vectorised point-in-time join says what a plain reading of the window rule says."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seakeep.features.plan import EventValues, evaluate_events, plan_view
from seakeep.features.state import Reader, merge
from seakeep.features.windows import aggregate, between, running_sums
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, count, latest, mean, total
from seakeep.records.source import ColumnSchema, Events

SECOND = 1_000_000
SCHEMA = (
    ColumnSchema(name="at", kind="time", nullable=False),
    ColumnSchema(name="who", kind="string"),
    ColumnSchema(name="x", kind="float"),
    ColumnSchema(name="note", kind="string"),
)
VIEW = FeatureView("v", Events("e", time="at", delay="2s"), "who", {
    "m": mean("x", over=["3s", "10s"]),
    "big": mean(col("x") > 2, over=["10s"]),
    "s": total("x", over=["5s"]),
    "n": count(over=["1s", "10s"]),
    "x": latest("x", within="4s"),
    "note": latest("note", within="10s"),
})  # fmt: skip
PLAN = plan_view(VIEW, SCHEMA)

# Few moments and entities, so that equal times, window edges and empty windows come up all the time.
events = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from(["a", "b", ""]),
        st.one_of(st.just(math.nan), st.integers(-4, 4).map(float)),
        st.sampled_from(["", "p", "q"]),
    ),
    max_size=30,
)
asks = st.lists(st.tuples(st.integers(0, 45), st.sampled_from(["a", "b", "c", ""])), min_size=1, max_size=12)


def table_of(rows):
    at, who, x, note = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "at": (np.array(at, dtype=np.int64) * SECOND).view("datetime64[us]"),
        "who": np.array(who, dtype=object),
        "x": np.array(x, dtype=np.float64),
        "note": np.array(note, dtype=object),
    }


def same(got, value):
    return got == value or (isinstance(value, float) and math.isnan(got) and math.isnan(value))


def brute_force(rows, who, t):
    mine = sorted(
        (at + 2, -math.inf if math.isnan(x) else x, note) for at, name, x, note in rows if who and name == who
    )

    def window(w):
        return [(x, note) for known, x, note in mine if t - w <= known < t]

    def average(values):
        return sum(values) / len(values) if values else math.nan

    def present(w):
        return [x for x, _ in window(w) if x != -math.inf]

    last = window(4)[-1][0] if window(4) else math.nan
    return {
        "v.m_3s": average(present(3)),
        "v.m_10s": average(present(10)),
        "v.big_10s": average([float(x > 2) for x in present(10)]),
        "v.s_5s": float(sum(present(5))),
        "v.n_1s": float(len(window(1))),
        "v.n_10s": float(len(window(10))),
        "v.x": math.nan if last == -math.inf else last,
        "v.note": window(10)[-1][1] if window(10) else "",
    }


@given(events, asks)
def test_every_row_of_the_join_is_as_by_hand(rows, asked):
    entities, values = evaluate_events(PLAN, table_of(rows))
    times = np.array([t for t, _ in asked], dtype=np.int64) * SECOND
    found = aggregate(PLAN, entities, values, np.array([who for _, who in asked], dtype=object), times)
    for row, (t, who) in enumerate(asked):
        expected = brute_force(rows, who, t)
        for name, value in expected.items():
            got = found[name][row]
            assert same(got, value), (name, t, who)


@given(events, asks, st.data())
def test_every_reading_of_the_state_is_as_by_hand(rows, asked, data):
    arriving = data.draw(st.permutations(rows))
    states = {}
    while arriving:
        size = data.draw(st.integers(1, 5))
        batch, arriving = arriving[:size], arriving[size:]
        entities, values = evaluate_events(PLAN, table_of(batch))
        for position, who in enumerate(entities.tolist()):
            states[who] = merge(PLAN, states.get(who), values.select(slice(position, position + 1)))
    outputs = list(PLAN.outputs.values())
    reader = Reader(PLAN, outputs)
    for t, who in asked:
        reading = reader.read(states[who], [t * SECOND])[0] if who in states else reader.empty
        numbers, categories = iter(reading.numbers), iter(reading.categories)
        assert reading.complete
        for output in outputs:
            got = next(numbers if output.kind == "number" else categories)
            value = brute_force(rows, who, t)[output.column]
            assert same(got, value), (output.column, t, who)


@given(events, st.data())
def test_the_state_is_the_same_bytes_however_the_events_come(rows, data):
    def state(batches):
        blob = None
        for batch in batches:
            blob = merge(
                PLAN, blob, evaluate_events(PLAN, table_of([(at, "a", x, note) for at, _, x, note in batch]))[1]
            )
        return blob

    shuffled = data.draw(st.permutations(rows))
    assert state([rows]) == state([[row] for row in shuffled] or [[]])


finite = st.floats(-1e100, 1e100)


@given(st.lists(finite, max_size=60), st.data())
def test_sums_are_right_to_the_last_bits(xs, data):
    high, low, _ = running_sums(np.array(xs, dtype=np.float64))
    start = data.draw(st.integers(0, len(xs)))
    end = data.draw(st.integers(start, len(xs)))
    exact = sum((Fraction(x) for x in xs[start:end]), Fraction(0))
    got = between(float(high[start]), float(high[end]), float(low[start]), float(low[end]))
    everything = sum((abs(Fraction(x)) for x in xs), Fraction(0))
    bound = abs(exact) * Fraction(1001, 1000) * Fraction(2) ** -53 + len(xs) ** 2 * everything * Fraction(2) ** -106
    assert abs(Fraction(got) - exact) <= bound
    # arrays give the same bits as floats
    assert between(high[[start]], high[[end]], low[[start]], low[[end]]).tolist() == [got]


@given(st.lists(st.integers(-(2**40), 2**40), max_size=60), st.data())
def test_sums_of_whole_numbers_are_exact(xs, data):
    high, low, _ = running_sums(np.array(xs, dtype=np.float64))
    start = data.draw(st.integers(0, len(xs)))
    end = data.draw(st.integers(start, len(xs)))
    assert between(high[start], high[end], low[start], low[end]) == sum(xs[start:end])


def test_a_long_history_does_not_drift():
    rng = np.random.default_rng(0)
    xs = np.concatenate([rng.normal(size=200_000) * 1e12, rng.normal(size=1_000)])
    high, low, _ = running_sums(xs)
    got = between(high[-101], high[-1], low[-101], low[-1])
    exact = math.fsum(xs[-100:])
    assert abs(got - exact) <= 1e-15 * abs(exact)
    plain = np.cumsum(xs)
    assert abs(plain[-1] - plain[-101] - exact) > 1e-3 * abs(exact)  # what an ordinary running sum would have said


def test_an_empty_history():
    entities, values = evaluate_events(PLAN, table_of([]))
    assert isinstance(values, EventValues)
    found = aggregate(PLAN, entities, values, np.array(["a"], dtype=object), np.array([5]))
    assert found["v.n_10s"].tolist() == [0.0]
    assert np.isnan(found["v.m_3s"]).all()


def test_sums_in_the_middle_of_a_history_are_rounded_once():
    xs = np.random.default_rng(0).normal(size=5_000)
    high, low, _ = running_sums(xs)
    starts = np.arange(0, 4_000)
    ends = starts + np.arange(4_000) % 900
    got = between(high[starts], high[ends], low[starts], low[ends])
    assert got.tolist() == [math.fsum(xs[a:b]) for a, b in zip(starts, ends, strict=True)]
