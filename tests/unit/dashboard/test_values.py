from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from tests.recording import prediction
from tests.unit.dashboard.simulated import COLUMNS, MODELS

from seakeep.dashboard.values import feature_values, prediction_row, stages, to_json


class Held(msgspec.Struct):
    value: object


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (math.nan, None),
        (np.float64("nan"), None),
        (math.inf, None),
        ((1, None), [1, None]),
    ],
)
def test_a_twin_holds_plain_numbers_and_null_for_what_is_none(value, expected):
    assert json.loads(to_json(Held(value))) == {"value": expected}


@pytest.mark.parametrize("value", [object(), 1j, np.zeros(2)])
def test_what_is_not_a_value_has_no_place_in_a_page(value):
    with pytest.raises(TypeError, match="no place in a page"):
        to_json(Held(value))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_row_without_a_finite_score_has_none(score):
    row = prediction_row(prediction(score=score, error="model"))
    assert (row.score, row.error) == (None, "model")
    assert prediction_row(prediction(score=0.25)).score == 0.25


def test_features_stand_in_the_order_of_the_definition_whatever_their_kind():
    columns = (COLUMNS[2], *COLUMNS[:2])
    record = prediction(numbers=[0.5, 12.25], categories=["UA"], feature_times_us=[77])
    found = feature_values(record, columns, ("carrier_recent",))
    assert [(one.name, one.value) for one in found] == [
        ("carrier", "UA"),
        ("carrier_recent.late_rate_24h", 0.5),
        ("wind_speed", 12.25),
    ]
    assert [one.known_us for one in found] == [0, 77, 0]


def test_missing_inputs_are_none_and_zero_is_a_value():
    record = prediction(numbers=[math.nan, 0.0], categories=[""], feature_times_us=[0])
    assert [one.value for one in feature_values(record, COLUMNS, ("carrier_recent",))] == [None, 0.0, None]


def test_a_record_with_fewer_inputs_than_the_definition_shows_the_rest_as_missing():
    record = prediction(numbers=[1.0], categories=[], feature_times_us=[])
    assert [one.value for one in feature_values(record, COLUMNS, ("carrier_recent",))] == [1.0, None, None]


def test_the_stages_of_a_request_stand_in_the_order_it_passes():
    found = stages(prediction(parse_us=1, features_us=2, queue_us=3, model_us=4))
    assert [(one.name, one.spent_us) for one in found] == [("parse", 1), ("features", 2), ("queue", 3), ("model", 4)]


def test_a_page_of_simulated_values_survives_its_twin(source):
    page = source.model(MODELS[0], None, None)
    assert msgspec.json.decode(to_json(page), type=type(page)) == page
