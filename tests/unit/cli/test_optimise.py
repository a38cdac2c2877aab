"""``optimise``: what it says, shows and ends with; the search itself is tested where it is."""

import json

import pytest
from tests.flights import MODEL

from seakeep.cli.optimise import told
from seakeep.project.optimise import Optimiser
from seakeep.records.optimise import Attempt, Confirmed, Limits, Optimised
from seakeep.records.run import Metric
from seakeep.records.version import Version

LOSS = Metric(value=0.001, low=-0.002, high=0.004)
AUC = Metric(value=0.7, low=0.69, high=0.71)
SOURCE = Attempt(told="the source", size_bytes=40_000, calls=600, p50_us=20.0, p99_us=30.0, p99_high_us=31.0, metric=AUC,
                 loss=Metric(value=0.0, low=0.0, high=0.0))  # fmt: skip
FEWER = Attempt(told="4 of 40 trees", size_bytes=5_000, calls=600, p50_us=10.0, p99_us=12.0, p99_high_us=13.5, metric=AUC,
                loss=LOSS, flips=1_234, pareto=True)  # fmt: skip
UNMADE = Attempt(told="fp16", fault="not tried: no GPU")
FOUND = Optimised(
    source=f"{MODEL}:1",
    limits=Limits(batch=500),
    known_by="roc_auc",
    attempts=(SOURCE, FEWER, UNMADE),
    chosen=FEWER.told,
    confirmed=Confirmed(rows=2_000, loss=LOSS, metric=AUC, source=AUC, flips=77),
)
MADE = Version(model=MODEL, number=2, bundle="b", run="r-1", created_us=0, author="", threshold=0.5)


@pytest.fixture
def gives(monkeypatch):
    """``gives(found)`` lets a search end so; the options it was asked with are in the list that comes back."""
    asked = []

    def let(found):
        def search(self, reference, limits, **options):
            options.pop("on_progress")(0.5, "half")
            asked.append((reference, limits, options["dry_run"]))
            return found

        monkeypatch.setattr(Optimiser, "search", search)
        return asked

    return let


def with_version(found, version):
    return Optimised(**{name: getattr(found, name) for name in found.__struct_fields__} | {"version": version})


def test_the_table_has_a_line_for_each_candidate_and_what_the_test_rows_say():
    lines = told(FOUND).splitlines()
    assert "p50 us, 500 rows" in lines[0]
    assert "roc_auc (95 %)" in lines[0]
    assert [line.split("  ")[0].strip() for line in lines[2:5]] == ["", "* chosen", ""]
    assert "13.5" in lines[3]
    assert "1,234" in lines[3]
    assert "+0.0040" in lines[3]
    assert lines[4].endswith("not tried: no GPU")
    assert lines[-1].startswith("4 of 40 trees, on 2,000 later rows that had no part in the choice: 0.700")
    assert "77 decisions differ" in lines[-1]


def test_limits_and_reference_reach_the_search_and_a_version_is_told(seakeep, at, gives):
    asked = gives(with_version(FOUND, MADE))
    options = ("--p99-ms", "2.5", "--size-mb", "1", "--loss", "0", "--batch", "500")
    said = seakeep("optimise", f"{MODEL}:1", *options, *at("converted"))
    assert asked == [(f"{MODEL}:1", Limits(p99_ms=2.5, size_mb=1.0, loss=0.0, batch=500), False)]
    assert f"✓ {MODEL}:2 registered: {MODEL}:1 as 4 of 40 trees\n  next: seakeep gates {MODEL}:2\n" in said.err
    assert "4 of 40 trees" in said.out


def test_a_dry_run_says_what_it_would_do_and_json_is_the_whole_search(seakeep, at, gives):
    asked = gives(FOUND)
    said = seakeep("optimise", "--dry-run", "--json", *at("converted"))
    assert asked == [("", Limits(), True)]
    assert "would register: 4 of 40 trees" in said.err
    found = json.loads(said.out)
    assert [one["told"] for one in found["attempts"]] == ["the source", "4 of 40 trees", "fp16"]
    assert found["attempts"][2]["p99_us"] is None


def test_a_refusal_shows_the_table_names_the_nearest_and_ends_with_3(seakeep, at, gives):
    refused = Optimised(source="m:1", limits=Limits(), known_by="rmse", attempts=(SOURCE,), refusal="the nearest is: x")
    gives(refused)
    said = seakeep("optimise", *at("converted"), code=3)
    assert "the source" in said.out
    assert "refused: the nearest is: x" in said.err


def test_a_source_that_stays_is_no_fault(seakeep, at, gives):
    gives(Optimised(source="m:1", limits=Limits(), known_by="rmse", attempts=(SOURCE,)))
    assert "m:1 keeps the limits" in seakeep("optimise", *at("converted")).err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--batch", "0"),
        ("--batch", "many"),
        ("--p99-ms", "0"),
        ("--p99-ms", "nan"),
        ("--size-mb", "-1"),
        ("--loss", "-1"),
    ],
)
def test_limits_that_cannot_be_are_a_usage_fault(seakeep, tmp_path, wrong):
    said = seakeep("optimise", *wrong, "--project", tmp_path, code=2)
    assert wrong[0] in said.err


def test_a_reference_that_is_not_there_is_told(seakeep, at):
    said = seakeep("optimise", f"{MODEL}:99", *at("converted"), code=1)
    assert f"there is no version {MODEL}:99" in said.err
    assert "code: not-found" in said.err
