"""Law 9: no feature and no label is used before it could be known: change all that comes after t, and nothing before
t changes.
"""

import numpy as np
import pytest
from tests.flights import MODEL

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.clock import DAY_US, parse_moment
from seakeep.data.version import snapshot
from seakeep.features.join import training_frame
from seakeep.project.load import sources_of
from seakeep.training.split import split

pytestmark = pytest.mark.slow

FROM, TO = "2013-02-10", "2013-02-21"
AS_OF_US = parse_moment(TO)
MOMENTS = ("2013-02-14T00:00:00", "2013-02-15T18:37:00", "2013-02-19T23:00:00")


@pytest.fixture(scope="module")
def definition(recorded):
    return recorded.bundle(recorded.resolve(MODEL)).definition


@pytest.fixture(scope="module")
def sources(recorded):
    return sources_of(recorded._loaded.model(MODEL))


@pytest.fixture(scope="module")
def tables(recorded, sources):
    """Eleven days of every source."""
    found = {}
    for name, source in sources.items():
        table = recorded._loaded.read(name)
        times = table[source.time]
        chosen = (times >= np.datetime64(FROM)) & (times < np.datetime64(TO))
        found[name] = {column: values[chosen] for column, values in table.items()}
    return found


@pytest.fixture(scope="module")
def frame(definition, tables):
    return training_frame(definition, tables, as_of_us=AS_OF_US)


def known(source, table):
    return table[source.time].view(np.int64) + source.delay_us


def another_future(source, table, moment_us, seed):
    """The same past; but of what could be known only at ``moment_us`` or later a third never happens, a third
    happens later and to somebody else, every measurement is another, and everything happens once more.
    """
    rng = np.random.default_rng(seed)
    past = known(source, table) < moment_us
    future = np.flatnonzero(~past & (rng.random(len(past)) < 2 / 3))
    future = np.concatenate([future, future])
    changed = {}
    for name, values in table.items():
        chosen = values[future]
        if name == source.time:
            chosen += rng.integers(0, 3 * 86_400, len(chosen)).astype("timedelta64[s]")
        elif name == source.key:
            chosen = np.array(
                [f"{key}-{at}" if at >= len(future) // 2 else key for at, key in enumerate(chosen)], dtype=object
            )
        elif values.dtype.kind == "O":
            chosen = rng.permutation(chosen)
        else:
            chosen = (-7 * chosen + 1_000).astype(values.dtype)
        changed[name] = np.concatenate([values[past], chosen])
    order = rng.permutation(len(changed[source.time]))
    return {name: values[order] for name, values in changed.items()}


@pytest.fixture(scope="module", params=MOMENTS)
def futures(request, sources, tables):
    moment_us = parse_moment(request.param)
    other = {name: another_future(source, tables[name], moment_us, seed=7) for name, source in sources.items()}
    return moment_us, other


def assert_equal_columns(one, other):
    for name, values in one.values.items():
        np.testing.assert_array_equal(values, other.values[name], err_msg=name)


def test_rows_before_t_keep_every_feature(definition, frame, futures):
    moment_us, tables = futures
    again = training_frame(definition, tables, as_of_us=AS_OF_US)
    before = np.flatnonzero(frame.time_us < moment_us)
    # The order of rows of one moment is by chance; their keys are not.
    place = {key: at for at, key in enumerate(again.key.tolist())}
    same = again.select(np.array([place[key] for key in frame.key[before].tolist()]))
    assert len(before) > 2_000
    np.testing.assert_array_equal(frame.time_us[before], same.time_us)
    assert_equal_columns(frame.select(before), same)


def test_labels_that_were_known_before_t_stay_and_no_other_is_known_by_then(definition, tables, futures):
    moment_us, other = futures
    one, again = (training_frame(definition, found, as_of_us=moment_us) for found in (tables, other))
    order = {key: at for at, key in enumerate(again.key.tolist())}
    again = again.select(np.array([order[key] for key in one.key.tolist()]))
    assert len(one) == len(order)
    assert_equal_columns(one, again)
    np.testing.assert_array_equal(one.label, again.label)
    np.testing.assert_array_equal(one.label_known_us, again.label_known_us)
    told = ~np.isnan(one.label)
    assert 0 < told.sum() < len(one)
    assert one.label_known_us[told].max() < moment_us


def test_the_dataset_as_of_t_is_the_same_to_the_byte(sources, tables, futures, tmp_path):
    moment_us, other = futures
    store = FileDatasetStore(tmp_path / "data")
    one, again = (
        snapshot({name: (source, found[name]) for name, source in sources.items()}, as_of_us=moment_us, store=store)
        for found in (tables, other)
    )
    assert one == again
    assert len(store.manifests()) == 1


def test_a_model_learns_from_nothing_that_was_not_known_when_its_judgement_begins(definition, frame, futures):
    moment_us, tables = futures
    again = training_frame(definition, tables, as_of_us=AS_OF_US)
    learnt, relearnt = (split(one, validate_from_us=moment_us)[0] for one in (frame, again))
    assert learnt.label_known_us.max() < moment_us
    assert sorted(learnt.key.tolist()) == sorted(relearnt.key.tolist())
    place = {key: at for at, key in enumerate(relearnt.key.tolist())}
    relearnt = relearnt.select(np.array([place[key] for key in learnt.key.tolist()]))
    assert_equal_columns(learnt, relearnt)
    np.testing.assert_array_equal(learnt.label, relearnt.label)


def test_the_other_future_is_another(definition, frame, futures):
    """The tests above can fail: rows after t do change."""
    moment_us, tables = futures
    again = training_frame(definition, tables, as_of_us=AS_OF_US)
    after = frame.select(np.flatnonzero(frame.time_us >= moment_us + DAY_US // 4))
    place = {key: at for at, key in enumerate(again.key.tolist())}
    kept = [key for key in after.key.tolist() if key in place and again.time_us[place[key]] >= moment_us]
    assert kept
    theirs = again.select(np.array([place[key] for key in kept]))
    mine = after.select(np.isin(after.key, np.array(kept, dtype=object)))
    assert not np.array_equal(mine.numbers(), theirs.numbers(), equal_nan=True)


@pytest.mark.parametrize("source", ["departures", "arrivals", "weather"])
def test_an_event_counts_from_the_moment_after_it_is_known(recorded, definition, sources, tables, source):
    """Moved to the very moment of a prediction an event is outside its window; a microsecond earlier it is inside."""
    table, asking = tables[source], tables["flights"]
    events = sources[source]
    entity = "carrier" if source == "arrivals" else "origin"
    flight = int(np.flatnonzero(asking["scheduled"] > np.datetime64("2013-02-18"))[0])
    moment_us = int(asking["scheduled"][flight].astype("datetime64[us]").view(np.int64))
    near = np.flatnonzero((table[entity] == asking[entity][flight]) & (known(events, table) < moment_us))[-1]
    seen = []
    for at_us in (moment_us, moment_us - 1, moment_us + 1):
        times = table[events.time].astype("datetime64[us]").copy()
        times[near] = np.datetime64(at_us - events.delay_us, "us")
        moved = training_frame(definition, {**tables, source: {**table, events.time: times}}, as_of_us=moment_us + 1)
        row = moved.key.tolist().index(asking["flight_id"][flight])
        view = {"arrivals": "carrier_recent", "departures": "origin_recent", "weather": "weather"}[source]
        seen.append([moved.values[name][row] for name in moved.values if name.startswith(f"{view}.")])
    at, before, after = seen
    np.testing.assert_array_equal(at, after)
    assert at != before
