"""Features computed again from recorded requests and events, on three days of real traffic."""

import dataclasses

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL

from seakeep.clock import DAY_US
from seakeep.data.version import load
from seakeep.errors import DataError
from seakeep.project.online import dataset_of
from seakeep.project.recompute import PastFeatures, known, part_of
from seakeep.recorder import query

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asked(recorded):
    return query.load_asked(recorded.home.predictions, query.Query(model=MODEL)).select(slice(0, 400))


@pytest.fixture(scope="module")
def bundle(recorded):
    return recorded.bundle(recorded.resolve(MODEL))


@pytest.fixture(scope="module")
def dataset(recorded, bundle):
    return load(dataset_of(bundle.run, recorded.stores), recorded.stores.datasets)


def features(recorded, bundle, dataset, names=(), unread=lambda _: ()):
    columns = tuple(one for one in bundle.definition.columns if not names or one.name in names)
    part = part_of(bundle.definition, columns)
    return PastFeatures(part, known(part, dataset, recorded.home.events, as_of_us=bundle.run.as_of_us), unread)


def of_kind(bundle, kind):
    return [column.name for column in bundle.definition.columns if column.kind == kind]


def test_all_inputs_are_those_that_were_served(recorded, bundle, dataset, asked):
    found, values = features(recorded, bundle, dataset).at(asked)
    assert found.all()
    assert list(values) == [column.name for column in bundle.definition.columns]
    numbers = np.column_stack([values[name] for name in of_kind(bundle, "number")])
    np.testing.assert_array_equal(numbers.view(np.int64), asked.numbers.view(np.int64))
    categories = np.column_stack([values[name] for name in of_kind(bundle, "category")])
    assert categories.tolist() == asked.categories.tolist()


def test_some_inputs_are_the_same_and_need_only_their_own_sources(recorded, bundle, dataset, asked):
    names = ("carrier_recent.arr_delay_7d", "dest")
    found, values = features(recorded, bundle, {"arrivals": dataset["arrivals"]}, names).at(asked)
    assert found.all()
    assert list(values) == list(names)
    place = of_kind(bundle, "number").index(names[0])
    np.testing.assert_array_equal(values[names[0]].view(np.int64), asked.numbers[:, place].copy().view(np.int64))


def test_a_part_keeps_views_whole_and_leaves_out_what_is_not_asked_for(bundle):
    (week,) = [one for one in bundle.definition.columns if one.name == "carrier_recent.arr_delay_7d"]
    part = part_of(bundle.definition, [week])
    assert [view.name for view in part.views] == ["carrier_recent"]
    assert part.views[0] in bundle.definition.views
    assert (part.request_features, part.columns) == ({}, (week,))
    hour = part_of(bundle.definition, [one for one in bundle.definition.columns if one.name == "hour"])
    assert (hour.views, list(hour.request_features)) == ((), ["hour"])


def test_requests_that_cannot_be_read_again_are_not_found(recorded, bundle, dataset, asked):
    rows = asked.select(np.arange(5))
    rows.request[1] = "{}"
    rows.request[3] = msgspec.json.encode({**msgspec.json.decode(rows.request[3]), "distance": "far"})
    found, values = features(recorded, bundle, dataset, ("distance",)).at(rows)
    assert found.tolist() == [True, False, True, False, True]
    place = of_kind(bundle, "number").index("distance")
    np.testing.assert_array_equal(values["distance"], asked.numbers[[0, 2, 4], place])


def test_requests_of_versions_that_made_a_column_unreadable_are_not_found_if_it_is_read(
    recorded, bundle, dataset, asked
):
    mixed = dataclasses.replace(asked, version=np.arange(len(asked)) % 2)
    unread = lambda number: ("distance", "unknown") if number else ()  # noqa: E731
    found, values = features(recorded, bundle, dataset, ("distance",), unread).at(mixed)
    assert found.tolist() == (mixed.version == 0).tolist()
    assert len(values["distance"]) == found.sum()
    assert features(recorded, bundle, dataset, ("hour",), unread).at(mixed)[0].all(), "it reads another column"
    entity = lambda _: ("carrier",)  # noqa: E731
    assert not features(recorded, bundle, dataset, ("carrier_recent.arr_delay_7d",), entity).at(mixed)[0].any()


def test_no_requests_have_no_features(recorded, bundle, dataset, asked):
    found, values = features(recorded, bundle, dataset).at(asked.select(slice(0, 0)))
    assert len(found) == 0
    assert {len(one) for one in values.values()} == {0}


def test_a_source_of_which_nothing_was_recorded_may_be_read_elsewhere(bundle, dataset, tmp_path):
    """Without a recorded event the dataset is all there is, unless somebody knows more."""
    as_of_us = bundle.run.as_of_us
    assert known(bundle.definition, dataset, tmp_path, as_of_us=as_of_us).tables == {
        name: dataset[name] for name in ("arrivals", "departures", "weather")
    }
    asked_for = []

    def more(name):
        asked_for.append(name)
        return {}

    assert known(bundle.definition, dataset, tmp_path, as_of_us=as_of_us, silent=more).tables["weather"] == {}
    assert sorted(asked_for) == ["arrivals", "departures", "weather"]


def test_recorded_events_are_those_from_the_dataset_on(recorded, bundle, dataset):
    tables = known(
        bundle.definition, dataset, recorded.home.events, as_of_us=bundle.run.as_of_us, silent=pytest.fail
    ).tables
    for source in ("arrivals", "departures", "weather"):
        assert len(next(iter(tables[source].values()))) > len(next(iter(dataset[source].values())))
    later = known(bundle.definition, dataset, recorded.home.events, as_of_us=2**60).tables
    assert len(later["arrivals"]["landed"]) == len(dataset["arrivals"]["landed"])


def test_moments_of_which_retention_let_events_go_are_not_recomputed(
    recorded, bundle, dataset, asked, tmp_path, monkeypatch
):
    names, as_of_us = ("carrier_recent.arr_delay_7d", "carrier_recent.late_rate_24h"), bundle.run.as_of_us
    part = part_of(bundle.definition, [one for one in bundle.definition.columns if one.name in names])
    monkeypatch.setattr("seakeep.project.recompute.expired", lambda _: {"w": 3})
    some = known(part, dataset, recorded.home.events, as_of_us=as_of_us)
    first_us = int(some.tables["arrivals"]["landed"][len(dataset["arrivals"]["landed"]) :].min().view(np.int64))
    assert some.gap_us == (as_of_us, first_us)
    assert some.span_us == 7 * DAY_US
    moments = np.array([as_of_us, as_of_us + 1, first_us + 7 * DAY_US - 1, first_us + 7 * DAY_US])
    assert some.whole_at(moments).tolist() == [True, False, False, True]
    found, _ = PastFeatures(part, some, lambda _: ()).at(asked)
    assert found.tolist() == some.whole_at(asked.time_us).tolist()
    none = known(part, dataset, tmp_path, as_of_us=as_of_us)
    assert none.whole_at(moments).tolist() == [True, False, False, False]
    elsewhere = known(part, dataset, tmp_path, as_of_us=as_of_us, silent=lambda _: dataset["arrivals"])
    assert elsewhere.whole_at(moments).all(), "the project's own table is whole"


def test_a_dataset_without_a_source_is_told(recorded, bundle):
    with pytest.raises(DataError, match=f"the dataset version of {MODEL} has no source 'arrivals'"):
        known(bundle.definition, {}, recorded.home.events, as_of_us=0)
