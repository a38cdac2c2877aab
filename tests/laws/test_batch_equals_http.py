"""Law 4: files of rows are scored as the service answers each row: the same bits, decisions and words.

For numbers and classes it is held in ``tests/acceptance``, where their services live.
"""

import json

import numpy as np
import pytest
from tests.flights import MODEL, REPLAY_FROM, REPLAY_TO, REPLAY_TO_US, opened
from tests.scoring_rig import read, write, write_lines

from seakeep.project.batch import ScoreOptions
from seakeep.recorder import query

pytestmark = pytest.mark.slow

ROWS = 200
FORMS = ("parquet", "csv", "jsonl", "delta")


@pytest.fixture(scope="module")
def rows(history):
    """Flights behind what the server has seen, and such as it must refuse among them."""
    later = history.requests.between(REPLAY_TO_US, history.to_us)
    found = [dict(later[at]) for at in np.linspace(0, len(later) - 1, ROWS, dtype=int)]
    found[20]["carrier"] = "??"
    for at, name in ((10, "carrier"), (50, "scheduled"), (51, "flight_id"), (199, "distance")):
        found[at][name] = None
    return found


@pytest.fixture(scope="module")
def told(served, rows):
    """What HTTP says to each row as a request of its own."""

    def ask(row):
        status, answer = served.post(f"/v1/models/{MODEL}/predict", {"rows": [row]})
        return answer["predictions"][0] if status == 200 else {"status": status, **answer}

    return [ask(row) for row in rows]


def file_of(form, rows, folder):
    lines = write_lines(folder / "rows.jsonl", rows)
    if form == "jsonl":
        return lines
    typed = f"""select flight_id, make_timestamp(scheduled) as scheduled, carrier, origin, dest, distance, 1.5 as other
        from read_json('{lines}', columns = {{flight_id: 'VARCHAR', scheduled: 'BIGINT', carrier: 'VARCHAR',
        origin: 'VARCHAR', dest: 'VARCHAR', distance: 'BIGINT'}})"""
    if form == "delta":
        deltalake = pytest.importorskip("deltalake")
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(write(folder / "rows.parquet", typed))
        deltalake.write_deltalake(folder / "table", table, partition_by=["origin"])
        return folder / "table"
    return write(folder / f"rows.{form}", typed)


@pytest.mark.parametrize("form", FORMS)
def test_each_row_has_the_bits_and_the_words_of_http(served, rows, told, form, tmp_path):
    rows = [row if isinstance(row["scheduled"], int | None) else {**row, "scheduled": micros(row)} for row in rows]
    file = file_of(form, rows, tmp_path)
    with opened(served.folder) as project:
        scored = project.batch.score(MODEL, [str(file)], tmp_path / "out", ScoreOptions(part_rows=64))
    found = {(one["key"] or None): one for one in read(tmp_path / "out")}
    assert len(found) == scored.rows == ROWS
    assert scored.refused == sum("status" in answer for answer in told) == 4
    for row, answer in zip(rows, told, strict=True):
        one = found[row["flight_id"]]
        if "status" in answer:
            assert answer["status"] == 400
            assert (one["error"], one["hint"]) == (answer["error"], answer["hint"])
            continue
        assert np.float64(one["score"]).tobytes() == np.float64(answer["score"]).tobytes()
        assert (one["decision"], one["unknown"]) == (answer["decision"], answer["unknown"])
        assert (one["version"], one["error"]) == (answer["version"], None)
    known = [len(one["unknown"]) for one in found.values()]
    assert min(known) == 0 < max(known)


def micros(row):
    return int(np.datetime64(row["scheduled"].removesuffix("Z"), "us").astype(np.int64))


def test_with_history_past_requests_have_the_bits_that_were_answered_then(served, tmp_path):
    """Also those whose features the service has let go of since."""
    predictions = served.folder / ".seakeep/recorder/predictions"
    flights = served.folder / "tables/flights.parquet"
    days = f"scheduled >= '{REPLAY_FROM}' and scheduled < '{REPLAY_TO}'"
    file = write(tmp_path / "past.parquet", f"select * from '{flights}' where {days}")
    answered = query.load(predictions, query.Query(model=MODEL, to_us=REPLAY_TO_US), damage=[])
    with opened(served.folder) as project:
        present = project.batch.score(MODEL, [str(file)], tmp_path / "present")
        past = project.batch.score(MODEL, [str(file)], tmp_path / "past", ScoreOptions(history=True))
    found = {one["key"]: one["score"] for one in read(tmp_path / "past")}
    assert len(found) == past.rows == len(answered) > 1000
    assert past.unknown < present.unknown
    scores = np.array([found[key] for key in answered.key.tolist()])
    assert scores.tobytes() == np.ascontiguousarray(answered.score).tobytes()
    assert not [path for path in (served.folder / ".seakeep").iterdir() if path.name.startswith("profile-")]


def test_the_command_says_what_it_did(served, rows, tmp_path, seakeep):
    file = write_lines(tmp_path / "rows.jsonl", rows)
    command = ("score", MODEL, file, "--to", tmp_path / "out", "--project", served.folder)
    said = seakeep(*command)
    assert f"answered   {ROWS - 4}, in 1 files" in said.out
    assert "refused    4 rows; column error tells why" in said.out
    assert f"scored {ROWS} rows in" in said.err
    again = json.loads(seakeep(*command, "--json").out)
    assert (again["rows"], again["refused"], again["plan"]["version"]) == (ROWS, 4, 1)
