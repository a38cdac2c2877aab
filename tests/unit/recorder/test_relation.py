import json

import pytest
from tests.recording import prediction, record, writer

from seakeep.errors import PlatformError, RecorderError
from seakeep.recorder import relation
from seakeep.recorder.compaction import compact
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.layout import parts
from seakeep.recorder.query import Query
from seakeep.recorder.relation import Records
from seakeep.recorder.retention import expire
from seakeep.recorder.stored import COLUMNS


@pytest.fixture
def folder(tmp_path):
    """Predictions compacted, compacted and encrypted, sealed, and being written."""
    made = tmp_path / "r"
    pen = writer(made)
    pen.append(prediction(pen.next_sequence(), request={"a": "é"}, numbers=[1.0, float("nan")]))
    pen.close()
    compact(made)
    ring = Keyring(made, tmp_path / "k")
    pen = writer(made)
    record(pen, 1, version=2)
    pen.close()
    compact(made, ring)
    pen = writer(made)
    record(pen, 1, key="somebody", numbers=[], categories=[])
    pen.close()
    pen = writer(made)
    record(pen, 1, model="other", role="shadow")
    pen.commit()
    assert [part.path.suffix for part in parts(made)[0]] == [".parquet", ".aes", ".seg", ".open"]
    yield made
    pen.close()


def test_a_relation_spans_all_forms_and_can_be_asked_on(folder):
    with Records(folder, Query()) as records:
        found = records.duckdb()
        assert tuple(found.columns) == COLUMNS
        assert [row[0] for row in found.project("sequence").fetchall()] == [1, 2, 3, 4]
        assert found.aggregate("model, count(*)").order("model").fetchall() == [("late-arrival", 3), ("other", 1)]
        (row,) = found.filter("version = 1 AND sequence = 1").fetchall()
        values = dict(zip(COLUMNS, row, strict=True))
        assert json.loads(values["request"]) == {"a": "é"}
        assert values["numbers"] == [1.0, None]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(model="late-arrival"), [1, 2, 3]),
        (Query(key="somebody"), [3]),
        (Query(versions=(2,)), [2]),
        (Query(roles=("shadow",)), [4]),
        (Query(from_us=prediction(2).time_us, to_us=prediction(4).time_us), [2, 3]),
        (Query(model="it's"), []),
    ],
)
def test_a_query_chooses(folder, query, expected):
    with Records(folder, query) as records:
        assert [row[0] for row in records.duckdb().project("sequence").fetchall()] == expected


def test_pandas(folder):
    with Records(folder, Query(model="late-arrival")) as records:
        frame = records.pandas()
    assert frame["sequence"].tolist() == [1, 2, 3]
    assert frame["score"].tolist() == [prediction(n).score for n in (1, 2, 3)]
    assert list(frame.columns) == list(COLUMNS)


def test_arrow(folder):
    pyarrow = pytest.importorskip("pyarrow")
    with Records(folder, Query()) as records:
        table = records.arrow()
    assert isinstance(table, pyarrow.Table)
    assert table.column("sequence").to_pylist() == [1, 2, 3, 4]
    assert table.schema.field("numbers").type == pyarrow.list_(pyarrow.float64())
    assert table.column("numbers").to_pylist()[0] == [1.0, None]


@pytest.mark.parametrize(("name", "ask"), [("pandas", "df"), ("pyarrow", "to_arrow_table")])
def test_what_is_not_installed_is_told(folder, name, ask, monkeypatch):
    class Lacking:
        def __getattr__(self, asked):
            assert asked == ask
            raise ModuleNotFoundError(name)

    with Records(folder, Query()) as records:
        monkeypatch.setattr(records, "_relation", Lacking())
        with pytest.raises(PlatformError, match=f"{name} is not installed"):
            records.pandas() if name == "pandas" else records.arrow()


def test_until_it_is_closed_its_files_stay(folder):
    late_us = prediction(9).recorded_us
    with Records(folder, Query()) as records:
        assert expire(folder, older_than_us=late_us, now_us=late_us).in_use == 1
        assert len(records.duckdb().fetchall()) == 4
    assert expire(folder, older_than_us=late_us, now_us=late_us).files == 3


def test_a_file_that_goes_while_it_looks_makes_it_look_again(folder, monkeypatch):
    real, calls = relation.parts, []

    def listed(where):
        found = real(where)
        if not calls:
            late_us = prediction(9).recorded_us
            expire(folder, older_than_us=late_us, now_us=late_us)
        calls.append(where)
        return found

    monkeypatch.setattr(relation, "parts", listed)
    with Records(folder, Query()) as records:
        assert [row[0] for row in records.duckdb().project("sequence").fetchall()] == [4]


def test_damage_is_told(tmp_path):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.close()
    (path,) = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecorderError, match="cannot be read"):
        Records(tmp_path, Query())
    damage = []
    with Records(tmp_path, Query(), damage=damage) as records:
        assert len(records.duckdb().fetchall()) == 2
    assert len(damage) == 1


def test_a_folder_that_is_not_there_has_no_rows(tmp_path):
    with Records(tmp_path / "none", Query()) as records:
        assert records.pandas().empty
