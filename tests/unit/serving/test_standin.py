"""What stands in may itself fail: the next rung is asked, and whatever comes of it nobody is left without an answer."""

import dataclasses

import msgspec
import pytest
from tests.serving_rig import TROUBLE, definition, onnx_model
from tests.serving_runs import row

from seakeep.config import ModelSettings
from seakeep.errors import FeaturesError
from seakeep.records.expression import as_node, col
from seakeep.records.outputs import number
from seakeep.serving.routing import Traffic

TROUBLES = [onnx_model(nan_below=TROUBLE), onnx_model(trouble="error")]


@pytest.fixture
def make_poor(make_plane, rig):
    """A plane whose store does not answer any more, and that remembers all."""

    def made(model, of=None):
        plane = make_plane(models={"late": ModelSettings(stale_s=600)})
        plane.serve(rig.load(rig.put(1, model=model, of=of)))
        assemble = plane.features.assemble

        def down(*_):
            raise FeaturesError("down")

        plane.features.assemble = down
        plane.features.recall = lambda definition, table, times_us, _age: assemble(definition, table, times_us)
        return plane

    return made


@pytest.mark.parametrize("model", TROUBLES, ids=["gives NaN", "raises"])
def test_older_features_with_which_the_model_fails_cost_the_request_at_fault_alone(make_poor, model, caplog):
    plane = make_poor(model)
    calls = [plane.ask(row(f"k{n}", 2 * TROUBLE if n == 1 else 5.0)) for n in range(3)]
    plane.finish()
    assert plane.replies == calls
    assert [call.error.code if call.error else "" for call in calls] == ["", "features", ""]
    assert [[one.rung for one in call.answers] for call in calls] == [["stale"], [], ["stale"]]
    assert plane.dataplane.in_flight == 0


@pytest.mark.parametrize("model", TROUBLES, ids=["gives NaN", "raises"])
def test_where_older_features_do_not_help_the_rule_is_asked(make_poor, model, caplog):
    plane = make_poor(model, msgspec.structs.replace(definition(), rule=as_node(col("distance") / (4 * TROUBLE))))
    call = plane.ask(row("k", 2 * TROUBLE))
    plane.finish()
    assert [(one.rung, one.score) for one in call.answers] == [("rule", 0.5)]


def test_what_stands_in_for_many_is_computed_together(make_poor, monkeypatch):
    plane = make_poor(onnx_model())
    calls = [plane.ask(row(f"k{n}")) for n in range(20)]
    sizes, recalled = [], plane.runner.recalled
    monkeypatch.setattr(plane.runner, "recalled", lambda parts, age: sizes.append(len(parts)) or recalled(parts, age))
    plane.finish()
    assert [call.answers[0].rung for call in calls] == ["stale"] * 20
    assert sizes == [20]
    failed, stale = plane.sink.records[:20], plane.sink.records[20:]
    assert [record.pair for record in stale] == [record.id for record in failed]


def test_a_smaller_version_that_fails_for_one_stands_in_for_the_others(plane, rig, caplog):
    broken = rig.load(rig.put(2, model=onnx_model(trouble="error")))
    smaller = rig.load(rig.put(3, model=onnx_model(nan_below=3 * TROUBLE)))
    plane.dataplane.traffic = {"late": Traffic(broken, standby=smaller)}
    calls = [plane.ask(row(f"k{n}", (4 if n == 1 else 2) * TROUBLE)) for n in range(4)]
    plane.finish()
    assert [call.answers[0].rung if call.answers else call.error.code for call in calls] == [
        "standby", "internal", "standby", "standby",
    ]  # fmt: skip


@pytest.mark.parametrize("given", [True, False])
def test_a_version_of_another_kind_that_a_switch_left_standing_by_stands_in_for_nothing(
    plane, rig, direct_inputs, given
):
    broken = rig.load(rig.put(2, model=onnx_model(trouble="error")))
    champion, before = dataclasses.replace(broken, outputs=number()), rig.load(rig.put(3))
    plane.dataplane.traffic = {"late": Traffic(champion, standby=before)}
    inputs = {"direct": direct_inputs(2 * TROUBLE), "version": champion}
    call = plane.ask(**inputs) if given else plane.ask(row("k", 2 * TROUBLE))
    plane.finish()
    assert (call.error.code, call.answers) == ("internal", [])
