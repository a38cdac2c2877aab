"""Models of CatBoost, in the form of :mod:`benchmarks.zoo.scikit_learn`."""

import numpy as np
from catboost import CatBoostClassifier, CatBoostRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

QUIET = {"verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
WORDS = {"dictionary_id": "Word", "occurrence_lower_bound": "1"}
"""A dictionary of every word, however rare."""


class Early(CatBoostClassifier):
    """A shorthand whose ``fit`` holds back the last rows to stop early; it gives a plain classifier."""

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        """Fit, and return the plain classifier."""
        cut = len(X) * 3 // 4
        model = CatBoostClassifier(**self.get_params())
        return model.fit(X[:cut], y[:cut], eval_set=(X[cut:], y[cut:]))


class Labels(CatBoostClassifier):
    """A shorthand whose ``fit`` predicts a label and its opposite; it gives a plain classifier."""

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        """Fit, and return the plain classifier."""
        return CatBoostClassifier(**self.get_params()).fit(X, np.column_stack([y, 1 - y]))


def classifier(size, **settings):
    """A quiet classifier of so many trees."""
    return CatBoostClassifier(iterations=size, **{"depth": 4} | QUIET | settings)


def regressor(size, **settings):
    """A quiet regressor of so many trees."""
    return CatBoostRegressor(iterations=size, depth=4, **QUIET | settings)


def codes():
    """The text column as codes, beside the numbers."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("text", encoder, ["place"])], remainder="passthrough")


MODELS = {
    "CatBoost": (classifier, "missing", "binary"),
    "CatBoost, missing highest": (lambda n: classifier(n, nan_mode="Max"), "missing", "binary"),
    "CatBoost, missing forbidden": (lambda n: classifier(n, nan_mode="Forbidden"), "plain", "binary"),
    "CatBoost, depthwise": (lambda n: classifier(n, grow_policy="Depthwise"), "missing", "binary"),
    "CatBoost, depthwise, missing highest": (
        lambda n: classifier(n, grow_policy="Depthwise", nan_mode="Max"),
        "missing",
        "binary",
    ),
    "CatBoost, by loss": (lambda n: classifier(n, grow_policy="Lossguide", max_leaves=9), "missing", "binary"),
    "CatBoost, three classes": (classifier, "missing", "codes"),
    "CatBoost, three classes, depthwise": (lambda n: classifier(n, grow_policy="Depthwise"), "missing", "codes"),
    "CatBoost, one against all": (lambda n: classifier(n, loss_function="MultiClassOneVsAll"), "missing", "codes"),
    "CatBoost, stopped early": (
        lambda n: Early(iterations=n * 3, depth=4, early_stopping_rounds=2, learning_rate=0.5, **QUIET),
        "missing",
        "binary",
    ),
    "CatBoost after codes": (lambda n: make_pipeline(codes(), classifier(n)), "mixed", "binary"),
    "CatBoost after a scaler": (
        lambda n: make_pipeline(SimpleImputer(), StandardScaler(), classifier(n)),
        "missing",
        "binary",
    ),
    "CatBoost, calibrated": (lambda n: CalibratedClassifierCV(classifier(n), cv=2), "missing", "binary"),
    "CatBoost regression": (regressor, "missing", "value"),
    "CatBoost regression, depthwise": (lambda n: regressor(n, grow_policy="Depthwise"), "missing", "value"),
    "CatBoost, two values": (lambda n: regressor(n, loss_function="MultiRMSE"), "missing", "pair"),
    "CatBoost, with uncertainty": (lambda n: regressor(n, loss_function="RMSEWithUncertainty"), "missing", "value"),
} | {
    f"CatBoost, {loss}": (lambda n, loss=loss: regressor(n, loss_function=loss), "missing", target)
    for loss, target in (
        ("MAE", "value"),
        ("Quantile:alpha=0.9", "value"),
        ("Huber:delta=1.0", "value"),
        ("LogLinQuantile", "positive"),
        ("Poisson", "positive"),
        ("Tweedie:variance_power=1.5", "positive"),
    )
}
REFUSED = {
    "CatBoost, native categories": (lambda n: classifier(n, cat_features=["place"]), "mixed", "binary"),
    "CatBoost, text": (
        lambda n: classifier(n, text_features=["place"], dictionaries=[WORDS], feature_calcers=["BoW"]),
        "mixed",
        "binary",
    ),
    "CatBoost, two labels": (lambda n: Labels(iterations=n, loss_function="MultiLogloss", **QUIET), "plain", "binary"),
}
MODELS |= REFUSED
