import dataclasses

import msgspec
import numpy as np
import pytest
from tests.serving_rig import COLUMNS, definition, onnx_model

from seakeep.errors import IntegrityError, PlatformError, RowError
from seakeep.records.feature import FeatureColumn
from seakeep.records.release import Route
from seakeep.serving.batching import ALONE, Cost, Plan, plan
from seakeep.serving.loaded import load


def summing_up(*beside):
    """A model whose score is the sum of a row's numbers; with a node ``beside`` it, of all rows' numbers too."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("ReduceSum", ["numbers", "axis"], ["sum" if beside else "score"], keepdims=0)]
    nodes += [*beside, helper.make_node("Add", ["sum", "all"], ["score"])] if beside else []
    graph = helper.make_graph(
        nodes,
        "sum",
        [
            helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", 2]),
            helper.make_tensor_value_info("categories", TensorProto.STRING, ["n", 1]),
        ],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["n"])],
        [helper.make_tensor("axis", TensorProto.INT64, (1,), [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def test_a_version_knows_its_inputs_in_the_order_of_the_model(rig):
    version = rig.load(rig.put(7))
    assert (version.model, version.number, version.threshold) == ("late", 7, 0.5)
    assert version.numbers == ("carrier_recent.late_1h", "distance")
    assert version.categories == ("carrier",)


def test_versions_of_one_definition_share_their_inputs_and_others_do_not(rig):
    one, same, other = rig.put(1), rig.put(2), rig.put(3, of=definition(version=2))
    digests = [rig.load(route).inputs for route in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_rows_get_the_same_bits_alone_and_together_whatever_the_engine_does(rig):
    version = rig.load(rig.put(1))
    rng = np.random.default_rng(3)
    for count in (1, 2, 3, 8, 63, 200):
        numbers = rng.normal(0, 500, (count, 2))
        categories = rng.choice(["AA", "UA", ""], (count, 1)).astype(object)
        together = version.score(numbers, categories)
        alone = [version.score(numbers[row : row + 1], categories[row : row + 1])[0] for row in range(count)]
        assert together.tobytes() == np.array(alone).tobytes()
        assert together.shape == (count,)


@pytest.mark.parametrize("bias", [0.0, 0.5, -1.0, 1.0, 2.0])
def test_a_model_of_which_the_last_bits_of_few_rows_depend_on_the_others_scores_each_alone(rig, bias):
    version = rig.load(rig.put(1, model=onnx_model(bias)))
    numbers, categories = np.random.default_rng(7).normal(0, 500, (3000, 2)), np.full((3000, 1), "AA", dtype=object)
    together = version.session.score(numbers, categories)
    alone = [version.session.score(numbers[row : row + 1], categories[row : row + 1])[0] for row in range(3000)]
    assert (version.plan == ALONE) >= bool((together != alone).any())


@pytest.mark.parametrize("most", [1, 2, 7, 200, 4096])
def test_rows_get_the_same_bits_whatever_the_plan_gives_the_engine_at_once(rig, most):
    version = rig.load(rig.put(1))
    numbers = np.random.default_rng(3).normal(0, 500, (200, 2))
    categories = np.full((200, 1), "UA", dtype=object)
    parts = dataclasses.replace(version, plan=Plan(most=most))
    assert parts.score(numbers, categories).tobytes() == version.score(numbers, categories).tobytes()


class Costs:
    def __init__(self):
        self.kept, self.asked = {}, []

    def get(self, bundle):
        self.asked.append(bundle)
        return self.kept.get(bundle)

    def put(self, bundle, cost):
        self.kept[bundle] = cost


def test_a_version_is_measured_once_on_a_host_and_then_never_again(rig):
    from tests.serving_rig import FileFeatures, RequestDecoder

    features, costs, route = FileFeatures(rig.folder / "features.jsonl"), Costs(), rig.put(1, model=summing_up())
    one = load(route, bundles=rig.bundles, features=features, decoders=RequestDecoder, costs=costs)
    cost = costs.kept[route.bundle]
    assert cost.rows[0] == 1
    assert one.plan == plan(cost)
    costs.kept[route.bundle] = Cost((1, 2), (1.0, 1.1))
    again = load(route, bundles=rig.bundles, features=features, decoders=RequestDecoder, costs=costs)
    assert (again.plan.most, again.plan.enough) == (2, 2)
    assert again.plan.patience_s == pytest.approx(0.45)
    assert costs.asked == [route.bundle] * 2


def test_a_model_whose_answers_depend_on_the_rows_beside_them_is_given_one_row_at_a_time(rig):
    from onnx import helper
    from tests.serving_rig import FileFeatures, RequestDecoder

    beside = helper.make_node("ReduceSum", ["numbers"], ["all"], keepdims=0)
    costs, route = Costs(), rig.put(1, model=summing_up(beside))
    features = FileFeatures(rig.folder / "features.jsonl")
    version = load(route, bundles=rig.bundles, features=features, decoders=RequestDecoder, costs=costs)
    assert version.plan == ALONE
    assert costs.kept == {}


def test_its_features_are_kept_from_the_moment_it_is_loaded(rig):
    from tests.serving_rig import FileFeatures, RequestDecoder

    features = FileFeatures(rig.folder / "features.jsonl")
    version = load(rig.put(1), bundles=rig.bundles, features=features, decoders=RequestDecoder)
    assert features.added == [version.definition]


@pytest.mark.parametrize(
    ("definition_", "model", "told"),
    [
        (definition("other"), onnx_model(), "is of model 'other', not of 'late'"),
        (definition(), b"", "the model cannot be loaded"),
        (definition(), b"\x08\x09garbage", "the model cannot be loaded"),
        (definition(), onnx_model()[:-40], "the model cannot be loaded"),
        (
            msgspec.structs.replace(definition(), columns=(*COLUMNS, FeatureColumn(name="x", kind="number"))),
            onnx_model(),
            "does not take its own inputs",
        ),
    ],
    ids=["another model", "empty", "garbage", "cut off", "too many columns"],
)
def test_what_cannot_answer_is_not_loaded_and_its_features_are_not_kept(rig, definition_, model, told):
    from tests.serving_rig import FileFeatures, RequestDecoder

    digest = rig.bundles.put(definition_, model)
    route = Route(model="late", version=1, bundle=digest, role="champion", weight=1.0)
    features = FileFeatures(rig.folder / "features.jsonl")
    with pytest.raises(IntegrityError, match=told):
        load(route, bundles=rig.bundles, features=features, decoders=RequestDecoder)
    assert features.added == []


def test_a_model_that_does_not_give_one_score_a_row_is_not_loaded(rig):
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["numbers"], ["score"], axes=[0, 1], keepdims=0)],
        "mean",
        [
            helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", 2]),
            helper.make_tensor_value_info("categories", TensorProto.STRING, ["n", 1]),
        ],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    with pytest.raises(IntegrityError, match="does not give one score a row"):
        rig.load(rig.put(1, model=model.SerializeToString()))


def test_a_bundle_that_was_changed_is_not_loaded(rig):
    route = rig.put(1)
    path = rig.folder / "bundles" / route.bundle
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(IntegrityError, match="not what was signed"):
        rig.load(route)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (b'{"flight_id": "f1"}', "f1"),
        (b'{"distance": [[{}]], "flight_id": "\\u00e9"}', "\u00e9"),
        (b'{"flight_id": 5}', "5"),
        (b'{"flight_id": null}', ""),
        (b'{"flight_id": ""}', ""),
        (b"{}", ""),
    ],
)
def test_the_key_of_a_row_is_read_without_the_rest(rig, row, key):
    assert rig.load(rig.put(1)).key_of(msgspec.Raw(row)) == key


@pytest.mark.parametrize("row", [b"7", b"[]", b"", b"null", b'{"flight_id": ', b'{"flight_id": "\xff"}', b"[" * 10_000])
def test_a_row_without_a_readable_key_is_the_client_s_fault(rig, row):
    with pytest.raises(RowError, match="a row cannot be read"):
        rig.load(rig.put(1)).key_of(msgspec.Raw(row))


def test_a_model_whose_rows_have_no_key_gives_none(rig):
    keyless = msgspec.structs.replace(definition(), request=msgspec.structs.replace(definition().request, key=""))
    assert rig.load(rig.put(1, of=keyless)).key_of(msgspec.Raw(b"7")) == ""


def test_a_version_whose_accelerator_is_not_here_is_refused_with_what_is_missing(rig):
    from seakeep.conversion.enginesettings import EngineSettings, executed
    from seakeep.conversion.providers import providers

    if providers()[1].usable:
        pytest.skip("CUDA is usable here")
    with pytest.raises(PlatformError, match="cuda is not usable here") as caught:
        rig.load(rig.put(1, model=executed(onnx_model(), EngineSettings(accelerator="cuda"))))
    assert caught.value.hint
