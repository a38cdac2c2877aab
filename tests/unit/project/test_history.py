"""Features recomputed from history, on the flights' own tables."""

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL

from seakeep.errors import DataError
from seakeep.project.history import PastFeatures
from seakeep.recorder import query
from seakeep.records.feature import FeatureColumn

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(recorded):
    return query.load(recorded.home.predictions, query.Query(model=MODEL)).select(slice(0, 400))


@pytest.fixture(scope="module")
def definition(recorded):
    return recorded.bundle(recorded.resolve(MODEL)).definition


def columns(definition, kind):
    return [column.name for column in definition.columns if column.kind == kind]


def test_all_inputs_are_those_that_were_served(recorded, definition, table):
    found, values = PastFeatures(recorded._loaded, definition).at(table.key, table.time_us)
    assert found.all()
    assert list(values) == [column.name for column in definition.columns]
    numbers = np.column_stack([values[name] for name in columns(definition, "number")])
    np.testing.assert_array_equal(numbers.view(np.int64), table.numbers.view(np.int64))
    assert (
        np.column_stack([values[name] for name in columns(definition, "category")]).tolist()
        == table.categories.tolist()
    )


def test_some_inputs_are_the_same_and_need_only_their_own_sources(recorded, definition, table):
    chosen = tuple(one for one in definition.columns if one.name in {"carrier_recent.arr_delay_7d", "dest"})
    read = []

    class Reading:
        def read(self, name):
            read.append(name)
            return recorded._loaded.read(name)

    found, values = PastFeatures(Reading(), definition, chosen).at(table.key, table.time_us)
    assert read == ["arrivals", "flights"]
    assert list(values) == [one.name for one in chosen]
    assert found.all()
    place = columns(definition, "number").index("carrier_recent.arr_delay_7d")
    np.testing.assert_array_equal(values[chosen[0].name].view(np.int64), table.numbers[:, place].copy().view(np.int64))


def test_rows_that_history_does_not_have_are_not_found(recorded, definition, table):
    key = table.key[:4].copy()
    key[1], key[2] = "nobody", ""
    found, values = PastFeatures(recorded._loaded, definition).at(key, table.time_us[:4])
    assert found.tolist() == [True, False, False, True]
    assert {len(one) for one in values.values()} == {2}


def test_a_source_without_a_table_or_with_another_one_is_told(recorded, definition):
    class Poor:
        def __init__(self, tables):
            self.tables = tables

        def read(self, name):
            return self.tables[name]

    tables = {name: recorded._loaded.read(name) for name in ("flights", "arrivals")}
    column = FeatureColumn(name="carrier_recent.arr_delay_7d", kind="number", view="carrier_recent")
    absent = {**tables, "arrivals": {name: one for name, one in tables["arrivals"].items() if name != "arr_delay"}}
    with pytest.raises(DataError, match="the history of 'arrivals' has no column 'arr_delay'"):
        PastFeatures(Poor(absent), definition, (column,))
    view = next(one for one in definition.views if one.name == "carrier_recent")
    ghost = msgspec.structs.replace(view, source=msgspec.structs.replace(view.source, name="ghosts"))
    lost = msgspec.structs.replace(definition, views=(ghost,))
    with pytest.raises(DataError, match="source 'ghosts' has no table"):
        PastFeatures(recorded._loaded, lost, (column,))
