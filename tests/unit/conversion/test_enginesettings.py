import numpy as np
import pytest
from onnx import helper, load_from_string
from sklearn.linear_model import LogisticRegression

from seakeep.conversion.emit.model import emit
from seakeep.conversion.enginesettings import SETTINGS, EngineSettings, executed, settings_of
from seakeep.conversion.session import ScoringSession
from seakeep.errors import IntegrityError
from seakeep.records.feature import FeatureColumn
from seakeep.records.optimise import Recipe


@pytest.fixture(scope="module")
def model():
    numbers = np.random.default_rng(0).normal(size=(50, 2))
    fitted = LogisticRegression().fit(numbers, (numbers[:, 0] > 0).astype(int))
    return emit(fitted, [FeatureColumn(name=name, kind="number") for name in "ab"]).model


def options(session):
    found = session._session.get_session_options()
    return found.intra_op_num_threads, found.graph_optimization_level.name


def test_a_model_that_says_nothing_is_executed_by_one_thread_and_rewritten_fully(model):
    assert executed(model, EngineSettings()) == model
    assert options(ScoringSession(model)) == (1, "ORT_ENABLE_ALL")


def test_a_model_is_executed_as_it_says_wherever_it_is_loaded(model):
    changed = executed(model, EngineSettings(threads=2, level="basic"))
    assert changed == executed(model, EngineSettings(threads=2, level="basic")) != model
    session = ScoringSession(changed)
    assert options(session) == (2, "ORT_ENABLE_BASIC")
    numbers, none = np.array([[0.5, -1.0]]), np.empty((1, 0), dtype=object)
    assert session.score(numbers, none) == ScoringSession(model).score(numbers, none)


@pytest.mark.parametrize("settings", ['{"level": "wild"}', '{"threads": 0}', '{"threads": 1000000}', "{"])
def test_settings_that_are_not_known_are_refused(model, settings):
    told = load_from_string(model)
    helper.set_model_props(told, {SETTINGS: settings})
    with pytest.raises(IntegrityError, match="what is not known") as caught:
        ScoringSession(told.SerializeToString())
    assert caught.value.hint


def test_a_recipe_of_another_maker_says_nothing_of_the_engine():
    assert settings_of(Recipe(by="engine", told="", settings={"threads": 2})) == EngineSettings(threads=2)
    assert settings_of(Recipe(by="trees", told="", settings={"trees": 2})) == EngineSettings()
