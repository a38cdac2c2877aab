"""Whatever small data and settings an estimator was fitted with, the emitted model passes its proof."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn import ensemble, linear_model, naive_bayes, svm, tree
from sklearn import preprocessing as pre
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import classes

few = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
NUMBERS = ("a", "b", "c")
COLUMNS = [FeatureColumn(name=name, kind="number") for name in NUMBERS]
MIXED = [*COLUMNS, FeatureColumn(name="t", kind="category")]


@pytest.fixture(scope="module", autouse=True)
def _one_row_at_its_extremes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seakeep.conversion.parity._BASE_ROWS", 1)
        yield


@st.composite
def samples(draw, *, missing=True):
    """``(frame, rows, rng)``: numbers on a grid or not, large or small, some missing; text with rare values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(30, 70))
    numbers = rng.normal(size=(count, 3)) * 10.0 ** draw(st.sampled_from([-3, 0, 0, 2]))
    if draw(st.booleans()):  # equal values, and thresholds halfway between neighbours
        numbers = np.round(numbers * 4) / 4
    if draw(st.booleans()):
        numbers[:, 2] = rng.integers(0, 3, count)
    if missing and draw(st.booleans()):
        numbers[rng.random(numbers.shape) < 0.15] = np.nan
        numbers[0] = 0.5  # no column is missing throughout
    text = np.array(["p", "q", "", "Q", "r"], dtype=object)[rng.choice(5, count, p=[0.4, 0.3, 0.1, 0.15, 0.05])]
    frame = pd.DataFrame({**dict(zip(NUMBERS, numbers.T, strict=True)), "t": pd.Series(text, dtype=object)})
    return frame, Rows(numbers, text[:, None]), rng


def target(sample, classes):
    frame, _, rng = sample
    signal = np.nan_to_num(frame["a"].to_numpy()) + (frame["t"] == "p") + rng.normal(size=len(frame)) * 0.3
    return np.argsort(np.argsort(signal)) * classes // len(signal)


def proved(model, sample, label, columns=None):
    frame, rows, _ = sample
    columns = COLUMNS if columns is None else columns
    names = [column.name for column in columns]
    rows = Rows(rows.numbers, rows.categories[:, : len(names) - 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(frame[names], label)
        except ValueError:
            assume(False)  # the source itself refuses such data
    proof = prove(native_scorer(model, columns), emit(model, columns), rows, threshold=0.4, artefact_sha256="")
    assert proof.passed, (model, proof)


TREES = [tree.DecisionTreeClassifier, ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier]
REGRESSIONS = [tree.DecisionTreeRegressor, ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor]


@given(data=st.data(), sample=samples(), kind=st.sampled_from(TREES), classes=st.integers(2, 3))
@few
def test_tree_classifiers(data, sample, kind, classes):
    grown = {} if kind is tree.DecisionTreeClassifier else {"n_estimators": data.draw(st.integers(1, 4))}
    model = kind(max_depth=data.draw(st.sampled_from([None, 1, 4])), random_state=0, **grown)
    proved(model, sample, target(sample, classes))


@given(data=st.data(), sample=samples(), kind=st.sampled_from(REGRESSIONS))
@few
def test_tree_regressions(data, sample, kind):
    grown = {} if kind is tree.DecisionTreeRegressor else {"n_estimators": data.draw(st.integers(1, 4))}
    model = kind(min_samples_leaf=data.draw(st.integers(1, 5)), random_state=0, **grown)
    proved(model, sample, target(sample, len(sample[0])) * 1.7)


@given(data=st.data(), sample=samples(missing=False))
@few
def test_ensembles_of_trees(data, sample):
    members = data.draw(st.integers(1, 4))
    kind = data.draw(st.sampled_from(["bag", "ada", "isolation", "median"]))
    model = {
        "bag": ensemble.BaggingClassifier(n_estimators=members, max_features=0.7, random_state=0),
        "ada": ensemble.AdaBoostClassifier(n_estimators=members, random_state=0),
        "isolation": ensemble.IsolationForest(n_estimators=members, max_samples=20, random_state=0),
        "median": ensemble.AdaBoostRegressor(n_estimators=members, random_state=0),
    }[kind]
    proved(model, sample, target(sample, data.draw(st.integers(2, 3))))


@given(data=st.data(), sample=samples(), classes=st.integers(2, 3))
@few
def test_histogram_boosting(data, sample, classes):
    settings = {"max_iter": data.draw(st.integers(1, 4)), "min_samples_leaf": 4, "random_state": 0}
    if data.draw(st.booleans()):
        loss = data.draw(st.sampled_from(["squared_error", "poisson", "gamma", "quantile"]))
        loss = {"loss": loss} | ({"quantile": 0.3} if loss == "quantile" else {})
        model = ensemble.HistGradientBoostingRegressor(categorical_features=["t"], **loss, **settings)
        return proved(model, sample, target(sample, len(sample[0])) + 1.0, MIXED)
    model = ensemble.HistGradientBoostingClassifier(categorical_features=["t"], **settings)
    return proved(model, sample, target(sample, classes), MIXED)


@given(data=st.data(), sample=samples(missing=False), classes=st.integers(2, 3))
@few
def test_gradient_boosting(data, sample, classes):
    settings = {"n_estimators": data.draw(st.integers(1, 4)), "max_depth": 2, "random_state": 0}
    if data.draw(st.booleans()):
        loss = data.draw(st.sampled_from(["squared_error", "absolute_error", "huber", "quantile"]))
        return proved(ensemble.GradientBoostingRegressor(loss=loss, **settings), sample, target(sample, 50) * 1.1)
    init = data.draw(st.sampled_from([None, "zero", tree.DecisionTreeClassifier(max_depth=2)]))
    return proved(ensemble.GradientBoostingClassifier(init=init, **settings), sample, target(sample, classes))


STEPS = {
    "bins": lambda draw: pre.KBinsDiscretizer(draw(st.integers(2, 4)), encode="ordinal", strategy="uniform"),
    "binary": lambda draw: pre.Binarizer(threshold=draw(st.sampled_from([0.0, 0.25, -1.0]))),
    "min-max": lambda draw: pre.MinMaxScaler(clip=draw(st.booleans())),
    "robust": lambda _: pre.RobustScaler(),
    "max": lambda draw: pre.MaxAbsScaler(clip=draw(st.booleans())),
    "normal": lambda draw: pre.Normalizer(draw(st.sampled_from(["l1", "l2", "max"]))),
    "power": lambda draw: pre.PowerTransformer(standardize=draw(st.booleans())),
    "quantiles": lambda draw: pre.QuantileTransformer(
        n_quantiles=draw(st.integers(2, 20)), output_distribution=draw(st.sampled_from(["uniform", "normal"]))
    ),
    "splines": lambda draw: pre.SplineTransformer(
        n_knots=draw(st.integers(2, 4)),
        degree=draw(st.integers(1, 3)),
        extrapolation=draw(st.sampled_from(["constant", "linear", "continue", "error"])),
    ),
    "polynomials": lambda draw: pre.PolynomialFeatures(draw(st.integers(0, 3)), interaction_only=draw(st.booleans())),
    "function": lambda draw: pre.FunctionTransformer(draw(st.sampled_from([np.square, np.tanh, np.expm1, np.rint]))),
}


@given(data=st.data(), sample=samples())
@settings(few, max_examples=22)
def test_numbers_prepared(data, sample):
    name = data.draw(st.sampled_from(sorted(STEPS)))
    steps = [
        SimpleImputer(strategy=data.draw(st.sampled_from(["mean", "median", "most_frequent"])), add_indicator=True)
    ]
    steps.append(STEPS[name](data.draw))
    last = data.draw(st.sampled_from(["linear", "tree"]))
    model = linear_model.LogisticRegression() if last == "linear" else tree.DecisionTreeClassifier(max_depth=4)
    proved(make_pipeline(*steps, pre.StandardScaler(), model), sample, target(sample, 2))


@given(data=st.data(), sample=samples())
@settings(few, max_examples=16)
def test_categories_encoded(data, sample):
    rare = data.draw(st.sampled_from([{}, {"min_frequency": 8}, {"max_categories": 3}]))
    kind = data.draw(st.sampled_from(["one-hot", "ordinal", "target"]))
    if kind == "one-hot":
        unknown = data.draw(st.sampled_from(["ignore", "infrequent_if_exist", "error"]))
        drop = data.draw(st.sampled_from([None, "first", "if_binary"]))
        encoder = pre.OneHotEncoder(handle_unknown=unknown, drop=drop, sparse_output=False, **rare)
    elif kind == "ordinal":
        missing = data.draw(st.sampled_from([np.nan, -2]))
        encoder = pre.OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=missing, **rare
        )
    else:
        encoder = pre.TargetEncoder(cv=2, smooth=data.draw(st.sampled_from(["auto", 1.0])), random_state=0)
    chosen = data.draw(st.sampled_from([["t"], ["t", "c"]]))
    rest = [name for name in NUMBERS if name not in chosen]
    columns = ColumnTransformer([("code", encoder, chosen), ("rest", SimpleImputer(), rest)], sparse_threshold=0)
    model = tree.DecisionTreeClassifier(max_depth=4, random_state=0)
    proved(make_pipeline(columns, model), sample, target(sample, data.draw(st.integers(2, 3))), MIXED)


CLASSIFIERS = [
    lambda c: linear_model.LogisticRegression(C=c),
    lambda c: linear_model.RidgeClassifier(alpha=c),
    lambda c: svm.LinearSVC(C=c),
    lambda c: svm.SVC(C=c, kernel="rbf"),
    lambda c: svm.SVC(C=c, kernel="poly", degree=2, coef0=1.0),
    lambda c: naive_bayes.GaussianNB(var_smoothing=c / 100),
    lambda c: naive_bayes.BernoulliNB(alpha=c),
]


@given(
    sample=samples(missing=False),
    make=st.sampled_from(CLASSIFIERS),
    strength=st.sampled_from([0.01, 1.0, 10.0]),
    classes=st.integers(2, 3),
)
@few
def test_linear_models_kernels_and_naive_bayes(sample, make, strength, classes):
    proved(make_pipeline(pre.StandardScaler(), make(strength)), sample, target(sample, classes))


@given(data=st.data(), sample=samples(missing=False), classes=st.integers(2, 3))
@few
def test_wrappers(data, sample, classes):
    inner = [
        ("t", tree.DecisionTreeClassifier(max_depth=data.draw(st.integers(1, 3)), random_state=0)),
        ("l", make_pipeline(pre.StandardScaler(), linear_model.LogisticRegression())),
    ]
    kind = data.draw(st.sampled_from(["sigmoid", "isotonic", "soft", "hard", "stack"]))
    if kind in {"soft", "hard"}:
        model = ensemble.VotingClassifier(inner, voting=kind, weights=data.draw(st.sampled_from([None, [1, 2]])))
    elif kind == "stack":
        model = ensemble.StackingClassifier(inner, cv=2, passthrough=data.draw(st.booleans()))
    else:
        model = CalibratedClassifierCV(inner[data.draw(st.integers(0, 1))][1], method=kind, cv=2)
    proved(model, sample, target(sample, classes))


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LogisticRegression(max_iter=50),
        ensemble.RandomForestClassifier(n_estimators=3, random_state=0),
        tree.DecisionTreeClassifier(max_depth=3),
    ],
    ids=lambda model: type(model).__name__,
)
@settings(few, max_examples=4)
@given(samples(missing=False), st.permutations(["ah", "oh", "uh", "Oh"]), st.booleans())
def test_the_served_vector_is_the_source_estimators_in_the_declared_order(model, sample, names, coded):
    frame, rows, _ = sample
    codes, wanted = target(sample, 4), classes(*names)
    given_to_fit = codes.astype(float) if coded else np.array(names)[codes]
    model = model.fit(frame[list(NUMBERS)], given_to_fit)
    emission = emit(model, COLUMNS, wanted)
    assert emission.outputs == wanted
    session, none = ScoringSession(emission.model), np.empty((len(frame), 0), dtype=object)
    served = session.score(rows.numbers, none)
    own = model.predict_proba(frame[list(NUMBERS)])
    places = [model.classes_.tolist().index(place if coded else name) for place, name in enumerate(names)]
    np.testing.assert_allclose(served, own[:, places], rtol=0, atol=emission.tolerance)
    alone = np.concatenate([session.score(rows.numbers[row : row + 1], none[:1]) for row in range(len(frame))])
    assert alone.tobytes() == served.tobytes()
    inputs = Rows(rows.numbers, none)
    proof = prove(native_scorer(model, COLUMNS, wanted), emission, inputs, threshold=0.5, artefact_sha256="")
    assert proof.passed, proof
