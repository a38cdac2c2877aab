"""Models of LightGBM, in the form of :mod:`benchmarks.zoo.scikit_learn`."""

from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from . import own

SETTINGS = {"verbose": -1, "num_leaves": 15, "min_child_samples": 5}


class Early(LGBMClassifier):
    """A shorthand whose ``fit`` holds back the last rows to stop early; it gives a plain classifier."""

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        """Fit, and return the plain classifier."""
        cut = len(X) * 3 // 4
        stop = early_stopping(2, verbose=False)
        return LGBMClassifier(**self.get_params()).fit(
            X[:cut], y[:cut], eval_set=[(X[cut:], y[cut:])], callbacks=[stop]
        )


def classifier(size, **settings):
    """A small classifier."""
    return LGBMClassifier(n_estimators=size, **SETTINGS, **settings)


def regression(size, **settings):
    """A small regression."""
    return LGBMRegressor(n_estimators=size, **SETTINGS, **settings)


def native(size, **settings):
    """Categories split natively, on codes."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("text", encoder, ["place"])], remainder="passthrough")
    return make_pipeline(columns, classifier(size, categorical_feature=[0], min_data_per_group=5, **settings))


SAMPLED = {"bagging_freq": 1, "bagging_fraction": 0.6}
MODELS = {
    "LightGBM": (classifier, "missing", "binary"),
    "LightGBM without missing values": (classifier, "plain", "binary"),
    "LightGBM, missing values are 0": (lambda n: classifier(n, use_missing=False), "missing", "binary"),
    "LightGBM, 0 is missing": (lambda n: classifier(n, zero_as_missing=True), "missing", "binary"),
    "LightGBM, three classes": (classifier, "missing", "three"),
    "LightGBM, one against all": (lambda n: classifier(n, objective="multiclassova"), "missing", "three"),
    "LightGBM, steeper": (lambda n: classifier(n, sigmoid=2.0), "missing", "binary"),
    "LightGBM forest": (lambda n: classifier(n, boosting_type="rf", **SAMPLED), "missing", "binary"),
    "LightGBM forest, three classes": (lambda n: classifier(n, boosting_type="rf", **SAMPLED), "missing", "three"),
    "LightGBM, dart": (lambda n: classifier(n, boosting_type="dart", drop_rate=0.3), "missing", "binary"),
    "LightGBM, native categories": (lambda n: native(n, cat_smooth=1, max_cat_to_onehot=1), "mixed", "binary"),
    "LightGBM, native categories, one at a time": (lambda n: native(n, max_cat_to_onehot=10), "mixed", "binary"),
    "LightGBM, linear leaves": (lambda n: classifier(n, linear_tree=True), "missing", "binary"),
    "LightGBM, linear leaves, three classes": (lambda n: classifier(n, linear_tree=True), "missing", "three"),
    "LightGBM, linear leaves, value": (lambda n: regression(n, linear_tree=True), "plain", "value"),
    "LightGBM, stopped early": (lambda n: Early(n_estimators=n * 3, **SETTINGS), "missing", "binary"),
    "LightGBM, stacked": (
        lambda n: StackingClassifier([("a", classifier(n))], final_estimator=LogisticRegression(), cv=2),
        "missing",
        "binary",
    ),
    "LightGBM, root of the target": (lambda n: regression(n, reg_sqrt=True), "missing", "value"),
} | {
    f"LightGBM, {objective}": (lambda n, objective=objective: regression(n, objective=objective), "missing", target)
    for objective, target in (
        ("regression", "value"),
        ("regression_l1", "value"),
        ("huber", "value"),
        ("fair", "value"),
        ("quantile", "value"),
        ("mape", "positive"),
        ("poisson", "positive"),
        ("gamma", "positive"),
        ("tweedie", "positive"),
        ("cross_entropy", "binary"),
        ("cross_entropy_lambda", "binary"),
    )
}
REFUSED = {
    "LightGBM, objective of one's own": (
        lambda n: regression(n, objective=own.squares),
        "plain",
        "value",
    ),
    "LightGBM, trees left out": (lambda n: classifier(n, pred_early_stop=True), "plain", "binary"),
}
MODELS |= REFUSED
