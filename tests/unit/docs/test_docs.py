"""The documents are tested: commands exist with their options, links lead somewhere, code runs, figures are the measured ones."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from seakeep.cli import cli

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
VALUES = {"r-…": "r-0123456789ab", "01M8…": "01M87YYZDFGCZ7XJMVDYQT60N6"}


def commands():
    for name, text in TEXTS.items():
        for block in re.findall(r"```(?:console)?\n(.*?)```", text, re.DOTALL):
            for line in re.findall(r"^ *\$ (.*)$", block, re.MULTILINE):
                for part in re.split(r"&&|\|", line.split("  #")[0]):
                    if part.strip().startswith("seakeep"):
                        words = shlex.split(part)
                        yield pytest.param([VALUES.get(word, word) for word in words[1:]], id=f"{name}: {part.strip()}")
        for inline in re.findall(r"`seakeep ([^`]*)`", text):
            yield pytest.param([VALUES.get(word, word) for word in shlex.split(inline)], id=f"{name}: `{inline}`")


@pytest.mark.parametrize("words", [*commands()])
def test_every_command_in_the_documents_exists(words, tmp_path, monkeypatch):
    for name in ("visits.csv", "churn.ipynb"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    group, context = cli, click.Context(cli)
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        group = group.get_command(context, name)
        assert group is not None, name
    if not isinstance(group, click.Group) and words:
        group.make_context(group.name, words)


def links():
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if "://" not in target:
                yield pytest.param(name, target, id=f"{name}: {target}")


@pytest.mark.parametrize(("page", "target"), [*links()])
def test_every_link_leads_somewhere(page, target):
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists()
    if anchor:
        heads = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_project_in_the_readme_is_one():
    (block,) = re.findall(r"```python\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    scope = {"train": lambda frame: frame}
    exec(block, scope)
    assert scope["late"].definition.name == "late-arrival"


def figure(results, name):
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{results}.json").read_text("utf-8"))
    return next(row for row in rows if row["figure"] == name)


def test_the_figures_in_the_readme_are_the_measured_ones():
    def ours(name):
        return figure("startup", name)["ours"]

    text = " ".join(TEXTS["README.md"].split())
    assert f"{ours('base install, packages')} packages and {ours('base install, size'):.0f} MB" in text
    assert f"`import seakeep` in {ours('import seakeep (with the interpreter)'):.0f} ms" in text
    assert f"`seakeep --help` in {ours('seakeep --help'):.0f} ms" in text
    row = figure("conversion", "boosting: p50 of 1 rows")
    assert f"in {row['ours']:.0f} µs where scikit-learn takes {row['peers']['scikit-learn'] / 1000:.1f} ms" in text
    again, differing = (
        figure("replay", name)["ours"]
        for name in ("replay of 1,000,000 recorded requests", "replay of 1,000,000, answers that differ in a bit")
    )
    slow = figure("replay", "replay of 1,000,000 not compacted yet")["ours"]
    told = f"A million recorded requests are executed again in {again:.0f} s, {slow:.0f} s where they are not compacted yet, "
    assert f"{told}with {differing:.0f} that differ" in text


def test_the_figures_of_grpc_in_the_readme_are_those_of_its_best_and_of_its_worst_case():
    rows = json.loads((ROOT / "benchmarks" / "results" / "grpc.json").read_text("utf-8"))
    both = {(row["figure"], row["unit"]): (row["ours"], row["peers"]["grpcio aio"]) for row in rows}
    units, case = ("requests/s", "us of processor time a request"), "ModelInfer of one row, "
    (many, theirs), (us, their_us) = (both[f"{case}8 connections of 8 calls", unit] for unit in units)
    text = " ".join(TEXTS["README.md"].split())
    assert f"{many:,.0f} `ModelInfer` a second are answered and recorded for {us:.0f} µs of a core each" in text
    assert f"grpcio's asyncio server {theirs:,.0f} for {their_us:.0f} µs" in text
    (one, their_one), (us, their_us) = (both[f"{case}1 connection", unit] for unit in units)
    assert (
        f"on one connection {one:,.0f} a second against {their_one:,.0f}, for {us:.0f} µs against {their_us:.0f}"
        in text
    )


def test_the_figures_of_what_a_worker_does_under_pressure_are_the_measured_ones():
    text = " ".join(TEXTS["docs/pressure.md"].split())
    half, whole = (
        [figure("pressure", f"{model}: {name}")["ours"] for name in ("goodput", "refused, median", "refused, 99 %")]
        for model in ("half a millisecond", "a millisecond")
    )
    assert f"answers {half[0]:.2f} of its capacity, one of a millisecond {whole[0]:.2f}." in text
    assert (
        f"after {half[1]:.2f} and {whole[1]:.2f} ms in the median, {half[2]:.1f} and {whole[2]:.1f} ms at the" in text
    )


def test_a_million_requests_are_replayed_within_the_limit_and_differ_in_no_bit():
    rows = json.loads((ROOT / "benchmarks" / "results" / "replay.json").read_text("utf-8"))
    assert all(row["ours"] <= row["limit"] for row in rows if row["limit"] is not None)
    assert {"replay of 1,000,000 recorded requests"} <= {row["figure"] for row in rows if row["limit"] == 30}


def test_the_budgets_of_a_light_package_are_kept():
    rows = json.loads((ROOT / "benchmarks" / "results" / "startup.json").read_text("utf-8"))
    assert all(row["ours"] <= row["limit"] for row in rows if row["limit"])


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_result_tells_what_was_measured_where_when_and_beside_whom(path):
    for row in json.loads(path.read_text("utf-8")):
        assert {"figure", "unit", "ours", "peers", "limit", "machine", "versions", "date"} <= set(row)
        measured = [value for value in row["peers"].values() if not isinstance(value, str)]
        (ratio,) = [value for name, value in row.items() if name.startswith("ratio_to_")]
        assert (ratio is not None) <= bool(measured)
