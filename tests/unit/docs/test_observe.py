"""The page on observing names metrics and labels that exist, and its rules are well-formed."""

import re
from pathlib import Path

import pytest

from seakeep.serving.metrics import STAGES, Meters, Used, read
from seakeep.serving.prometheus import render

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "observe.md").read_text("utf-8")
OF_THE_ADAPTER = {"seakeep_busy_workers"}


@pytest.fixture
def page(tmp_path):
    meters = Meters(tmp_path, 0)
    meters.of("late", 1).failed("row")
    meters.used(Used())
    return render(read(tmp_path)).decode()


def test_every_metric_that_is_named_is_shown_and_every_metric_that_is_shown_is_named(page):
    shown = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bseakeep_\w+", TEXT)}
    assert named - OF_THE_ADAPTER == shown


def test_every_stage_is_explained_in_the_order_of_the_path():
    table = TEXT.partition("| stage | from | to |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(told) == sorted(STAGES)
    assert set(re.findall(r'stage="(\w+)"', TEXT)) <= set(STAGES)


@pytest.mark.parametrize("name", ["ScaledObject", "HorizontalPodAutoscaler"])
def test_a_rule_for_scaling_is_yaml_that_names_what_it_scales(name):
    yaml = pytest.importorskip("yaml")
    (rule,) = [
        one for one in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)) if one["kind"] == name
    ]
    spec = rule["spec"]
    assert spec["scaleTargetRef"]["name"] == rule["metadata"]["name"]
    for trigger in spec.get("triggers", ()):
        assert trigger["type"] == "prometheus"
        assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
        assert float(trigger["metadata"]["threshold"]) > 0
        assert trigger["metadata"]["query"].count("(") == trigger["metadata"]["query"].count(")")
