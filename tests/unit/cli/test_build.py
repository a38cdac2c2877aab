"""``train``, ``rerun`` and ``convert``: by the words of the processes that made the stages, and by calls that fail."""

import json
import re

import pytest
from tests.flights import MODEL, told

from seakeep.cli.build import interval
from seakeep.records.run import Metric


def test_train_shows_the_model_beside_its_baselines_and_says_what_comes_next(flights_root):
    said = told(flights_root, "trained")
    head = re.match(rf"{MODEL} (r-[0-9a-f]{{12}}): ([\d,]+) rows trained, ([\d,]+) validated, [\d.]+ s\n", said.out)
    assert head
    lines = said.out.splitlines()
    assert lines[2].split("  ", 1)[0] == "metric"
    assert [name for name in ("constant", "linear") if name in lines[2]] == ["constant", "linear"]
    metrics = [line.split()[0] for line in lines[4:]]
    assert {"roc_auc", "log_loss", "base_rate", "recall"} <= set(metrics)
    assert said.err.endswith(f"✓ run {head[1]}\n  next: seakeep convert {head[1]}\n")
    assert "data, features, training, evaluation" in said.err


def test_convert_shows_the_proof_and_says_what_comes_next(flights_root):
    said = told(flights_root, "converted")
    assert re.match(
        rf"{MODEL}:1: [\d,]+ rows tried, largest difference \d\.\de-\d\d, 0 decisions differ; "
        r"(\d+) of \1 models with a change in them found out\n",
        said.out,
    )
    assert said.err.endswith(f"✓ {MODEL}:1 registered\n  next: seakeep gates {MODEL}:1\n")


@pytest.mark.slow
def test_a_run_that_is_converted_again_is_not_said_to_be_registered_anew(seakeep, flights_at):
    said = seakeep("convert", "--project", flights_at("converted"))
    assert f"✓ {MODEL}:1 was registered before, and is the same\n" in said.err


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("train", "late"), "no model 'late' in project.py", "not-found"),
        (("train", "--as-of", "2012-01-01"), "has no event that could be known by then", "data"),
        (("train", "--trainer", "train_badly", "--as-of", "2013-02-01"), "no function 'train_badly'", "not-found"),
        (("rerun", "r-000000000000"), "there is no run 'r-000000000000'", "not-found"),
        (("convert", "r-000000000000"), "there is no run 'r-000000000000'", "not-found"),
        (("convert",), "there is no run yet", "not-found"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_built_is_told_and_leaves_no_run(seakeep, at, arguments, message, code):
    said = seakeep(*arguments, *at("example"), code=1)
    assert said.out == ""
    assert message in said.err
    assert "hint: " in said.err
    assert f"code: {code}" in said.err
    assert json.loads(seakeep("run", "list", *at("example"), "--json").out) == []


def test_a_metric_has_its_interval_and_one_that_is_not_there_a_dash():
    assert interval(Metric(value=0.7612, low=0.7438, high=0.7791)) == "0.761 (0.744 to 0.779)"
    assert interval(None) == "—"
