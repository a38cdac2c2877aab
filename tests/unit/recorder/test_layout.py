from seakeep.recorder import layout
from seakeep.recorder.layout import parquet_path, parts, segment_path, writers


def touch(*paths):
    for path in paths:
        path.touch()


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert parts(tmp_path / "none") == ([], [])
    assert writers(tmp_path / "none") == []


def test_parts_are_ordered_by_writer_and_number(tmp_path):
    touch(
        segment_path(tmp_path, "b", 1),
        segment_path(tmp_path, "a-1", 12, "seg"),
        segment_path(tmp_path, "a-1", 9, "seg"),
    )
    touch(tmp_path / "a-1.ledger", tmp_path / "b.ledger", tmp_path / "notes.txt", tmp_path / "b-1.open")
    counting, covered = parts(tmp_path)
    assert [(part.writer, part.first, part.state) for part in counting] == [
        ("a-1", 9, "seg"),
        ("a-1", 12, "seg"),
        ("b", 1, "open"),
    ]
    assert covered == []
    assert writers(tmp_path) == ["a-1", "b"]


def test_a_parquet_file_hides_its_segments_and_no_others(tmp_path):
    touch(parquet_path(tmp_path, "a", 2, 3))
    touch(
        *(segment_path(tmp_path, "a", number, "seg") for number in (1, 2, 3, 4)), segment_path(tmp_path, "b", 2, "seg")
    )
    counting, covered = parts(tmp_path)
    assert [(part.writer, part.first, part.last) for part in counting] == [
        ("a", 1, 1),
        ("a", 2, 3),
        ("a", 4, 4),
        ("b", 2, 2),
    ]
    assert [part.first for part in covered] == [2, 3]


def test_a_wider_parquet_file_hides_a_narrower_one(tmp_path):
    touch(parquet_path(tmp_path, "a", 1, 2), parquet_path(tmp_path, "a", 1, 5))
    counting, covered = parts(tmp_path)
    assert [(part.first, part.last) for part in counting] == [(1, 5)]
    assert [(part.first, part.last) for part in covered] == [(1, 2)]


def test_a_listing_made_during_a_rename_is_not_believed(tmp_path, monkeypatch):
    # The old name was listed no more and the new one not yet: both exist only outside this listing.
    sealed = segment_path(tmp_path, "a", 1, "seg")
    touch(sealed)
    listings = [frozenset(), frozenset({sealed.name}), frozenset({sealed.name})]
    monkeypatch.setattr(layout, "_names", lambda _: listings.pop(0))
    assert [part.path for part in parts(tmp_path)[0]] == [sealed]
