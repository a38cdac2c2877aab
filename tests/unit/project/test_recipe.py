import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from seakeep.conversion.emit.model import emit
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConfigError
from seakeep.project.recipe import recipe_for
from seakeep.records.feature import FeatureColumn

ESTIMATORS = {
    "sklearn.ensemble.HistGradientBoostingClassifier": True,
    "sklearn.ensemble.RandomForestClassifier": True,
    "sklearn.linear_model.LogisticRegression": False,
    "sklearn.tree.DecisionTreeClassifier": True,
}


def frame(categories, numbers):
    rng = np.random.default_rng(0)
    columns = {name: np.where(rng.random(200) < 0.1, np.nan, rng.normal(size=200)) for name in numbers}
    columns |= {name: rng.choice(["red", "it's", "grün"], 200) for name in categories}
    return pd.DataFrame(columns), np.arange(200) % 2


class Given:
    """The frame that a train function is given, as far as the lines ask it."""

    def __init__(self, categories, numbers):
        self.columns = [FeatureColumn(name=name, kind="category") for name in categories]
        self.columns += [FeatureColumn(name=name, kind="number") for name in numbers]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("categories", "numbers"), [(["c"], ["x", "y"]), ([], ["x"]), (["c", "d"], [])], ids=["both", "numbers", "texts"]
)
def test_the_written_lines_make_an_estimator_that_learns_with_missing_and_unseen_values(estimator, categories, numbers):
    recipe = recipe_for(estimator, categories=bool(categories), numbers=bool(numbers))
    assert recipe.missing is ESTIMATORS[estimator]
    scope = {"frame": Given(categories, numbers)}
    rows, label = frame(categories, numbers)
    exec("\n".join([*recipe.imports, *recipe.body()]), scope)
    with threadpool_limits(1):
        model = scope["model"].fit(rows, label)
    if categories:
        rows.loc[0, categories[0]] = "never seen"
    assert np.isfinite(model.predict_proba(rows)).all()


@pytest.mark.parametrize("estimator", list(ESTIMATORS)[::2])
@pytest.mark.parametrize(("categories", "numbers"), [([], ["x"]), (["c"], [])], ids=["numbers", "texts"])
def test_they_learn_as_well_without_inputs_of_a_kind_as_a_search_for_fewer_tries(estimator, categories, numbers):
    recipe = recipe_for(estimator, categories=True, numbers=True)
    scope = {"frame": Given(categories, numbers)}
    exec("\n".join([*recipe.imports, *recipe.body()]), scope)
    rows, label = frame(categories, numbers)
    with threadpool_limits(1):
        model = scope["model"].fit(rows, label)
    emitted = emit(model, scope["frame"].columns)
    told = ScoringSession(emitted.model).score(rows[numbers].to_numpy(np.float64), rows[categories].to_numpy(object))
    np.testing.assert_allclose(told, model.predict_proba(rows)[:, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nothing_is_imported_in_vain(estimator):
    for categories, numbers in ((["c"], ["x"]), ([], ["x"]), (["c"], [])):
        recipe = recipe_for(estimator, categories=bool(categories), numbers=bool(numbers))
        text = "\n".join(recipe.body())
        for line in recipe.imports:
            for name in line.partition(" import ")[2].split(", "):
                assert f"{name}(" in text, (name, text)


def test_what_draws_by_chance_is_seeded():
    assert recipe_for("sklearn.ensemble.RandomForestClassifier", categories=False, numbers=True).call.endswith(
        "(random_state=0)"
    )


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        ("LogisticRegression", "cannot import 'LogisticRegression'"),
        ("", "cannot import ''"),
        ("sklearn.nowhere.Model", "cannot import 'sklearn.nowhere.Model'"),
        ("sklearn.linear_model.Nothing", "cannot import"),
        ("sklearn.cluster.KMeans", "is not a class of classifiers"),
        ("sklearn.datasets.load_iris", "is not a class of classifiers"),
        ("sklearn.semi_supervised.LabelSpreading", "can be trained, but not converted"),
        ("sklearn.gaussian_process.GaussianProcessClassifier", "can be trained, but not converted"),
        ("sklearn.pipeline.Pipeline", "is not a class of classifiers|can be trained, but not converted"),
    ],
)
def test_what_is_no_classifier_is_refused(estimator, message):
    with pytest.raises(ConfigError, match=message) as caught:
        recipe_for(estimator, categories=False, numbers=True)
    assert "sklearn." in caught.value.hint or "LogisticRegression" in caught.value.hint


def test_the_cause_of_a_failed_import_is_told_once():
    with pytest.raises(ConfigError) as caught:
        recipe_for("sklearn.nowhere.Model", categories=False, numbers=True)
    assert str(caught.value.__cause__) not in caught.value.message
