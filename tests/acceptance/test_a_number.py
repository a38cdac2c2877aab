"""The whole path of a model whose answers are numbers: trained, proved, served, recorded, replayed, compared, watched."""

import hashlib
from types import SimpleNamespace

import msgspec
import numpy as np
import onnx
import pytest
from tests.flights import Server, wait_for
from tests.scoring_rig import read, write_lines
from tests.simulated_parcels import END_US, LIVE_US, MODEL, ROLLOUT_US, SLOW_US, write_project
from tests.unit.dashboard.conftest import ask

from seakeep.alerting.budget import SYMPTOMS
from seakeep.cli.know import status_table, why_text
from seakeep.cli.past import replay_text, shadow_text, whatif_text
from seakeep.cli.records import prediction_table
from seakeep.clock import FixedClock
from seakeep.conversion.session import SCORE
from seakeep.dashboard.app import create_app
from seakeep.dashboard.records import RecordedPages
from seakeep.diagnosis.render import render_brief
from seakeep.errors import ConflictError, NotFoundError
from seakeep.monitoring.history import History
from seakeep.monitoring.quality import realised
from seakeep.project import open_project, stream
from seakeep.project.batch import ScoreOptions
from seakeep.project.check import check
from seakeep.recorder import query
from seakeep.recorder.query import Query
from seakeep.records.outputs import NEVER, number

pytestmark = pytest.mark.slow
INPUTS = [
    {"name": name, "datatype": kind, "shape": [1], "data": [cell]}
    for name, kind, cell in (("weight", "FP64", 9.5), ("zone", "BYTES", "far"), ("recent.took_7d", "FP64", 100.0))
]
ROW = {"id": "by-hand", "sent": "2024-03-01T00:00:00Z", "weight": 9.5, "zone": "far"}


def register_doubled(project, version):
    """A version that answers twice as much, as of another run: trained and proved like the first, and wrong."""
    bundle = project.bundle(version)
    model = onnx.load_from_string(bundle.model)
    for node in model.graph.node:
        node.output[:] = ["half" if name == SCORE else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Add", ["half", "half"], [SCORE]))
    content = model.SerializeToString()
    proof = msgspec.structs.replace(bundle.proof, model_sha256=hashlib.sha256(content).hexdigest())
    made = msgspec.structs.replace(bundle.run, id="r-000000000002")
    project.stores.runs.add(made, actor="test")
    digest = project.stores.bundles.put(made, content, proof, created_us=made.started_us)
    other = msgspec.structs.replace(version, number=0, bundle=digest, run=made.id)
    return project.stores.versions.add(other, actor="test", now_us=made.started_us)


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """A champion, a candidate that answers twice as much and is taken back, and 36 days of parcels."""
    folder = tmp_path_factory.mktemp("numbers") / "parcels"
    write_project(folder)
    assert check(folder) == ()
    project = open_project(folder)
    trained = project.train(as_of_us=LIVE_US)
    champion, proof = project.convert()
    gates = project.gates(champion.ref)
    project.promote(champion.ref)
    doubled = register_doubled(project, champion)
    doubled_gates = project.gates(doubled.ref)

    def feed(server, from_us, to_us):
        plan = stream.plan(
            project._loaded, project.bundle(champion).definition, from_us=from_us, to_us=to_us, share=1.0
        )
        totals = stream.run(plan, "127.0.0.1", server.port, headers={}, on_progress=None)
        assert (totals.failed, totals.events_failed) == (0, 0), totals

    with Server(folder) as server:
        (by_hand,) = server.post(f"/v1/models/{MODEL}/predict", {"rows": [ROW]})[1]["predictions"]
        told, document = server.get(f"/v2/models/{MODEL}")[1], server.get("/openapi.json")[1]
        feed(server, LIVE_US, ROLLOUT_US)
        project.promote(doubled.ref, override="to see it taken back")
        feed(server, ROLLOUT_US, SLOW_US)
        (receipt,) = wait_for(lambda: project.receipts(), process=server.process)
        feed(server, SLOW_US, END_US)
        status = project.status()
        # Last, for tensors speak for the present moment and parcels for theirs.
        tensors = server.post(f"/v2/models/{MODEL}/infer", {"inputs": INPUTS})
        score = server.post(f"/v2/models/{MODEL}/infer", {"inputs": INPUTS, "outputs": [{"name": "score"}]})
    table = query.load(project.home.predictions, Query(model=MODEL), damage=[])
    shadow = project.past.shadow()
    brief, quiet = project.morning(now_us=END_US), project.morning(now_us=ROLLOUT_US)
    replay = project.past.replay()
    whatif = project.past.whatif(doubled.ref, from_us=LIVE_US, to_us=SLOW_US)
    return SimpleNamespace(**locals())


def test_it_is_judged_by_its_errors_beside_a_mean_and_a_line(life):
    made = life.trained
    assert set(made.metrics) == {"mae", "rmse", "bias"}
    assert made.metrics["rmse"].low < made.metrics["rmse"].value < made.metrics["rmse"].high
    assert (
        made.metrics["rmse"].value < made.baselines["linear"]["rmse"].value < made.baselines["constant"]["rmse"].value
    )
    assert -1 < made.paired["constant"].value < made.paired["linear"].value < 0
    assert set(made.slices["zone"]["near"]) == {*made.metrics, "rows"}


def test_its_gates_are_of_numbers_and_one_that_errs_more_is_no_match_for_the_champion(life):
    assert all(one.passed for one in life.gates)
    assert [one.gate for one in life.gates] == ["mae", "baselines", "champion", "slices:zone", "parity"]
    assert "squared error, as a share, against constant -0.9" in life.gates[1].observed
    assert [one.gate for one in life.doubled_gates if not one.passed] == ["champion"]
    assert "squared error, as a share, against minutes:1 +" in life.doubled_gates[2].observed
    assert life.proof.passed
    assert life.proof.mutants == life.proof.mutants_caught > 0


def test_it_answers_with_a_value_and_says_so(life):
    assert set(life.by_hand) == {"id", "key", "value", "version", "unknown"}
    assert 150 < life.by_hand["value"] < 300
    assert life.told["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [-1]}]


def test_the_open_inference_protocol_has_one_output(life):
    status, answer = life.tensors
    (output,) = answer["outputs"]
    assert (status, output["name"], output["datatype"], output["shape"]) == (200, "value", "FP64", [1])
    status, refused = life.score
    assert (status, refused["hint"]) == (400, "outputs: value")


def test_the_document_has_every_answer(life):
    schemas = life.document["components"]["schemas"]
    assert schemas["ValueAnswer"]["required"] == ["id", "key", "value", "version", "unknown"]
    kinds = schemas["PredictAnswer"]["properties"]["predictions"]["items"]["oneOf"]
    assert [one["$ref"].rpartition("/")[2] for one in kinds] == ["RowAnswer", "ValueAnswer", "ClassAnswer"]


def test_what_was_recorded_is_the_value_and_decides_nothing(life):
    table = life.table
    assert not table.decision.any()
    assert (table.score > 1).all()
    assert not (table.error != "").any()
    (row,) = (table.id == life.by_hand["id"]).nonzero()[0]
    assert table.score[row] == life.by_hand["value"]
    found = life.project.recorder.of_key("by-hand")
    assert prediction_table(found, {found[0].bundle}).splitlines()[-1].endswith("—")


def test_it_is_executed_again_bit_for_bit(life):
    assert life.replay.holds
    assert life.replay.rows > 300
    assert "bit for bit" in replay_text(life.replay)
    why = life.project.why(life.by_hand["id"])
    assert why.equal
    assert why.outputs == number()
    assert "decision" not in why_text(why)


def test_another_version_in_replay_tells_how_many_numbers_are_others(life):
    beside = next(one for one in life.project.past.replay(life.doubled.ref).versions if one.version == 1)
    assert beside.decisions == beside.rows > 300
    assert beside.equal == 0


def test_a_what_if_tells_which_answers_would_rise_and_whether_they_would_be_nearer(life):
    found = life.whatif
    assert found.outputs == number()
    assert found.decisions.up == found.rows > 300
    assert found.decisions.down == 0
    assert found.outcomes.down > 0.95 * found.outcomes.rows
    assert found.candidate.confusion is None
    assert found.differences["rmse"].low > 50
    text = whatif_text(found)
    assert "larger" in text
    assert "mae" in text
    assert "alerts" not in text
    assert "yes" not in text


def test_a_candidate_that_errs_more_is_taken_back_by_its_squared_errors(life):
    assert life.receipt.outcome == "rolled-back"
    assert "it is worse: RMSE" in life.receipt.reason
    assert life.shadow.outputs == number()
    assert set(life.shadow.differences) == {"capped_loss"}
    assert life.shadow.differences["capped_loss"].low > 0
    assert "decisions" not in shadow_text(life.shadow)


def test_a_quiet_morning_tells_the_errors_and_that_nothing_is_estimated(life):
    brief = life.quiet
    assert brief.estimate is None
    assert (brief.verdict.cause, brief.verdict.numbers) == ("cannot-tell", {})
    assert not [line for line in brief.lines if line.kind in {"quality", "alert-rate"}]
    felt = {line.kind for line in brief.lines} & SYMPTOMS
    assert felt <= {"latency"}, "how long answers take is the machine's affair"
    assert felt or not brief.page
    assert brief.quality.labelled > 50
    assert brief.quality.unlabelled == 0
    assert brief.quality.metrics["rmse"].value < 1.5 * brief.quality.accepted["rmse"].value
    text = " ".join(render_brief(brief).split())
    assert "not estimated yet" in text
    assert "when accepted" in text
    assert "%" not in text.split("errors 20")[1]


def test_realised_errors_are_those_of_the_answers(life):
    definition = life.project.bundle(life.champion).definition
    asked = Query(model=MODEL, versions=(1,), roles=("champion",), to_us=ROLLOUT_US)
    rows = query.load(life.project.home.predictions, asked, damage=[])
    schema = definition.schemas["deliveries"]
    outcomes = query.outcomes(life.project.home.events, definition.label, schema, damage=[])
    minutes = dict(zip(outcomes.key.tolist(), outcomes.value.tolist(), strict=True))
    error = np.array([value - minutes[key] for key, value in zip(rows.key, rows.score, strict=True) if key in minutes])
    history = History.of(*life.project.validation(life.champion), rows, outcomes, (), definition.label.outputs)
    found = realised(history.live, now_us=END_US)
    assert found["mae"].value == pytest.approx(np.abs(error).mean())
    assert found["bias"].low <= error.mean() <= found["bias"].high


def test_a_morning_after_the_world_slowed_down_says_by_how_much_it_errs(life):
    (line,) = [one for one in life.brief.lines if one.kind == "quality"]
    assert line.now > 3 * line.before
    assert "too low" in line.sentence
    assert life.brief.page
    assert "seakeep train" in life.brief.action
    assert life.brief.quality.metrics["bias"].high < -20


def test_the_status_tells_the_errors_of_versions_of_numbers(life):
    one = next(row for row in life.status if row.version == life.champion.number)
    assert one.quality.labelled > 50
    assert f"{life.champion.ref}  mae " in status_table(life.status)


@pytest.fixture(scope="module")
def pages(life):
    pages = RecordedPages(life.project, clock=FixedClock(END_US))
    yield pages, create_app(pages, name="parcels")
    pages.close()


def test_the_dashboard_shows_errors_and_no_alerts(life, pages):
    source, app = pages
    (row,) = source.now().models
    assert (row.quality_metric, row.estimated, row.alert_rate) == ("mae", None, None)
    page = source.model(MODEL, LIVE_US, END_US)
    assert page.alert_rate is None
    assert {window.alert_rate for window in page.traffic} == {None}
    assert {one.decision for one in page.recent} == {None}
    assert any("mae" in window.realised for window in page.quality)
    assert not any(window.estimated for window in page.quality)
    text = ask(app, f"/models/{MODEL}?from=2024-03-01&to=2024-04-06").text
    assert "MAE" in text or "Mae" in text
    one = page.recent[-1]
    shown = ask(app, f"/predictions/{one.id}").text
    assert "The decision is yes" not in shown
    assert "Bit-equal" in shown
    assert source.prediction(one.id).outcome.value > 1
    assert "It says yes" not in ask(app, f"/versions/{life.champion.ref}").text
    assert "Threshold" not in ask(app, f"/runs/{life.trained.id}").text


def test_the_command_line_shows_values(life, seakeep):
    project = "--project", life.folder
    assert "answers with a value" in seakeep("model", "show", life.champion.ref, *project).out
    assert "—" in seakeep("records", "list", ROW["id"], *project).out


def test_months_of_numbers_are_not_judged(life):
    with pytest.raises(NotFoundError, match="predicts numbers"):
        life.project.months(now_us=END_US)


def test_the_label_decides_what_is_answered(life):
    assert life.project.bundle(life.champion).definition.label.outputs == number()
    assert life.trained.threshold == NEVER


def test_versions_of_different_kinds_are_not_compared(life):
    project, bundle = life.project, life.project.bundle(life.champion)
    label = msgspec.structs.replace(bundle.definition.label, answers=msgspec.UNSET)
    definition = msgspec.structs.replace(bundle.definition, label=label)
    made = msgspec.structs.replace(bundle.run, id="r-00000000000f", definition=definition, threshold=0.5)
    project.stores.runs.add(made, actor="test")
    digest = project.stores.bundles.put(made, bundle.model, bundle.proof, created_us=made.started_us)
    other = msgspec.structs.replace(life.champion, number=0, run=made.id, threshold=0.5, bundle=digest)
    version = project.stores.versions.add(other, actor="test", now_us=made.started_us)
    with pytest.raises(NotFoundError, match="a probability and a value"):
        project.past.whatif(version.ref, against=life.champion.ref, from_us=LIVE_US, to_us=SLOW_US)
    with pytest.raises(ConflictError, match="which answers with a value"):
        project.promote(version.ref)
    (found,) = [one for one in project.gates(version.ref) if one.gate == "champion"]
    assert not found.passed
    assert "it answers with a value" in found.observed


def test_files_are_scored_as_the_service_answered_each_row(life, tmp_path):
    """Law 4, that batch is HTTP, for numbers: every live answer of the champion, under the name it has there."""
    file = write_lines(tmp_path / "by-hand.jsonl", [ROW, {**ROW, "weight": "heavy"}])
    files, options = [str(file), str(life.folder / "parcels.csv")], ScoreOptions(history=True)
    scored = life.project.batch.score(life.champion.ref, files, tmp_path / "to", options)
    first, refused, *found = read(tmp_path / "to")
    assert {name: first[name] for name in life.by_hand if name != "id"} == {
        name: value for name, value in life.by_hand.items() if name != "id"
    }
    assert not {"score", "decision", "class"} & set(first)
    assert (scored.refused, refused["value"]) == (1, None)
    by_key = {one["key"]: one["value"] for one in found}
    live = life.table.select(life.table.version == life.champion.number)
    kept = np.isin(live.key.astype(str), list(by_key))
    assert kept.sum() > 300
    assert np.array([by_key[key] for key in live.key[kept].tolist()]).tobytes() == live.score[kept].tobytes()
