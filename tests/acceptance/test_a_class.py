"""The whole path of a model of three classes: trained, proved, served, recorded, replayed, compared, watched."""

import hashlib
import struct
from types import SimpleNamespace

import msgspec
import numpy as np
import onnx
import pytest
from tests.flights import Server, wait_for
from tests.scoring_rig import read, write_lines
from tests.simulated_parcels import (
    CLASS_MODEL,
    CLASSES,
    END_US,
    LIVE_US,
    OF_CLASSES,
    ROLLOUT_US,
    SLOW_US,
    write_project,
)
from tests.unit.dashboard.conftest import ask

from seakeep.cli.know import status_table, why_text
from seakeep.cli.past import replay_text, shadow_text, whatif_text
from seakeep.cli.records import prediction_table
from seakeep.clock import FixedClock
from seakeep.conversion.session import SCORE
from seakeep.dashboard.app import create_app
from seakeep.dashboard.records import RecordedPages
from seakeep.diagnosis.render import render_brief
from seakeep.errors import ConflictError, NotFoundError
from seakeep.project import open_project, stream
from seakeep.project.batch import ScoreOptions
from seakeep.project.check import check
from seakeep.recorder import query
from seakeep.recorder.compaction import compact
from seakeep.recorder.query import Query
from seakeep.records.outputs import NEVER, classes

pytestmark = pytest.mark.slow
INPUTS = [
    {"name": name, "datatype": kind, "shape": [2], "data": cells}
    for name, kind, cells in (
        ("weight", "FP64", [9.5, 3.0]),
        ("zone", "BYTES", ["far", "far"]),
        ("recent.took_7d", "FP64", [155.0, 150.0]),
    )
]
ROW = {"id": "by-hand", "sent": "2024-03-01T00:00:00Z", "weight": 9.5, "zone": "far"}


def register_turned(project, version):
    """A version that takes each class for the next, as of another run: trained and proved like the first, and wrong."""
    bundle = project.bundle(version)
    model = onnx.load_from_string(bundle.model)
    for node in model.graph.node:
        node.output[:] = ["straight" if name == SCORE else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 2, 0]), "turn"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["straight", "turn"], [SCORE], axis=1))
    content = model.SerializeToString()
    proof = msgspec.structs.replace(bundle.proof, model_sha256=hashlib.sha256(content).hexdigest())
    made = msgspec.structs.replace(bundle.run, id="r-000000000002")
    project.stores.runs.add(made, actor="test")
    digest = project.stores.bundles.put(made, content, proof, created_us=made.started_us)
    other = msgspec.structs.replace(version, number=0, bundle=digest, run=made.id)
    return project.stores.versions.add(other, actor="test", now_us=made.started_us)


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """A champion, a candidate that is wrong and taken back, and 36 days of parcels."""
    folder = tmp_path_factory.mktemp("classes") / "parcels"
    write_project(folder, OF_CLASSES)
    assert check(folder) == ()
    project = open_project(folder)
    trained = project.train(as_of_us=LIVE_US)
    champion, proof = project.convert()
    gates = project.gates(champion.ref)
    project.promote(champion.ref)
    turned = register_turned(project, champion)
    turned_gates = project.gates(turned.ref)

    def feed(server, from_us, to_us):
        plan = stream.plan(
            project._loaded, project.bundle(champion).definition, from_us=from_us, to_us=to_us, share=1.0
        )
        totals = stream.run(plan, "127.0.0.1", server.port, headers={}, on_progress=None)
        assert (totals.failed, totals.events_failed) == (0, 0), totals

    with Server(folder) as server:
        (by_hand,) = server.post(f"/v1/models/{CLASS_MODEL}/predict", {"rows": [ROW]})[1]["predictions"]
        told, document = server.get(f"/v2/models/{CLASS_MODEL}")[1], server.get("/openapi.json")[1]
        feed(server, LIVE_US, ROLLOUT_US)
        project.promote(turned.ref, override="to see it taken back")
        feed(server, ROLLOUT_US, END_US)
        (receipt,) = wait_for(lambda: project.receipts(), process=server.process)
        status = project.status()
        # Last, for tensors speak for the present moment and parcels for theirs.
        tensors = server.post(f"/v2/models/{CLASS_MODEL}/versions/{champion.number}/infer", {"inputs": INPUTS})
        one_by_one = [
            server.post(
                f"/v2/models/{CLASS_MODEL}/versions/{champion.number}/infer",
                {"inputs": [{**one, "shape": [1], "data": one["data"][row : row + 1]} for one in INPUTS]},
            )
            for row in range(2)
        ]
    table = query.load(project.home.predictions, Query(model=CLASS_MODEL), damage=[])
    shadow = project.past.shadow()
    brief, quiet = project.morning(now_us=END_US), project.morning(now_us=ROLLOUT_US)
    replay = project.past.replay()
    whatif = project.past.whatif(turned.ref, from_us=LIVE_US, to_us=SLOW_US)
    return SimpleNamespace(**locals())


def test_it_is_judged_beside_the_shares_of_the_classes_and_a_multinomial_line(life):
    made = life.trained
    assert set(made.metrics) == {"roc_auc", "log_loss", "brier", "accuracy", "macro_f1"}
    assert made.metrics["accuracy"].low < made.metrics["accuracy"].value < made.metrics["accuracy"].high
    lost = [one["log_loss"].value for one in (made.metrics, made.baselines["linear"], made.baselines["constant"])]
    assert lost == sorted(lost)
    assert made.paired["constant"].high < 0
    assert set(made.slices["zone"]["near"]) >= {"accuracy", "log_loss", "rows"}
    assert made.threshold == NEVER


def test_its_gates_are_of_classes_and_a_wrong_one_is_no_match_for_the_champion(life):
    assert all(one.passed for one in life.gates), life.gates
    assert [one.gate for one in life.gates] == ["accuracy", "baselines", "champion", "slices:zone", "parity"]
    assert "log-loss against constant -" in life.gates[1].observed
    assert [one.gate for one in life.turned_gates if not one.passed] == ["champion"]
    assert life.proof.passed
    assert life.proof.mutants == life.proof.mutants_caught > 0


def test_it_answers_with_a_class_and_the_probability_of_each_in_the_declared_order(life):
    told = life.by_hand
    assert set(told) == {"id", "key", "class", "probability", "probabilities", "version", "unknown"}
    assert tuple(told["probabilities"]) == CLASSES
    assert told["class"] == "east"
    assert told["probability"] == told["probabilities"]["east"] == max(told["probabilities"].values())
    assert sum(told["probabilities"].values()) == pytest.approx(1)


def test_the_open_inference_protocol_has_the_class_and_a_matrix(life):
    assert life.told["outputs"] == [
        {"name": "class", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3], "labels": list(CLASSES)},
    ]
    status, answer = life.tensors
    named, matrix = answer["outputs"]
    assert (status, named["data"], named["shape"], matrix["shape"]) == (200, ["east", "south"], [2], [2, 3])
    alone = [one["outputs"][1]["data"] for _, one in life.one_by_one]
    together = [struct.pack("<d", one) for one in matrix["data"]]
    assert together == [struct.pack("<d", one) for one in [*alone[0], *alone[1]]]


def test_the_document_has_the_answer(life):
    schema = life.document["components"]["schemas"]["ClassAnswer"]
    assert schema["required"] == ["id", "key", "class", "probability", "probabilities", "version", "unknown"]


def test_what_was_recorded_is_every_probability_and_the_class(life):
    table = life.table
    assert not (table.error != "").any()
    assert not table.decision.any()
    assert table.scores.shape == (len(table), 3)
    assert (table.score == table.scores.max(axis=1)).all()
    (row,) = (table.id == life.by_hand["id"]).nonzero()[0]
    assert table.scores[row].tolist() == list(life.by_hand["probabilities"].values())
    (found,) = life.project.recorder.of_key("by-hand")
    assert (found.answer, found.scores) == ("east", tuple(life.by_hand["probabilities"].values()))
    assert prediction_table([found]).splitlines()[-1].endswith("east")


def test_it_is_executed_again_bit_for_bit(life):
    assert life.replay.holds
    assert life.replay.rows > 300
    assert "bit for bit" in replay_text(life.replay)
    why = life.project.why(life.by_hand["id"])
    assert why.equal
    assert why.recomputed == life.by_hand["probability"]
    assert "class     east, one of south, east, north" in why_text(why)


def test_another_version_in_replay_tells_how_many_classes_are_others(life):
    beside = next(one for one in life.project.past.replay(life.turned.ref).versions if one.version == 1)
    assert beside.decisions == beside.rows > 300
    assert beside.equal == 0


def test_a_what_if_tells_which_classes_would_change_and_whether_they_would_be_right(life):
    found = life.whatif
    assert found.outputs == classes(*CLASSES)
    assert found.decisions.up + found.decisions.down == found.rows > 300
    assert found.outcomes.down > 0.7 * found.outcomes.rows
    assert found.candidate.confusion is None
    assert found.differences["accuracy"].high < -0.5
    text = whatif_text(found)
    assert "another class" in text
    assert "macro_f1" in text
    assert "alerts" not in text


def test_a_candidate_that_is_wrong_is_taken_back_by_its_brier_score(life):
    assert life.receipt.outcome == "rolled-back"
    assert "it is worse: Brier score" in life.receipt.reason
    assert set(life.shadow.differences) == {"confidence", "brier"}
    assert life.shadow.differences["brier"].low > 0
    assert "classes " in shadow_text(life.shadow)


def test_a_quiet_morning_tells_the_quality_and_that_nothing_is_estimated(life):
    brief = life.quiet
    assert brief.estimate is None
    assert brief.verdict.cause == "cannot-tell"
    assert "predicted classes is not estimated" in brief.verdict.headline
    assert not [line for line in brief.lines if line.kind in {"quality", "alert-rate"}]
    assert brief.quality.labelled > 50
    assert abs(brief.quality.metrics["accuracy"].value - brief.quality.accepted["accuracy"].value) < 0.15
    text = " ".join(render_brief(brief).split())
    assert "nothing is estimated" in text
    assert "accuracy" in text


def test_a_morning_after_the_world_changed_says_how_much_less_it_is_right(life):
    (line,) = [one for one in life.brief.lines if one.kind == "quality"]
    assert (line.subject, line.now > 1.5 * line.before) == ("log_loss", True)
    assert "the class was right in" in line.sentence
    assert life.brief.page


def test_the_status_tells_the_quality(life):
    one = next(row for row in life.status if row.version == life.champion.number)
    assert one.quality.labelled > 50
    assert f"{life.champion.ref}  log_loss " in status_table(life.status)


def test_the_dashboard_shows_classes(life):
    pages = RecordedPages(life.project, clock=FixedClock(END_US))
    try:
        app = create_app(pages, name="parcels")
        (row,) = pages.now().models
        assert (row.quality_metric, row.estimated, row.alert_rate) == ("accuracy", None, None)
        page = pages.model(CLASS_MODEL, LIVE_US, END_US)
        assert {one.answer for one in page.recent} <= set(CLASSES)
        assert {one.decision for one in page.recent} == {None}
        assert any("accuracy" in window.realised for window in page.quality)
        assert "north" in ask(app, f"/models/{CLASS_MODEL}?from=2024-03-01&to=2024-04-06").text
        one = next(one for one in page.recent if pages.prediction(one.id).outcome)
        assert pages.prediction(one.id).outcome.value in CLASSES
        shown = ask(app, f"/predictions/{one.id}").text
        assert f"It answered {one.answer}" in shown
        assert "Bit-equal" in shown
    finally:
        pages.close()


def test_the_command_line_tells_what_is_answered(life, seakeep):
    told = seakeep("model", "show", life.champion.ref, "--project", life.folder)
    assert "answers with a class of south, east, north" in told.out


def test_months_of_classes_are_not_judged(life):
    with pytest.raises(NotFoundError, match="predicts classes"):
        life.project.months(now_us=END_US)


def test_a_version_of_other_classes_is_not_compared(life):
    project, bundle = life.project, life.project.bundle(life.champion)
    label = msgspec.structs.replace(bundle.definition.label, answers=classes("east", "south", "north"))
    definition = msgspec.structs.replace(bundle.definition, label=label)
    made = msgspec.structs.replace(bundle.run, id="r-00000000000f", definition=definition)
    project.stores.runs.add(made, actor="test")
    digest = project.stores.bundles.put(made, bundle.model, bundle.proof, created_us=made.started_us)
    other = msgspec.structs.replace(life.champion, number=0, run=made.id, bundle=digest)
    version = project.stores.versions.add(other, actor="test", now_us=made.started_us)
    with pytest.raises(ConflictError, match="class of south, east, north"):
        project.promote(version.ref)


def test_parquet_keeps_every_bit(life):
    compact(life.project.home.predictions)
    assert list(life.project.home.predictions.glob("*.parquet"))
    again = query.load(life.project.home.predictions, Query(model=CLASS_MODEL), damage=[])
    order, before = np.argsort(again.id.astype(str)), np.argsort(life.table.id.astype(str))
    assert again.scores[order].tobytes() == life.table.scores[before].tobytes()
    (found,) = life.project.recorder.of_key("by-hand")
    assert (found.answer, found.scores) == ("east", tuple(life.by_hand["probabilities"].values()))
    assert life.project.past.replay().holds


def test_files_are_scored_as_the_service_answered_each_row(life, tmp_path):
    """Law 4, that batch is HTTP, for classes: every live answer of the champion, under the names that it has there."""
    file = write_lines(tmp_path / "by-hand.jsonl", [ROW, {**ROW, "weight": "heavy"}])
    files, options = [str(file), str(life.folder / "parcels.csv")], ScoreOptions(history=True)
    scored = life.project.batch.score(life.champion.ref, files, tmp_path / "to", options)
    first, refused, *found = read(tmp_path / "to")
    assert list(first)[3:6] == ["class", "probability", "probabilities"]
    assert {name: first[name] for name in life.by_hand if name != "id"} == {
        name: value for name, value in life.by_hand.items() if name != "id"
    }
    assert list(first["probabilities"]) == list(CLASSES)
    assert scored.refused == 1
    assert refused["class"] is refused["probability"] is refused["probabilities"] is None
    assert "'weight'" in refused["error"]
    by_key = {one["key"]: one for one in found}
    live = life.table.select(life.table.version == life.champion.number)
    live = live.select(np.isin(live.key.astype(str), list(by_key)))
    answered = [by_key[key] for key in live.key.tolist()]
    assert len(answered) > 300
    assert [one["class"] for one in answered] == [CLASSES[place] for place in live.scores.argmax(axis=1)]
    assert [one["probability"] for one in answered] == live.scores.max(axis=1).tolist()
    of_each = np.array([list(one["probabilities"].values()) for one in answered])
    assert of_each.tobytes() == live.scores.tobytes()
