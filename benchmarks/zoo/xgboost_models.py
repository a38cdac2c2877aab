"""Models of XGBoost, in the form of :mod:`benchmarks.zoo.scikit_learn`."""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor

from . import own


class Early(XGBClassifier):
    """A shorthand whose ``fit`` holds back the last rows to stop early; it gives a plain classifier."""

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        """Fit, and return the plain classifier."""
        cut = len(X) * 3 // 4
        model = XGBClassifier(**self.get_params())
        return model.fit(X[:cut], y[:cut], eval_set=[(X[cut:], y[cut:])], verbose=False)


def codes():
    """The text column as codes, beside the numbers."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("text", encoder, ["place"])], remainder="passthrough")


def native(size, **settings):
    """Categories split natively, on codes."""
    kinds = ["c", "q", "q", "q", "q"]
    model = XGBClassifier(n_estimators=size, max_depth=4, enable_categorical=True, feature_types=kinds, **settings)
    return make_pipeline(codes(), model)


MODELS = {
    "XGBoost": (lambda n: XGBClassifier(n_estimators=n, max_depth=4), "missing", "binary"),
    "XGBoost, three classes": (lambda n: XGBClassifier(n_estimators=n, max_depth=4), "missing", "codes"),
    "XGBoost, dart": (
        lambda n: XGBClassifier(n_estimators=n, max_depth=4, booster="dart", rate_drop=0.3, random_state=0),
        "missing",
        "binary",
    ),
    "XGBoost, native categories": (lambda n: native(n, max_cat_to_onehot=1), "mixed", "binary"),
    "XGBoost, native categories, one at a time": (lambda n: native(n, max_cat_to_onehot=10), "mixed", "binary"),
    "XGBoost, another missing value": (lambda n: XGBClassifier(n_estimators=n, missing=4.0), "missing", "binary"),
    "XGBoost, stopped early": (lambda n: Early(n_estimators=n * 3, early_stopping_rounds=2), "missing", "binary"),
    "XGBoost after a scaler": (
        lambda n: make_pipeline(SimpleImputer(), StandardScaler(), XGBClassifier(n_estimators=n)),
        "missing",
        "binary",
    ),
    "XGBoost, calibrated": (
        lambda n: CalibratedClassifierCV(XGBClassifier(n_estimators=n, max_depth=3), cv=2),
        "missing",
        "binary",
    ),
    "XGBoost forest": (lambda n: XGBRFClassifier(n_estimators=n, max_depth=4), "missing", "codes"),
    "XGBoost forest regression": (lambda n: XGBRFRegressor(n_estimators=n, max_depth=4), "missing", "value"),
    "XGBoost regression": (lambda n: XGBRegressor(n_estimators=n, max_depth=4), "missing", "value"),
    "XGBoost, two values": (lambda n: XGBRegressor(n_estimators=n, max_depth=4), "plain", "pair"),
} | {
    f"XGBoost, {objective}": (
        lambda n, objective=objective: XGBRegressor(n_estimators=n, max_depth=4, objective=objective),
        "missing",
        target,
    )
    for objective, target in (
        ("count:poisson", "positive"),
        ("reg:gamma", "positive"),
        ("reg:tweedie", "positive"),
        ("reg:squaredlogerror", "positive"),
        ("reg:absoluteerror", "value"),
        ("reg:pseudohubererror", "value"),
        ("reg:logistic", "binary"),
    )
}
REFUSED = {
    "XGBoost, linear booster": (lambda n: XGBClassifier(n_estimators=n, booster="gblinear"), "plain", "binary"),
    "XGBoost, hinge": (lambda n: XGBClassifier(n_estimators=n, objective="binary:hinge"), "plain", "binary"),
    "XGBoost, several numbers a leaf": (
        lambda n: XGBRegressor(n_estimators=n, multi_strategy="multi_output_tree"),
        "plain",
        "pair",
    ),
    "XGBoost, objective of one's own": (
        lambda n: XGBRegressor(n_estimators=n, objective=own.squares),
        "plain",
        "value",
    ),
}
MODELS |= REFUSED
