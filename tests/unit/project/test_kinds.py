"""A model that predicts a number goes the whole way: trained, proved, gated, served, recorded, replayed and watched."""

import math

import msgspec
import numpy as np
import pytest
from tests.flights import Server, opened, run, wait_for
from tests.kinds import LIVE_US, deliveries, write_project

from seakeep.cli.know import status_table, why_text
from seakeep.cli.past import shadow_text, whatif_text
from seakeep.clock import DAY_US, SystemClock
from seakeep.dashboard.records import RecordedPages
from seakeep.errors import ConflictError, NotFoundError
from seakeep.monitoring.history import History
from seakeep.monitoring.quality import realised
from seakeep.recorder import query
from seakeep.records.outputs import NEVER, number

pytestmark = pytest.mark.slow

ORDERS, ARRIVALS = deliveries(3, from_us=LIVE_US, seed=1)
TOLD = {row["id"]: row["minutes"] for row in ARRIVALS}


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The project's folder after three days of service with a candidate beside the champion, and what was answered."""
    folder = tmp_path_factory.mktemp("kinds") / "project"
    write_project(folder)
    with opened(folder) as project:
        for trainer in ("", "train_coarse"):
            project.convert(project.train("minutes", trainer=trainer, as_of_us=LIVE_US).id)
        project.promote("minutes:1")
        project.promote("minutes:2", override="to be compared")
    with Server(folder) as server:
        metadata = server.get("/v2/models/minutes")[1]
        status, told = server.post("/v1/models/minutes/predict", {"rows": ORDERS})
        assert status == 200, told
        columns = [("distance", "FP64", 3.0), ("shop", "BYTES", "north"), ("recent.took_24h", "FP64", 30.0)]
        inputs = [{"name": name, "datatype": kind, "shape": [1], "data": [cell]} for name, kind, cell in columns]
        v2 = server.post("/v2/models/minutes/versions/1/infer", {"inputs": inputs})
        wrong = server.post("/v2/models/minutes/infer", {"inputs": inputs, "outputs": [{"name": "score"}]})
        document = server.get("/openapi.json")[1]
        server.send("arrivals", ARRIVALS, "all")
        recorded = folder / ".seakeep/recorder/predictions"
        wanted = query.Query(model="minutes", roles=("shadow",))
        wait_for(lambda: len(query.load(recorded, wanted, damage=[])) >= len(ORDERS))
    return folder, {"predictions": told["predictions"], "metadata": metadata, "v2": v2, "wrong": wrong, "api": document}


@pytest.fixture(scope="module")
def project(lived):
    with opened(lived[0]) as project:
        yield project


def test_the_run_tells_errors_beside_baselines_and_has_no_threshold(project):
    run = project.bundle(project.resolve("minutes:1")).run
    assert run.definition.label.outputs == number()
    assert run.threshold == NEVER
    assert set(run.metrics) == {"mae", "rmse", "bias"}
    assert all(set(found) == set(run.metrics) for found in run.baselines.values())
    assert run.metrics["mae"].value < 5 < run.baselines["linear"]["mae"].value
    assert all(-1 < one.high < 0 for one in run.paired.values())


def test_gates_judge_errors_and_refuse_the_coarse_one_beside_its_champion(project):
    found = {one.gate: one for one in project.stores.gates.get("minutes", 1)}
    assert all(one.passed for one in found.values())
    assert "squared error" in found["baselines"].observed
    coarse = {one.gate: one for one in project.stores.gates.get("minutes", 2)}
    assert not coarse["champion"].passed
    assert coarse["parity"].passed


def test_every_row_is_answered_with_a_value_and_nothing_else(lived):
    for answer in lived[1]["predictions"]:
        assert set(answer) == {"id", "key", "value", "version", "unknown"}
        assert math.isfinite(answer["value"])


def test_the_open_inference_protocol_has_one_output(lived):
    told = lived[1]
    assert told["metadata"]["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [-1]}]
    status, answer = told["v2"]
    assert status == 200
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("value", "FP64", [1])
    status, refused = told["wrong"]
    assert (status, refused["hint"]) == (400, "outputs: value")


def test_the_document_has_both_answers(lived):
    schemas = lived[1]["api"]["components"]["schemas"]
    assert schemas["ValueAnswer"]["required"] == ["id", "key", "value", "version", "unknown"]
    kinds = [
        one["$ref"].rpartition("/")[2]
        for one in schemas["PredictAnswer"]["properties"]["predictions"]["items"]["oneOf"]
    ]
    assert kinds == ["RowAnswer", "ValueAnswer"]


def test_the_record_has_the_bits_that_were_answered_and_replay_gives_them_again(project, lived):
    table = query.load(project.home.predictions, query.Query(model="minutes"))
    kept = dict(zip(table.id.tolist(), table.score.tolist(), strict=True))
    assert all(kept[one["id"]] == one["value"] for one in lived[1]["predictions"])
    assert not table.decision.any()
    for version in ("minutes:1", "minutes:2"):
        own = next(one for one in project.past.replay(version).versions if f"minutes:{one.version}" == version)
        assert own.rows == own.equal > 0
        assert own.decisions == own.refused == 0
    again = project.why(lived[1]["predictions"][0]["id"])
    assert again.equal
    assert again.outputs == number()


def test_another_version_in_replay_tells_how_many_numbers_are_others(project):
    beside = next(one for one in project.past.replay("minutes:2").versions if one.version == 1)
    assert 0 < beside.decisions <= beside.rows - beside.equal


def test_whatif_tells_who_is_larger_and_who_is_nearer(project):
    found = project.past.whatif("minutes:2", against="minutes:1", from_us=LIVE_US, to_us=LIVE_US + 4 * DAY_US)
    assert found.outputs == number()
    assert found.irreproducible == 0
    assert found.decisions.up + found.decisions.down == found.rows - found.equal
    assert found.candidate.alerts == found.against.alerts == 0
    assert found.candidate.confusion is None
    assert found.outcomes.down > found.outcomes.up  # the coarse one is seldom the nearer
    assert found.differences["mae"].low > 0


def test_a_rollout_is_compared_by_how_far_each_is_from_what_came(project):
    found = project.past.shadow("minutes")
    assert found.pairs == found.labelled or found.labelled > 0
    assert found.up + found.down == found.pairs - found.equal
    assert set(found.differences) <= {"capped_loss"}
    assert [one.question for one in found.tests] == ["it fails more", "it is slower", "it is worse"]
    assert found.tests[2].sentence.startswith("RMSE ")


def test_the_morning_tells_no_quality_it_cannot_estimate(project):
    brief = project.morning("minutes", now_us=LIVE_US + 4 * DAY_US)
    assert brief.estimate is None
    assert brief.verdict.cause == "cannot-tell"
    assert "not estimated yet" in brief.verdict.headline
    assert not {"quality", "alert-rate"} & {one.kind for one in brief.lines}
    with pytest.raises(NotFoundError, match="months are judged for yes-or-no"):
        project.months("minutes")


def test_morning_and_status_tell_how_far_the_answers_were_from_what_came(project):
    errors = project.morning("minutes", now_us=LIVE_US + 9 * DAY_US).quality
    assert errors.labelled > 30
    assert set(errors.metrics) == set(errors.accepted) == {"mae", "rmse", "bias"}
    assert errors.metrics["rmse"].value < 2 * errors.accepted["rmse"].value
    rows = project.status("minutes")
    assert all(one.quality is not msgspec.UNSET for one in rows)
    assert "minutes:1  " in status_table(rows)


def test_the_dashboard_shows_errors_and_neither_alerts_nor_decisions(project, lived):
    pages = RecordedPages(project, clock=SystemClock())
    page = pages.model("minutes", LIVE_US, LIVE_US + 4 * DAY_US)
    assert page.alert_rate is None
    assert all(window.alert_rate is None for window in page.traffic)
    assert all(row.decision is None for row in page.recent)
    realised = [one.realised for one in page.quality if one.realised]
    assert realised
    assert all(set(one) == {"mae", "rmse", "bias"} for one in realised)
    (row,) = pages.now().models
    assert (row.quality_metric, row.estimated, row.alert_rate) == ("mae", None, None)
    one = pages.prediction(lived[1]["predictions"][0]["id"])
    assert (one.threshold, one.row.decision) == (None, None)
    assert one.outcome.value == TOLD[one.row.key]
    assert msgspec.json.encode(page)
    pages.close()


def test_realised_errors_are_those_of_the_answers(project, lived):
    answers = {one["key"]: one["value"] for one in lived[1]["predictions"] if one["version"] == 1}
    error = np.array([answers[key] - TOLD[key] for key in answers])
    version = project.resolve("minutes:1")
    label = project.bundle(version).definition.label
    table = query.load(project.home.predictions, query.Query(model="minutes", versions=(1,), roles=("champion",)))
    schema = project.bundle(version).definition.schemas["arrivals"]
    outcomes = query.outcomes(project.home.events, label, schema, damage=[])
    history = History.of(*project.validation(version), table, outcomes, (), label.outputs)
    found = realised(history.live, now_us=LIVE_US + 9 * DAY_US)
    assert found["mae"].value == pytest.approx(np.abs(error).mean())
    assert found["bias"].low <= error.mean() <= found["bias"].high


def test_the_command_line_says_values_and_no_decisions(project, lived):
    period = {"from_us": LIVE_US, "to_us": LIVE_US + 4 * DAY_US}
    whatif = whatif_text(project.past.whatif("minutes:2", against="minutes:1", **period))
    assert "larger" in whatif
    assert "nearer by :2" in whatif
    assert "mae" in whatif
    shadow = shadow_text(project.past.shadow("minutes"))
    assert "smaller" in shadow
    why = why_text(project.why(lived[1]["predictions"][0]["id"]))
    assert "equal, bit for bit" in why
    for said in (whatif, shadow, why):
        assert not {"decision", "decisions", "alerts"} & set(said.split())
    shown = run(lived[0], "model", "show", "minutes:1")
    assert "answers with a value" in shown.out
    listed = run(lived[0], "records", "list", ORDERS[0]["id"])
    assert "—" in listed.out


def test_versions_of_different_kinds_are_not_compared(project):
    bundle = project.bundle(project.resolve("minutes:1"))
    label = msgspec.structs.replace(bundle.definition.label, answers=msgspec.UNSET)
    definition = msgspec.structs.replace(bundle.definition, label=label)
    made = msgspec.structs.replace(bundle.run, id="r-00000000000f", definition=definition, threshold=0.5)
    project.stores.runs.add(made, actor="test")
    other = msgspec.structs.replace(
        project.resolve("minutes:1"),
        number=0,
        run=made.id,
        threshold=0.5,
        bundle=project.stores.bundles.put(made, bundle.model, bundle.proof, created_us=made.started_us),
    )
    version = project.stores.versions.add(other, actor="test", now_us=made.started_us)
    with pytest.raises(NotFoundError, match="a probability and a value"):
        project.past.whatif(version.ref, against="minutes:1", from_us=LIVE_US, to_us=LIVE_US + 4 * DAY_US)
    with pytest.raises(ConflictError, match="which answers with a value"):
        project.promote(version.ref)
    (found,) = [one for one in project.gates(version.ref) if one.gate == "champion"]
    assert not found.passed
    assert "it answers with a value" in found.observed
