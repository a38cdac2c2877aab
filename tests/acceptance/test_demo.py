"""What a stranger sees who types ``scripts/demo --fast``: the whole loop, every promise kept."""

import re
import subprocess
import sys

import pytest

from seakeep.clock import parse_moment
from seakeep.project import open_project


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "seakeep-demo"
    done = subprocess.run(
        [sys.executable, "-m", "seakeep", "demo", "--fast", "--leave", "--into", str(folder)],
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder, done.stdout


@pytest.mark.slow
def test_every_promise_is_kept(told):
    _, text = told
    assert len(re.findall(r"^  ✓ ", text, re.MULTILINE)) == 6
    assert "NOT KEPT" not in text
    assert "DISAGREES" not in text


@pytest.mark.slow
def test_july_and_september_have_verdicts_beside_what_the_labels_showed(told):
    folder, text = told
    for month in ("2013-07", "2013-09"):
        (row,) = re.findall(rf"^ *{month} .*$", text, re.MULTILINE)
        assert row.split()[-1] in {"agrees", "abstains"}
        assert f"{month}, as it could be told a day after its end:" in text
    assert text.count("All outcomes, counted later, show:") == 2
    months = open_project(folder).months()
    assert any(month.verdict.cause == "world-changed" == month.truth for month in months)
    assert not any(month.contradicted for month in months)


@pytest.mark.slow
def test_what_was_told_is_what_the_records_say(told):
    folder, text = told
    project = open_project(folder)
    (receipt,) = project.receipts()
    assert (receipt.outcome, receipt.failed) == ("rolled-back", 0)
    assert f"recorded   {receipt.requests:,} predictions during the rollout, 0 failed" in text
    first, canary, *between, last = project.history()
    assert [release.action for release in (first, canary, last)] == ["promote", "promote", "rollback"]
    assert all(release.champion.version == 1 for release in (first, canary, *between, last))
    assert last.candidate is None
    assert f"{project.verify_audit()} changes in the audit chain" in text
    (id_,) = re.findall(r"\$ seakeep why (\w+)", text)
    ((candidate, first, last),) = re.findall(r"\$ seakeep whatif (\S+) --from (\S+) --to (\S+)", text)
    week = project.past.whatif(
        candidate, against="late-arrival:1", from_us=parse_moment(first), to_us=parse_moment(last)
    )
    assert (week.irreproducible, week.unmatched) == (0, 0)
    assert f"requests   {week.rows:,} from {first}" in text
    assert f"decisions  {week.decisions.up:,} no to yes, {week.decisions.down:,} yes to no" in text
    again = project.why(id_)
    assert again.equal
    assert f"{again.recorded_bits}" in text
    assert project.parity(sample=500).passed
