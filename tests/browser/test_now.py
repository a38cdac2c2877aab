"""What a person reads on Now is what its twin, the command line and the stores say."""

from __future__ import annotations

import pytest
from tests.simulated_shop import IDLE, MODEL

from seakeep.dashboard import formatting
from seakeep.records.run import Metric


def plain(text: str) -> str:
    return " ".join(text.split())


def metric(value: dict[str, float]) -> Metric:
    return Metric(value=value["value"], low=value["low"], high=value["high"])


@pytest.fixture
def row(living):
    return living.json("/now.json")["models"][0]


def test_the_verdict_is_the_first_thing_said_and_is_said_in_words(living, window):
    seen = window("/")
    verdict = living.project.morning(MODEL).verdict
    assert seen.text("h1") == f"{MODEL} needs attention."
    assert seen.text(f"#row-{MODEL} .cause") == "Model failing"
    assert seen.text(f"#row-{MODEL} .headline") == verdict.headline
    first_y, table_y = (seen.page.locator(one).bounding_box()["y"] for one in ("h1", "table.now"))
    assert first_y < table_y


def test_the_model_that_needs_attention_comes_first(living, window):
    seen = window("/")
    assert seen.texts("table.now .name") == [MODEL, IDLE]
    assert {MODEL, IDLE} == set(living.project.models)


def test_the_numbers_of_a_row_are_those_of_its_twin(window, row):
    text = window("/").text(f"#row-{MODEL}")
    for expected in (
        f"{row['predictions']:,}",
        formatting.milliseconds(row["p99_ms"]),
        formatting.estimate(metric(row["alert_rate"]), "alert_rate"),
        f"{row['estimated']['value']:.2f} recall ({formatting.interval_of(metric(row['estimated']))})",
        f"{row['realised']['value']:.2f} recall ({formatting.interval_of(metric(row['realised']))})",
    ):
        assert plain(expected) in text


def test_the_twin_counts_what_the_command_line_counts(living, row):
    known = living.project.status(MODEL)
    assert abs(sum(one.requests for one in known) - row["predictions"]) <= 1  # the day's two ends
    assert sum(one.errors for one in known) == row["errors"] == 0
    brief = living.project.morning(MODEL)
    assert row["verdict"]["cause"] == brief.verdict.cause == "model-failing"
    assert metric(row["estimated"]) == brief.estimate.metrics["recall"]


def test_champion_and_candidate_are_those_in_force(living, window, row):
    now = living.project.history(MODEL)[-1]
    assert (row["champion"]["version"], row["candidate"]["version"]) == (now.champion.version, now.candidate.version)
    text = window("/").text(f"#row-{MODEL} .serving")
    assert f"{MODEL}:{now.champion.version} champion" in text
    assert f"{MODEL}:{now.candidate.version} candidate, 10 %" in text


def test_an_open_rollout_tells_its_stage_and_its_evidence(window, row):
    seen = window("/")
    text = seen.text("#rollouts")
    rollout = row["rollout"]
    assert f"Candidate {rollout['candidate']} answers 10 % of keys beside champion {rollout['champion']}" in text
    assert f"{rollout['pairs']:,} of the 5,000 requests" in text
    assert rollout["pairs"] > 100
    assert seen.texts("#rollouts .stages li") == ["10 %", "50 %", "100 %"]
    assert seen.text("#rollouts .stages [aria-current=step]") == "10 %"
    for sentence in rollout["evidence"]:
        assert sentence[1:] in text


def test_a_receipt_tells_what_the_bad_version_did_to_whom(living, window):
    seen = window("/")
    (receipt,) = living.project.stores.receipts.receipts(MODEL)
    assert receipt.outcome == "rolled-back"
    text = seen.text("#receipts")
    assert f"Rolled back {MODEL}: candidate 2 against champion 1" in text
    facts = dict(zip(seen.texts("#receipts dt"), seen.texts("#receipts dd"), strict=True))
    assert facts["Requests"] == f"{receipt.requests:,}"
    assert facts["Failed"] == "0" == f"{receipt.failed}"
    assert facts["Answered by candidate"] == f"{receipt.answered_by_candidate}"
    assert seen.texts("#receipts .evidence li") == [one[0].upper() + one[1:] for one in receipt.evidence]


def test_a_model_that_was_never_released_says_what_to_do_next(window):
    text = window("/").text(f"#row-{IDLE}")
    assert "No verdict yet" in text
    assert f"seakeep promote {IDLE}@candidate" in text
    assert "no champion" in text


def test_a_project_in_the_past_says_which_time_is_which(living, window):
    seen = window("/")
    assert living.project.settings.serving.clock == "request"
    assert "in the 24 hours to 2024-04-" in seen.text(".lede")
    assert "releases, rollouts and runs are dated by the clock" in seen.text("footer")


def test_every_link_of_a_row_leads_to_its_place_on_the_models_page(window):
    seen = window("/")
    links = seen.page.locator(f"#row-{MODEL} a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    anchors = {link.partition("#")[2] for link in links if link.startswith(f"/models/{MODEL}#")}
    assert {"verdict", "traffic", "quality", "rollouts"} <= anchors
    for anchor in anchors:
        seen.page.locator(f'#row-{MODEL} a[href$="#{anchor}"]').first.click()
        seen.page.wait_for_url(f"**/models/{MODEL}#{anchor}")
        assert seen.page.locator(f"#{anchor}").is_visible()
        seen.page.go_back()
