import math

import numpy as np
import pytest
from tests.recording import all_same, batch, bits, prediction, same

from seakeep.errors import RecorderError
from seakeep.recorder import parquet, query, stored
from seakeep.recorder.layout import parquet_path
from seakeep.recorder.query import Query
from seakeep.recorder.relation import Records
from seakeep.records.prediction import Gap

GAP = Gap(sequence=9, writer="w", count=4, reason="disk", from_us=1, to_us=2)


def test_records_come_back_in_every_bit(tmp_path):
    path = tmp_path / "a.parquet"
    extremes = [5e-324, -5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, -0.0, 0.0, 0.1 + 0.2]
    made = [
        prediction(1),
        prediction(2, numbers=extremes, categories=[], feature_times_us=[], score=math.nan, error="row"),
        prediction(3, request={"a": 1, "b": 1.0, "c": None, "d": True, "e": "quote \" and ' and é", "f": 2**53 + 1}),
        prediction(5, scores=(0.1, 5e-324, 0.9), answer="it's", score=0.9),
        prediction(6, scores=(0.1, 0.2, 0.3, 0.4), answer="d"),
        prediction(4, numbers=[], categories=["", "a", "NULL", "é"], key="it's", request={}),
        prediction(2**62, time_us=2**62, decision=True),
    ]
    assert parquet.write(((1, one) for one in [*made, GAP]), path) == 7
    found = list(stored.read(path))
    assert found[0] == GAP
    by_id = [sorted(some, key=lambda one: one.id) for some in (found[1:], made)]
    assert all_same(*by_id)


def test_a_file_of_an_earlier_release_has_no_scores_of_classes_and_is_read_as_before(tmp_path):
    import duckdb

    newer, path = tmp_path / "newer", parquet_path(tmp_path, "w", 1, 1)
    made = [prediction(1), prediction(2, score=math.nan, error="row")]
    parquet.write(((1, one) for one in made), newer)
    with duckdb.connect() as connection:
        older = f"SELECT * EXCLUDE (scores, answer) FROM read_parquet('{newer}')"
        connection.execute(f"COPY ({older}) TO '{path}' (FORMAT parquet)")
    assert all_same(list(stored.read(path)), made)
    assert all_same(stored.find(path, "id", made[0].id), made[:1])
    table = query.load(tmp_path, Query())
    assert (len(table), table.scores.shape, table.told.tolist()[0]) == (2, (2, 0), made[0].score)
    with Records(tmp_path, Query()) as records:
        found = records.duckdb().select("scores, answer").fetchall()
    assert found == [([], ""), ([], "")]


def test_equal_zeros_of_both_signs_stay_apart_in_a_column(tmp_path):
    path = tmp_path / "a.parquet"
    made = [prediction(number, numbers=[-0.0 if number % 2 else 0.0]) for number in range(1, 5_001)]
    parquet.write(((1, one) for one in made), path)
    found = [bits(one.numbers[0]) for one in stored.read(path)]
    assert found == [bits(one.numbers[0]) for one in made]


def test_rows_are_in_the_order_of_time(tmp_path):
    import duckdb

    path = tmp_path / "a.parquet"
    parquet.write(((1, prediction(n, time_us=100 - n)) for n in range(1, 6)), path)
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT time_us, segment FROM '{path}'").fetchall() == [
            (95, 1),
            (96, 1),
            (97, 1),
            (98, 1),
            (99, 1),
        ]


def test_segments_can_be_read_apart(tmp_path):
    path = tmp_path / "it's.parquet"
    parquet.write([(1, prediction(1)), (2, prediction(2)), (2, GAP), (3, prediction(3))], path)
    assert [one.sequence for one in stored.read(path, only=2)] == [9, 2]
    assert [one.sequence for one in stored.read(path, without={2})] == [1, 3]
    assert stored.gaps(path) == [GAP]
    assert stored.gaps(path, only=1) == []


def test_a_file_without_predictions_keeps_its_gaps(tmp_path):
    path = tmp_path / "a.parquet"
    assert parquet.write([(1, GAP)], path) == 0
    assert list(stored.read(path)) == [GAP]
    assert list(stored.blocks(path, ["id", "numbers"], "true")) == []


def test_one_prediction_is_found_by_its_id(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write(((1, prediction(n)) for n in range(1, 10)), path)
    (found,) = stored.find(path, "id", "p00000007")
    assert same(found, prediction(7))
    assert stored.find(path, "id", "' OR 1=1 --") == []


def test_columns_are_arrays_and_lists_matrices(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write(((1, prediction(n)) for n in (1, 2, 3)), path)
    (found,) = stored.blocks(path, ["id", "score", "numbers", "categories"], "version = 1")
    assert found["id"].tolist() == ["p00000001", "p00000002", "p00000003"]
    assert found["numbers"].dtype == np.float64
    np.testing.assert_array_equal(found["numbers"], np.array([prediction(n).numbers for n in (1, 2, 3)]))
    assert found["categories"].tolist() == [["UA", ""]] * 3
    assert found["numbers_width"].tolist() == [3, 3, 3]


def test_events_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(RecorderError, match="only predictions"):
        parquet.write([(1, batch(1))], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(RecorderError, match="cannot write"):
        parquet.write([(1, prediction(1))], tmp_path / "none" / "a.parquet")
