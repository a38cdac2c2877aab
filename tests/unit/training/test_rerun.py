import msgspec
import pytest

from seakeep.errors import RerunMismatch
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, mean
from seakeep.records.model import Label, ModelDefinition, Threshold, TopShare
from seakeep.records.run import Environment, Run
from seakeep.records.source import Events
from seakeep.training.rerun import check_rerun, differences

ASKED, TOLD = Events("asked", time="at", key="id"), Events("told", time="at", key="id")


def definition(**changes):
    base = ModelDefinition(
        name="example",
        request=ASKED,
        views=(FeatureView("recent", TOLD, "shop", {"rate": mean(col("x") > 15, over=["1d", "7d"])}),),
        request_features={"size": col("size")},
        label=Label(TOLD, col("x") > 15),
        decision=TopShare(0.1),
    )
    return msgspec.structs.replace(base, **changes)


ENVIRONMENT = Environment(python="CPython 3.11.7", platform="Linux x86_64", cpu="A avx2", packages={"numpy": "2.4.6"})


def run(**changes):
    base = Run(
        id="r-1", model="example", started_us=0, seconds=1.0, seed=0, as_of_us=10**15, validate_from_us=9 * 10**14,
        dataset="a" * 64, code={"project.py": "1" * 64}, definition=definition(), definition_digest="",
        environment=ENVIRONMENT, rows_trained=1, rows_validated=1, threshold=0.5, metrics={}, baselines={}, paired={},
        slices={}, artefact="f" * 64,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def test_equal_bytes_are_accepted_whatever_else_differs():
    check_rerun(run(), run(code={"project.py": "2" * 64}, id="r-2"))


def test_other_bytes_with_other_code_name_the_file():
    with pytest.raises(RerunMismatch, match=r"code file project.py 111111111111 -> 222222222222") as caught:
        check_rerun(run(), run(artefact="e" * 64, code={"project.py": "2" * 64}))
    assert caught.value.differences == ("code file project.py 111111111111 -> 222222222222",)


def test_other_bytes_without_another_input_are_said_to_be_just_that():
    with pytest.raises(RerunMismatch, match="no recorded input differs: the training is not deterministic") as caught:
        check_rerun(run(), run(artefact="e" * 64))
    assert caught.value.differences == ()
    assert "random_state" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "b" * 64}, "dataset aaaaaaaaaaaa -> bbbbbbbbbbbb"),
        ({"seed": 1}, "seed 0 -> 1"),
        ({"threads": 2}, "threads 1 -> 2"),
        ({"trainer": "other"}, "trainer '' -> 'other'"),
        ({"code": {"project.py": "1" * 64, "new.py": "2"}}, "code file new.py was added"),
        ({"code": {}}, "code file project.py was removed"),
        ({"as_of_us": 10**15 + 10**6}, "as_of 2001-09-09T01:46:40Z -> 2001-09-09T01:46:41Z"),
    ],
)
def test_each_differing_input_has_its_sentence(change, sentence):
    assert differences(run(), run(**change)) == (sentence,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"packages": {"numpy": "2.4.7"}}, "package numpy 2.4.6 -> 2.4.7"),
        ({"packages": {"numpy": "2.4.6", "pandas": "3"}}, "package pandas was added"),
        ({"python": "CPython 3.12.1"}, "Python CPython 3.11.7 -> CPython 3.12.1"),
        ({"cpu": "B avx512f"}, "hardware class A avx2 -> B avx512f"),
        ({"platform": "Linux aarch64"}, "platform Linux x86_64 -> Linux aarch64"),
    ],
)
def test_each_difference_of_the_environment_has_its_sentence(change, sentence):
    other = msgspec.structs.replace(ENVIRONMENT, **change)
    assert differences(run(), run(environment=other)) == (sentence,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"decision": TopShare(0.2)}, "definition.decision.share 0.1 -> 0.2"),
        ({"decision": Threshold(0.5)}, "definition.decision.decision"),
        ({"request_features": {}}, "definition.request_features.size was removed"),
        ({"views": ()}, "definition.views"),
        (
            {"views": (FeatureView("recent", TOLD, "shop", {"rate": mean(col("x") > 30, over=["1d", "7d"])}),)},
            "definition.views.recent.features.rate.value.right.value 15.0 -> 30.0",
        ),
        (
            {"views": (FeatureView("recent", TOLD, "shop", {"rate": mean(col("x") > 15, over=["7d"])}),)},
            'definition.views.recent.features.rate.windows ["1d","7d"] -> ["7d"]',
        ),
    ],
)
def test_a_changed_definition_says_where(change, sentence):
    found = differences(run(), run(definition=definition(**change)))
    assert any(one.startswith(sentence) for one in found), found


def test_the_order_of_views_is_an_input():
    one, other = (FeatureView(name, TOLD, "shop", {}) for name in ("one", "other"))
    found = differences(run(definition=definition(views=(one, other))), run(definition=definition(views=(other, one))))
    assert found == ("definition.views stand in another order",)


def test_many_differences_are_cut_in_the_message_but_not_in_the_list():
    code = {f"f{number:02}.py": "1" for number in range(40)}
    with pytest.raises(RerunMismatch, match="and 20 more") as caught:
        check_rerun(run(code=code), run(code=dict.fromkeys(code, "2"), artefact="e" * 64))
    assert len(caught.value.differences) == 40
