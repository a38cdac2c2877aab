"""Models of scikit-learn: ``MODELS[name]`` is ``(make, inputs, target)``; ``make(size)`` with so many trees or rounds."""

import numpy as np
from sklearn import discriminant_analysis as discriminant
from sklearn import ensemble, linear_model, multiclass, naive_bayes, neighbors, neural_network, svm, tree
from sklearn import feature_selection as selection
from sklearn import preprocessing as pre
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction import text
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline as pipe
from sklearn.pipeline import make_union

NUMBERS = ["shift", "wide", "count", "skewed"]


def scaled(model):
    """The model after a scaler."""
    return pipe(pre.StandardScaler(), model)


def columns(encoder, numbers="passthrough", **settings):
    """An encoder of the text column, beside something for the numbers."""
    return ColumnTransformer([("text", encoder, ["place"]), ("numbers", numbers, NUMBERS)], **settings)


def written(vectoriser, numbers="passthrough", **settings):
    """A vectoriser of the texts, beside something for the numbers."""
    return ColumnTransformer([("words", vectoriser, "remark"), ("numbers", numbers, NUMBERS)], **settings)


def filled(**settings):
    """Numbers imputed and scaled."""
    return pipe(SimpleImputer(**settings), pre.StandardScaler())


def one_hot(**settings):
    """One-hot encoding that takes unknown categories."""
    return pre.OneHotEncoder(**({"handle_unknown": "ignore"} | settings))


def ordinal(**settings):
    """Ordinal encoding that takes unknown categories."""
    return pre.OrdinalEncoder(**({"handle_unknown": "use_encoded_value", "unknown_value": -1} | settings))


def logistic():
    """A logistic regression that converges."""
    return linear_model.LogisticRegression(max_iter=1000)


def forest(size):
    """A small random forest."""
    return ensemble.RandomForestClassifier(size, max_depth=6, random_state=0)


def boosted(size, **settings):
    """A small boosting."""
    return ensemble.HistGradientBoostingClassifier(max_iter=size, random_state=0, **settings)


def stub(**settings):
    """A shallow tree."""
    return tree.DecisionTreeClassifier(max_depth=3, random_state=0, **settings)


def on(step, columns=("skewed",)):
    """One transformer of some columns, the others scaled, then a logistic regression."""
    return pipe(
        ColumnTransformer([("step", step, list(columns))], remainder=pre.StandardScaler()),
        pre.StandardScaler(),
        logistic(),
    )


TREES = {
    "decision tree": (lambda _: tree.DecisionTreeClassifier(max_depth=6, random_state=0), "missing", "binary"),
    "decision tree, balanced": (lambda _: stub(class_weight="balanced"), "plain", "three"),
    "extra tree": (lambda _: tree.ExtraTreeClassifier(max_depth=6, random_state=0), "plain", "binary"),
    "tree regression": (lambda _: tree.DecisionTreeRegressor(max_depth=6, random_state=0), "plain", "value"),
    "extra tree regression": (lambda _: tree.ExtraTreeRegressor(max_depth=6, random_state=0), "plain", "value"),
    "random forest, missing values": (forest, "missing", "binary"),
    "random forest, three classes": (forest, "missing", "three"),
    "random forest, balanced, one-hot": (
        lambda n: pipe(
            columns(one_hot(), filled(add_indicator=True)),
            ensemble.RandomForestClassifier(n, class_weight="balanced_subsample", random_state=0),
        ),
        "mixed",
        "binary",
    ),
    "random forest, sparse": (
        lambda n: pipe(columns(one_hot(), SimpleImputer(), sparse_threshold=1.0), pre.MaxAbsScaler(), forest(n)),
        "mixed",
        "binary",
    ),
    "random forest regression": (lambda n: ensemble.RandomForestRegressor(n, random_state=0), "missing", "value"),
    "random forest, two values": (
        lambda n: ensemble.RandomForestRegressor(n, max_depth=6, random_state=0),
        "plain",
        "pair",
    ),
    "extra trees": (lambda n: ensemble.ExtraTreesClassifier(n, max_depth=6, random_state=0), "plain", "binary"),
    "extra trees regression": (
        lambda n: ensemble.ExtraTreesRegressor(n, max_depth=6, random_state=0),
        "plain",
        "value",
    ),
    "isolation forest": (lambda n: ensemble.IsolationForest(n_estimators=n, random_state=0), "missing", "binary"),
    "isolation forest of some columns": (
        lambda n: ensemble.IsolationForest(n_estimators=n, max_features=2, max_samples=50, random_state=0),
        "plain",
        "binary",
    ),
    "bagged trees": (
        lambda n: ensemble.BaggingClassifier(n_estimators=n, max_features=0.7, random_state=0),
        "missing",
        "binary",
    ),
    "bagged tree regression": (
        lambda n: ensemble.BaggingRegressor(n_estimators=n, max_features=2, random_state=0),
        "plain",
        "value",
    ),
    "AdaBoost": (lambda n: ensemble.AdaBoostClassifier(n_estimators=n, random_state=0), "plain", "binary"),
    "AdaBoost, three classes": (
        lambda n: ensemble.AdaBoostClassifier(stub(), n_estimators=n, random_state=0),
        "plain",
        "three",
    ),
    "AdaBoost regression": (lambda n: ensemble.AdaBoostRegressor(n_estimators=n, random_state=0), "plain", "value"),
}
BOOSTING = {
    "gradient boosting": (lambda n: ensemble.GradientBoostingClassifier(n_estimators=n), "plain", "binary"),
    "gradient boosting, three classes": (
        lambda n: ensemble.GradientBoostingClassifier(n_estimators=n),
        "plain",
        "three",
    ),
    "gradient boosting, exponential, from trees": (
        lambda n: ensemble.GradientBoostingClassifier(n_estimators=n, loss="exponential", init=stub()),
        "plain",
        "binary",
    ),
    "gradient boosting, three classes, from trees": (
        lambda n: ensemble.GradientBoostingClassifier(n_estimators=n, init=stub()),
        "plain",
        "three",
    ),
    "gradient boosting, from zero": (
        lambda n: ensemble.GradientBoostingClassifier(n_estimators=n, init="zero", subsample=0.5, random_state=0),
        "plain",
        "binary",
    ),
    "gradient boosting regression, Huber": (
        lambda n: ensemble.GradientBoostingRegressor(n_estimators=n, loss="huber"),
        "plain",
        "value",
    ),
    "histogram boosting, native categories": (
        lambda n: boosted(n, categorical_features=["place"]),
        "mixed",
        "binary",
    ),
    "histogram boosting, codes": (
        lambda n: pipe(columns(ordinal(unknown_value=np.nan)), boosted(n, categorical_features=[0])),
        "mixed",
        "binary",
    ),
    "histogram boosting, three classes": (lambda n: boosted(n, categorical_features=["place"]), "mixed", "three"),
    "histogram boosting regression": (
        lambda n: ensemble.HistGradientBoostingRegressor(max_iter=n, categorical_features=["place"]),
        "mixed",
        "value",
    ),
    "histogram boosting, Poisson": (
        lambda n: ensemble.HistGradientBoostingRegressor(max_iter=n, loss="poisson"),
        "missing",
        "positive",
    ),
    "histogram boosting, gamma": (
        lambda n: ensemble.HistGradientBoostingRegressor(max_iter=n, loss="gamma"),
        "missing",
        "positive",
    ),
    "histogram boosting, quantile": (
        lambda n: ensemble.HistGradientBoostingRegressor(max_iter=n, loss="quantile", quantile=0.8),
        "missing",
        "value",
    ),
}
PREPARED = {
    "one-hot, imputed, scaled": (lambda _: pipe(columns(one_hot(), filled()), logistic()), "mixed", "binary"),
    "one-hot, rare grouped": (
        lambda _: pipe(
            columns(one_hot(min_frequency=0.1, handle_unknown="infrequent_if_exist"), filled(strategy="median")),
            logistic(),
        ),
        "mixed",
        "binary",
    ),
    "one-hot, few, first dropped": (
        lambda _: pipe(columns(one_hot(max_categories=3, drop="first"), filled(strategy="most_frequent")), logistic()),
        "mixed",
        "binary",
    ),
    "one-hot of numbers with missing ones": (
        lambda _: pipe(ColumnTransformer([("count", one_hot(), ["count"])]), logistic()),
        "missing",
        "binary",
    ),
    "one-hot, sparse, scaled": (
        lambda _: pipe(
            columns(one_hot(), SimpleImputer(), sparse_threshold=1.0), pre.StandardScaler(with_mean=False), logistic()
        ),
        "mixed",
        "binary",
    ),
    "ordinal, rare grouped": (
        lambda n: pipe(columns(ordinal(min_frequency=0.1)), boosted(n)),
        "mixed",
        "binary",
    ),
    "ordinal of numbers": (
        lambda _: pipe(ColumnTransformer([("count", ordinal(encoded_missing_value=-2), ["count"])]), stub()),
        "missing",
        "binary",
    ),
    "target encoding": (
        lambda n: pipe(columns(pre.TargetEncoder(cv=3, random_state=0)), boosted(n)),
        "mixed",
        "binary",
    ),
    "target encoding, three classes": (
        lambda n: pipe(columns(pre.TargetEncoder(cv=3, random_state=0)), forest(n)),
        "mixed",
        "three",
    ),
    "target encoding of a value": (
        lambda _: pipe(columns(pre.TargetEncoder(cv=3, random_state=0), filled()), linear_model.Ridge()),
        "mixed",
        "value",
    ),
    "text imputed": (
        lambda _: pipe(
            columns(
                pipe(
                    SimpleImputer(strategy="most_frequent", missing_values="", add_indicator=True),
                    ColumnTransformer([("codes", one_hot(), [0])], remainder="passthrough"),
                ),
                filled(strategy="constant", fill_value=-5),
            ),
            logistic(),
        ),
        "mixed",
        "binary",
    ),
    "missing indicator": (
        lambda n: pipe(
            ColumnTransformer(
                [
                    ("missing", MissingIndicator(error_on_new=False), NUMBERS),
                    ("numbers", SimpleImputer(), NUMBERS),
                ]
            ),
            forest(n),
        ),
        "missing",
        "binary",
    ),
    "indicator of all, strict": (
        lambda _: pipe(
            make_union(MissingIndicator(features="all"), SimpleImputer(keep_empty_features=True)),
            pre.StandardScaler(),
            logistic(),
        ),
        "missing",
        "binary",
    ),
    "weights of columns, selected by kind": (
        lambda _: pipe(
            make_column_transformer(
                (filled(), make_column_selector(dtype_include=float)), (one_hot(), make_column_selector("place"))
            ),
            pipe(pre.StandardScaler(with_mean=False), "passthrough", logistic()),
        ),
        "mixed",
        "binary",
    ),
    "data frames between steps": (
        lambda n: pipe(
            columns(ordinal(), transformer_weights={"numbers": 2.0}).set_output(transform="pandas"),
            ColumnTransformer(
                [("some", pre.StandardScaler(), ["numbers__shift", "text__place"])], remainder="passthrough"
            ),
            boosted(n),
        ),
        "mixed",
        "binary",
    ),
    "min-max, clipped": (lambda _: on(pre.MinMaxScaler(clip=True), NUMBERS), "plain", "binary"),
    "robust scaler": (lambda _: on(pre.RobustScaler(), NUMBERS), "plain", "binary"),
    "max-abs scaler": (lambda _: on(pre.MaxAbsScaler(), NUMBERS), "plain", "binary"),
    "normaliser": (lambda _: on(pre.Normalizer(), NUMBERS), "plain", "binary"),
    "binariser": (lambda _: on(pre.Binarizer(threshold=0.3), ["shift", "wide"]), "plain", "binary"),
    "bins, one-hot": (lambda _: on(pre.KBinsDiscretizer(4, encode="onehot-dense"), NUMBERS), "plain", "binary"),
    "bins before a forest": (
        lambda n: pipe(pre.KBinsDiscretizer(5, encode="ordinal"), forest(n)),
        "plain",
        "binary",
    ),
    "polynomials": (lambda _: on(pre.PolynomialFeatures(3), NUMBERS), "plain", "binary"),
    "splines": (lambda _: on(pre.SplineTransformer(n_knots=4), NUMBERS), "plain", "binary"),
    "splines, linear beyond": (
        lambda _: on(pre.SplineTransformer(degree=2, extrapolation="linear", include_bias=False), NUMBERS),
        "plain",
        "binary",
    ),
    "Yeo-Johnson": (lambda _: on(pre.PowerTransformer(), NUMBERS), "plain", "binary"),
    "Yeo-Johnson before a forest": (lambda n: pipe(pre.PowerTransformer(), forest(n)), "missing", "binary"),
    "Box-Cox": (lambda _: on(pre.PowerTransformer(method="box-cox")), "plain", "binary"),
    "quantiles, uniform, before a forest": (
        lambda n: pipe(pre.QuantileTransformer(n_quantiles=50), forest(n)),
        "plain",
        "binary",
    ),
    "quantiles, normal": (
        lambda _: on(pre.QuantileTransformer(n_quantiles=50, output_distribution="normal"), NUMBERS),
        "plain",
        "binary",
    ),
    "log1p before boosting": (
        lambda n: pipe(
            ColumnTransformer([("log", pre.FunctionTransformer(np.log1p), ["skewed"])], remainder="passthrough"),
            boosted(n),
        ),
        "missing",
        "binary",
    ),
    "sine and clip": (
        lambda _: pipe(
            ColumnTransformer(
                [
                    ("sine", pre.FunctionTransformer(np.sin), ["shift"]),
                    ("clip", pre.FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 1}), ["skewed"]),
                    ("rest", scaled(pre.FunctionTransformer(validate=True)), ["wide", "count"]),
                ]
            ),
            logistic(),
        ),
        "plain",
        "binary",
    ),
    "principal components": (lambda _: scaled(pipe(PCA(2), logistic())), "plain", "binary"),
    "components, whitened, in parts": (
        lambda _: scaled(pipe(IncrementalPCA(2, whiten=True), logistic())),
        "plain",
        "binary",
    ),
    "components before a forest": (lambda n: scaled(pipe(PCA(2), forest(n))), "plain", "binary"),
    "singular vectors": (lambda _: scaled(pipe(TruncatedSVD(2), logistic())), "plain", "binary"),
    "best features": (
        lambda _: scaled(
            pipe(
                make_union(
                    selection.SelectKBest(k=2),
                    selection.SelectPercentile(percentile=50),
                    selection.GenericUnivariateSelect(mode="k_best", param=1),
                    selection.SelectFpr(alpha=0.5),
                    selection.SelectFdr(alpha=0.5),
                    selection.SelectFwe(alpha=0.5),
                ),
                logistic(),
            )
        ),
        "plain",
        "binary",
    ),
    "features that another model chose": (
        lambda _: pipe(
            make_union(
                selection.VarianceThreshold(0.1),
                selection.SelectFromModel(stub()),
                selection.RFE(stub(), n_features_to_select=2),
                selection.RFECV(stub(), cv=2),
                selection.SequentialFeatureSelector(stub(), n_features_to_select=1, cv=2),
            ),
            stub(),
        ),
        "plain",
        "binary",
    ),
}
LINEAR = {
    "logistic regression, three classes": (lambda _: scaled(logistic()), "plain", "three"),
    "logistic regression, cross-validated": (
        lambda _: scaled(linear_model.LogisticRegressionCV(Cs=2, cv=2, use_legacy_attributes=False, l1_ratios=(0,))),
        "plain",
        "binary",
    ),
    "stochastic gradients, logistic": (
        lambda _: scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0)),
        "plain",
        "three",
    ),
    "stochastic gradients, modified Huber": (
        lambda _: scaled(linear_model.SGDClassifier(loss="modified_huber", alpha=1.0, random_state=0)),
        "plain",
        "binary",
    ),
    "stochastic gradients, hinge": (lambda _: scaled(linear_model.SGDClassifier(random_state=0)), "plain", "three"),
    "perceptron": (lambda _: scaled(linear_model.Perceptron()), "plain", "binary"),
    "ridge classifier": (lambda _: scaled(linear_model.RidgeClassifier()), "plain", "three"),
    "ridge classifier, cross-validated": (lambda _: scaled(linear_model.RidgeClassifierCV()), "plain", "binary"),
    "linear support vectors": (lambda _: scaled(svm.LinearSVC()), "plain", "binary"),
    "linear discriminants": (lambda _: discriminant.LinearDiscriminantAnalysis(), "plain", "three"),
    "quadratic discriminants": (lambda _: discriminant.QuadraticDiscriminantAnalysis(), "plain", "binary"),
    "linear regression": (lambda _: linear_model.LinearRegression(), "plain", "value"),
    "ridge, two values": (lambda _: linear_model.Ridge(), "plain", "pair"),
    "ridge, cross-validated": (lambda _: linear_model.RidgeCV(), "plain", "value"),
    "lasso": (lambda _: linear_model.Lasso(0.1), "plain", "value"),
    "lasso, cross-validated": (lambda _: linear_model.LassoCV(cv=2), "plain", "value"),
    "elastic net": (lambda _: linear_model.ElasticNet(0.1), "plain", "value"),
    "elastic net, cross-validated": (lambda _: linear_model.ElasticNetCV(cv=2), "plain", "value"),
    "least angles": (
        lambda _: ensemble.VotingRegressor(
            [
                ("lars", linear_model.Lars()),
                ("lasso", linear_model.LassoLars(0.1)),
                ("criterion", linear_model.LassoLarsIC()),
                ("pursuit", linear_model.OrthogonalMatchingPursuit(n_nonzero_coefs=2)),
            ]
        ),
        "plain",
        "value",
    ),
    "Bayesian ridge": (lambda _: linear_model.BayesianRidge(), "plain", "value"),
    "relevance determination": (lambda _: linear_model.ARDRegression(), "plain", "value"),
    "Huber": (lambda _: scaled(linear_model.HuberRegressor()), "plain", "value"),
    "quantile regression": (lambda _: scaled(linear_model.QuantileRegressor(alpha=0.1)), "plain", "value"),
    "Theil-Sen": (lambda _: linear_model.TheilSenRegressor(random_state=0, max_subpopulation=50), "plain", "value"),
    "stochastic gradients, value": (lambda _: scaled(linear_model.SGDRegressor(random_state=0)), "plain", "value"),
    "linear support vectors, value": (lambda _: scaled(svm.LinearSVR()), "plain", "value"),
    "Poisson": (lambda _: scaled(linear_model.PoissonRegressor()), "plain", "positive"),
    "gamma": (lambda _: scaled(linear_model.GammaRegressor()), "plain", "positive"),
    "Tweedie": (lambda _: scaled(linear_model.TweedieRegressor(power=1.5)), "plain", "positive"),
    "one-class linear": (lambda _: scaled(linear_model.SGDOneClassSVM(random_state=0)), "plain", "binary"),
}
OTHERS = {
    "naive Bayes, normal": (lambda _: naive_bayes.GaussianNB(), "plain", "three"),
    "naive Bayes, counts": (lambda _: pipe(pre.MinMaxScaler(), naive_bayes.MultinomialNB()), "plain", "three"),
    "naive Bayes, complement": (lambda _: pipe(pre.MinMaxScaler(), naive_bayes.ComplementNB()), "plain", "three"),
    "naive Bayes, flags": (lambda _: naive_bayes.BernoulliNB(binarize=0.2), "plain", "binary"),
    "naive Bayes, categories": (
        lambda _: pipe(pre.KBinsDiscretizer(4, encode="ordinal"), naive_bayes.CategoricalNB()),
        "plain",
        "three",
    ),
    "network": (
        lambda _: scaled(neural_network.MLPClassifier(hidden_layer_sizes=(16, 8), max_iter=30, random_state=0)),
        "plain",
        "binary",
    ),
    "network, tanh, three classes": (
        lambda _: scaled(
            neural_network.MLPClassifier(hidden_layer_sizes=(16,), activation="tanh", max_iter=30, random_state=0)
        ),
        "plain",
        "three",
    ),
    "network, logistic, value": (
        lambda _: scaled(
            neural_network.MLPRegressor(hidden_layer_sizes=(16,), activation="logistic", max_iter=30, random_state=0)
        ),
        "plain",
        "value",
    ),
    "support vectors, radial": (lambda _: scaled(svm.SVC()), "plain", "binary"),
    "support vectors, three classes": (lambda _: scaled(svm.SVC()), "plain", "three"),
    "support vectors, cubic": (lambda _: scaled(svm.SVC(kernel="poly")), "plain", "binary"),
    "support vectors, linear": (lambda _: scaled(svm.NuSVC(kernel="linear")), "plain", "three"),
    "support vectors, sigmoid, value": (lambda _: scaled(svm.NuSVR(kernel="sigmoid")), "plain", "value"),
    "support vectors, value": (lambda _: scaled(svm.SVR()), "plain", "value"),
    "one-class support vectors": (lambda _: scaled(svm.OneClassSVM()), "plain", "binary"),
    "neighbours": (lambda _: scaled(neighbors.KNeighborsClassifier()), "plain", "binary"),
    "neighbours by distance": (
        lambda _: scaled(neighbors.KNeighborsClassifier(7, weights="distance")),
        "plain",
        "three",
    ),
    "neighbours, Manhattan, value": (lambda _: scaled(neighbors.KNeighborsRegressor(p=1)), "plain", "value"),
    "constant": (lambda _: DummyClassifier(), "plain", "three"),
    "constant value": (lambda _: DummyRegressor(), "plain", "value"),
}
WRAPPERS = {
    "calibrated forest, sigmoid": (lambda n: CalibratedClassifierCV(forest(n), cv=2), "missing", "binary"),
    "calibrated forest, isotonic": (
        lambda n: CalibratedClassifierCV(forest(n), cv=2, method="isotonic"),
        "plain",
        "three",
    ),
    "calibrated support vectors": (
        lambda _: CalibratedClassifierCV(scaled(svm.LinearSVC()), cv=2, method="isotonic", ensemble=False),
        "plain",
        "binary",
    ),
    "calibrated by temperature": (
        lambda n: CalibratedClassifierCV(forest(n), cv=2, method="temperature"),
        "plain",
        "binary",
    ),
    "vote, soft": (
        lambda n: ensemble.VotingClassifier(
            [("a", scaled(logistic())), ("b", forest(n)), ("c", boosted(n))], voting="soft", weights=[1, 2, 1]
        ),
        "plain",
        "binary",
    ),
    "vote, hard": (
        lambda n: ensemble.VotingClassifier([("a", scaled(logistic())), ("b", forest(n)), ("c", boosted(n))]),
        "plain",
        "three",
    ),
    "vote, value": (
        lambda n: ensemble.VotingRegressor(
            [
                ("a", linear_model.Ridge()),
                ("b", ensemble.RandomForestRegressor(n, max_depth=6, random_state=0)),
            ]
        ),
        "plain",
        "value",
    ),
    "stack": (
        lambda n: ensemble.StackingClassifier([("a", scaled(logistic())), ("b", forest(n))], cv=2),
        "plain",
        "binary",
    ),
    "stack with inputs, three classes": (
        lambda n: ensemble.StackingClassifier(
            [("a", scaled(svm.LinearSVC())), ("b", forest(n))], final_estimator=stub(), passthrough=True, cv=2
        ),
        "plain",
        "three",
    ),
    "stack of labels": (
        lambda n: ensemble.StackingClassifier(
            [("a", scaled(logistic())), ("b", forest(n))], stack_method="predict", cv=2
        ),
        "plain",
        "three",
    ),
    "stack, value": (
        lambda n: ensemble.StackingRegressor(
            [("a", linear_model.Ridge()), ("b", ensemble.ExtraTreesRegressor(n, max_depth=6, random_state=0))], cv=2
        ),
        "plain",
        "value",
    ),
    "bagged logistic regressions": (
        lambda _: ensemble.BaggingClassifier(scaled(logistic()), n_estimators=3, max_features=3, random_state=0),
        "plain",
        "binary",
    ),
    "bagged votes": (
        lambda _: ensemble.BaggingClassifier(scaled(svm.LinearSVC()), n_estimators=5, random_state=0),
        "plain",
        "three",
    ),
    "bagged ridges": (
        lambda _: ensemble.BaggingRegressor(linear_model.Ridge(), n_estimators=5, random_state=0),
        "plain",
        "value",
    ),
    "AdaBoost of logistic regressions": (
        lambda _: ensemble.AdaBoostClassifier(logistic(), n_estimators=3, random_state=0),
        "plain",
        "binary",
    ),
    "one against the rest": (lambda n: multiclass.OneVsRestClassifier(forest(n)), "plain", "three"),
    "one against the rest, decisions": (
        lambda _: multiclass.OneVsRestClassifier(scaled(svm.LinearSVC())),
        "plain",
        "three",
    ),
    "one against one": (lambda _: multiclass.OneVsOneClassifier(scaled(svm.LinearSVC())), "plain", "three"),
    "threshold, fixed": (lambda n: FixedThresholdClassifier(forest(n), threshold=0.3), "plain", "binary"),
    "threshold, tuned": (lambda _: TunedThresholdClassifierCV(scaled(logistic()), cv=2), "plain", "binary"),
    "target by logarithm": (
        lambda _: TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1),
        "plain",
        "positive",
    ),
    "target scaled": (
        lambda n: TransformedTargetRegressor(
            ensemble.RandomForestRegressor(n, max_depth=6, random_state=0), transformer=pre.StandardScaler()
        ),
        "plain",
        "value",
    ),
    "isotonic regression": (
        lambda _: pipe(
            ColumnTransformer([("one", "passthrough", ["shift"])]), IsotonicRegression(out_of_bounds="clip")
        ),
        "plain",
        "value",
    ),
    "calibrated stack of votes": (
        lambda n: CalibratedClassifierCV(
            ensemble.StackingClassifier(
                [
                    ("v", ensemble.VotingClassifier([("a", stub()), ("b", scaled(logistic()))], voting="soft")),
                    ("f", forest(n)),
                ],
                final_estimator=logistic(),
                cv=2,
            ),
            cv=2,
        ),
        "plain",
        "binary",
    ),
}
TEXTS = {
    "words counted": (
        lambda _: pipe(written(text.CountVectorizer(ngram_range=(1, 2)), filled()), logistic()), "written", "binary",
    ),
    "words weighed": (
        lambda _: pipe(
            written(text.TfidfVectorizer(sublinear_tf=True, strip_accents="unicode", stop_words="english"), filled()),
            logistic(),
        ),
        "written",
        "three",
    ),
    "letters of words, weighed to sums": (
        lambda _: pipe(
            written(text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), norm="l1"), "drop"),
            naive_bayes.ComplementNB(),
        ),
        "written",
        "binary",
    ),
    "letters, told apart": (
        lambda _: pipe(
            written(text.CountVectorizer(analyzer="char", binary=True, lowercase=False, strip_accents="ascii"), "drop"),
            naive_bayes.BernoulliNB(),
        ),
        "written",
        "binary",
    ),
    "words counted, weighed, singular vectors": (
        lambda _: pipe(
            written(pipe(text.CountVectorizer(), text.TfidfTransformer(), TruncatedSVD(4, random_state=0)), "drop"),
            logistic(),
        ),
        "written",
        "binary",
    ),
    "words before a forest": (lambda n: pipe(written(text.TfidfVectorizer(norm=None)), forest(n)), "written", "binary"),
    "words before boosting": (
        lambda n: pipe(
            written(text.CountVectorizer(), sparse_threshold=0), ensemble.HistGradientBoostingClassifier(max_iter=n)
        ),
        "written",
        "binary",
    ),
}  # fmt: skip
"""Models of texts."""

REFUSED = {
    "hashed words": (
        lambda _: pipe(written(text.HashingVectorizer(n_features=64), "drop"), logistic()),
        "written",
        "binary",
    ),
    "support vectors with probabilities": (lambda _: scaled(svm.SVC(probability=True)), "plain", "binary"),
    "forest after float32 bins": (
        lambda n: pipe(pre.KBinsDiscretizer(5, encode="ordinal", dtype=np.float32), forest(n)),
        "plain",
        "binary",
    ),
    "function of one's own": (lambda _: on(pre.FunctionTransformer(lambda numbers: numbers * 2)), "plain", "binary"),
}
"""What is refused by name, as it should be."""

MODELS = TREES | BOOSTING | PREPARED | LINEAR | OTHERS | WRAPPERS | TEXTS | REFUSED
