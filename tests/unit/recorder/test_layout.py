from seakeep.recorder import layout
from seakeep.recorder.layout import parquet_path, parts, place_of, revised_path, segment_path, writers


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


def test_a_revision_takes_the_place_of_what_it_was_made_from(tmp_path):
    for name in (
        "w-00000001-00000003.aes",
        "w-00000001-00000003-r1.aes",
        "w-00000001-00000003-r10.aes",
        "w-00000002.seg",
        "w-00000004.seg",
        "w-00000004-r2.seg",
        "w-00000005.open",
        "x-00000004.seg",
    ):
        (tmp_path / name).touch()
    counting, covered = parts(tmp_path)
    assert [part.path.name for part in counting] == [
        "w-00000001-00000003-r10.aes",
        "w-00000004-r2.seg",
        "w-00000005.open",
        "x-00000004.seg",
    ]
    assert len(covered) == 4
    assert [revised_path(part).name for part in counting[:2]] == ["w-00000001-00000003-r11.aes", "w-00000004-r3.seg"]
    assert revised_path(counting[3]).name == "x-00000004-r1.seg"
    assert place_of("w-00000001-00000003-r11") == ("w", 3, False)
    assert place_of("worker-0-00000004-r3") == ("worker-0", 4, True)
