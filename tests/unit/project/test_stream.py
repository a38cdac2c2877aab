import socket

import msgspec
import numpy as np
import pytest
from tests.flights import AS_OF_US, HISTORY_TO_US, MODEL

from seakeep.clock import DAY_US
from seakeep.errors import ServingError
from seakeep.features.rows import EventDecoder, RequestDecoder
from seakeep.project.load import sources_of
from seakeep.project.stream import _place, _rows, plan, run


@pytest.fixture(scope="module")
def definition(recorded):
    return recorded.bundle(recorded.resolve(MODEL)).definition


def test_keys_are_spread_evenly_and_always_in_the_same_place():
    places = np.array([_place(f"UA{number}-EWR-20130601T1200") for number in range(20_000)])
    assert places.tolist() == [_place(f"UA{number}-EWR-20130601T1200") for number in range(20_000)]
    for share in (0.1, 0.3, 0.5):
        assert (places < share).mean() == pytest.approx(share, abs=0.015)
    assert places.min() >= 0
    assert places.max() < 1


def test_every_row_of_the_period_is_there_in_the_order_in_which_it_became_known(recorded, history, definition):
    sources = sources_of(recorded.models[MODEL])
    for stream in (history.requests, *history.events):
        source = sources.get(stream.name, definition.request)
        table = recorded._loaded.read(source.name)
        known = table[source.time].astype("datetime64[us]").view(np.int64) + source.delay_us
        within = (known >= AS_OF_US) & (known < HISTORY_TO_US)
        assert list(stream.times_us) == sorted(known[within].tolist())
        assert [row[source.time] + source.delay_us for row in stream.rows] == list(stream.times_us)
    assert history.requests.name == MODEL
    assert sorted(stream.name for stream in history.events) == ["arrivals", "departures", "weather"]


def test_rows_hold_the_columns_that_the_server_takes_and_nothing_missing(history, definition):
    requests = RequestDecoder(definition)
    decoded = requests.decode(msgspec.json.encode(history.requests.rows))
    assert decoded.times_us.tolist() == list(history.requests.times_us)
    assert [row["flight_id"] for row in history.requests.rows] == decoded.keys
    sources = {source.name: source for source in (*(view.source for view in definition.views), definition.label.source)}
    for stream in history.events:
        names = {column.name for column in definition.schemas[stream.name]}
        assert all(set(row) <= names and None not in row.values() for row in stream.rows)
        columns = EventDecoder(sources[stream.name], definition.schemas[stream.name]).decode(
            msgspec.json.encode(stream.rows)
        )
        assert len(columns[sources[stream.name].time]) == len(stream.rows)


def test_a_cell_that_is_missing_is_left_out():
    columns = {"a": [1, None], "b": ["x", "y"]}
    assert _rows(columns, 2) == [{"a": 1, "b": "x"}, {"b": "y"}]
    assert _rows({"a": []}, 0) == []


@pytest.mark.slow
def test_a_share_of_the_rows_is_asked_for_and_all_events_are_sent(recorded, history, definition):
    bounds = {"from_us": AS_OF_US, "to_us": AS_OF_US + DAY_US}
    half = plan(recorded._loaded, definition, share=0.5, **bounds)
    day = [row["flight_id"] for row in history.requests.between(AS_OF_US, AS_OF_US + DAY_US)]
    asked = [row["flight_id"] for row in half.requests.rows]
    assert asked == [key for key in day if _place(key) < 0.5]
    assert 0.4 < len(asked) / len(day) < 0.6
    for stream, whole in zip(half.events, history.events, strict=True):
        assert list(stream.rows) == list(whole.between(AS_OF_US, AS_OF_US + DAY_US))


def test_nobody_there_is_told_before_anything_is_sent(history):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    seen = []
    with pytest.raises(ServingError, match=f"nobody answers on port {port} of 127.0.0.1") as caught:
        run(history, "127.0.0.1", port, headers={}, on_progress=seen.append)
    assert caught.value.hint == "start the server first: seakeep up"
    assert seen == []
