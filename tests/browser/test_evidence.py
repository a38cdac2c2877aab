"""Every number links to its evidence: predictions, runs and versions, and the way between all pages."""

from __future__ import annotations

import json
from urllib.parse import quote, urldefrag

import pytest
from tests.browser.living import wait
from tests.simulated_shop import IDLE, MODEL

from seakeep.dashboard import formatting
from seakeep.errors import NotFoundError
from seakeep.recorder import query
from seakeep.recorder.query import Query


@pytest.fixture(scope="module")
def shadow(living):
    """A prediction that the candidate computed in the champion's shadow."""
    table = query.load(living.project.home.predictions, Query(model=MODEL, roles=("shadow",)), damage=[])
    return str(table.id[-1]), str(table.pair[-1])


def test_why_shows_the_answer_its_inputs_and_that_the_bits_are_equal(living, window):
    (answer,) = living.ask("why-<me>/ü?&#")
    again = wait(lambda: _why(living, answer["id"]), "the record")
    seen = window(f"/predictions/{answer['id']}")
    said = "yes" if answer["decision"] else "no"
    assert seen.text("h1") == f"It said {said}, with a score of {answer['score']:.4f}."
    assert seen.text(".hero .eyebrow") == f"Why {MODEL} answered for why-<me>/ü?&#"
    assert "What became of it is not known yet." in seen.text(".lede")
    assert again.equal
    assert seen.text("#again .cause") == "Bit-equal"
    assert seen.texts("#again code") == [repr(answer["score"])] * 2
    assert again.recorded_bits in seen.text("#again")
    rows = seen.texts("#features tbody tr")
    assert [row.split()[0] for row in rows] == ["recent.rate_24h", "recent.rate_7d", "price", "shop", "hour"]
    assert "price 25.5 the request" in rows[2]
    assert "before" in rows[0]
    assert "why-<me>/ü?&#" in seen.text("#request")
    assert "End to end" in seen.text("#time")


def _why(living, prediction):
    try:
        return living.project.why(prediction)
    except NotFoundError:
        return None


def test_why_tells_what_became_of_a_prediction(living, window):
    answered = query.load(living.project.home.predictions, Query(model=MODEL, roles=("champion",)), damage=[])
    seen = window(f"/predictions/{answered.id[0]}")
    outcome = living.json(f"/predictions/{answered.id[0]}.json")["outcome"]
    assert answered.key[0] in seen.text(".hero .eyebrow")
    said = "yes" if outcome["value"] else "no"
    assert f"It turned out {said}, known {formatting.moment(outcome['known_us'])}" in seen.text(".lede")


def test_a_shadow_leads_to_the_prediction_it_stood_beside(window, shadow):
    identity, pair = shadow
    seen = window(f"/predictions/{identity}")
    assert f"{MODEL}:3, shadow" in seen.text("#request")
    seen.page.locator("#request").get_by_role("link", name=pair).click()
    seen.page.wait_for_url(f"**/predictions/{pair}")
    assert f"{MODEL}:1, champion" in seen.text("#request")
    assert seen.text("#again .cause") == "Bit-equal"


@pytest.mark.parametrize(
    ("number", "state"), [(1, "It is the champion."), (2, "It does not answer now."), (3, "It is the candidate and")]
)
def test_a_version_says_its_part_in_production_its_proof_and_its_gates(living, window, number, state):
    version = living.project.resolve(f"{MODEL}:{number}")
    seen = window(f"/versions/{MODEL}:{number}")
    proof = living.project.bundle(version).proof
    assert state in seen.text(".lede")
    assert version.bundle in seen.text(".hero")
    assert seen.text("#parity .cause") == "Proved"
    assert f"Over {sum(proof.cases.values()):,} rows" in seen.text("#parity")
    results = living.project.stores.gates.get(MODEL, number)
    assert seen.texts("#gates tbody .cause") == ["passed" if one.passed else "failed" for one in results]
    assert seen.page.locator(".hero").get_by_role("link", name=version.run).count() == 1


def test_a_version_that_was_taken_back_shows_the_rollback_and_its_receipt(living, window):
    seen = window(f"/versions/{MODEL}:2")
    rows = seen.texts("#releases tbody tr")
    assert ["rollback to 1" in row for row in rows] == [True, False]
    assert "override: to see it taken back" in rows[1]
    assert "Rolled back" in seen.text("#releases .receipt")
    assert seen.texts("#gates tbody .cause") == ["failed", "passed"]


def test_a_run_shows_its_metrics_beside_its_baselines_and_all_that_went_in(living, window):
    run = living.project.stores.runs.get(living.project.resolve(MODEL).run)
    seen = window(f"/runs/{run.id}")
    rows = {row.split("\t")[0]: row for row in seen.page.locator("#metrics tbody >> nth=0").inner_text().split("\n")}
    assert " ".join(formatting.estimate(run.metrics["roc_auc"]).split()) in " ".join(rows["ROC AUC"].split())
    inputs = seen.text("#inputs")
    for digest in (run.dataset, run.definition_digest, run.artefact, *run.code.values()):
        assert digest[:12] in inputs
    assert "scikit-learn" not in inputs
    seen.page.get_by_text("installed packages").click()
    assert f"scikit-learn {run.environment.packages['scikit-learn']}" in seen.text("#inputs")
    seen.page.get_by_role("link", name=f"{MODEL}:1").first.click()
    seen.page.wait_for_url(f"**/versions/{MODEL}%3A1")


def test_every_page_that_a_link_leads_to_is_there_and_has_the_place_it_names(window):
    seen = window()
    waiting, known, anchors = ["/"], {"/"}, set()
    while waiting:
        address = waiting.pop(0)
        answer = seen.page.request.get(seen.url + address)
        assert answer.status == 200, address
        if address.partition("?")[0].endswith(".json"):
            assert json.loads(answer.text())
            continue
        found = seen.page.evaluate(
            """(text) => {
              const page = new DOMParser().parseFromString(text, "text/html");
              const all = (name) => [...page.querySelectorAll(`[${name}]`)].map((one) => one.getAttribute(name));
              return { links: all("href").filter((link) => !link.startsWith("/static")), ids: all("id") };
            }""",
            answer.text(),
        )
        for link in found["links"]:
            assert link.startswith(("/", "#")), link
            page, anchor = urldefrag(link)
            if anchor:
                anchors.add((page or address, anchor))
            if page and page not in known:
                known.add(page)
                waiting.append(page)
        known |= {(address, one) for one in found["ids"]}
    assert {"predictions", "versions", "runs", "models"} <= {str(one).split("/")[1] for one in known if "/" in one}
    assert [(page, anchor) for page, anchor in anchors if (page, anchor) not in known] == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/models/nobody", "No model is called 'nobody'"),
        ("/models/" + quote("<img src=x onerror=alert(1)>", safe=""), "No model is called"),
        (f"/versions/{MODEL}:99", "99"),
        ("/versions/nobody:1", "nobody"),
        ("/predictions/01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("/runs/r-000000000000", "r-000000000000"),
        ("/elsewhere", "There is no page at this address"),
    ],
)
def test_what_nobody_knows_gets_a_clear_page_and_a_way_back(window, address, says):
    seen = window()
    answer = seen.page.goto(seen.url + address)
    assert answer.status == 404
    assert says in seen.text("h1")
    assert seen.text(".eyebrow").startswith("404")
    assert seen.page.locator("main img").count() == 0
    seen.page.get_by_role("link", name="Back to Now").click()
    assert seen.text("h1") == f"{MODEL} needs attention."
    assert [fault for fault in seen.faults if "404" not in fault] == []
    seen.faults.clear()


def test_an_unknown_model_is_told_which_are_known(window):
    seen = window("/models/nobody")
    assert seen.text(".lede") == f"Hint known: {MODEL}, {IDLE}"
    seen.faults.clear()
