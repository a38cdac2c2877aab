"""Archives of skops: a description of an estimator's parts and plain arrays, no pickle.

Reading one builds objects of named types and nothing else, so that a list of types is the whole audit: those that skops
trusts by itself (estimators of scikit-learn, functions of NumPy), and :data:`TRUSTED`.
"""

from __future__ import annotations

from collections.abc import Sequence

from seakeep.conversion.formats.bounds import zip_entries
from seakeep.conversion.formats.format import Format, Taken, fitted
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

TRUSTED = frozenset({
    "collections.OrderedDict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
})  # fmt: skip
"""What may be built beyond what skops trusts itself: parts of the frameworks' own estimators, none of which opens files,
starts programs or calls what the archive names."""


def _take(content: bytes, columns: Sequence[FeatureColumn]) -> Taken:
    from skops.io import get_untrusted_types, loads

    unknown = sorted(set(get_untrusted_types(data=content)) - TRUSTED)
    if unknown:
        raise ConversionError(
            f"the skops archive holds what is not trusted: {', '.join(unknown)[:1000]}",
            hint="use an importable function of NumPy or scikit-learn in place of a lambda"
            if any("<lambda>" in one for one in unknown)
            else "build the estimator from scikit-learn's, XGBoost's and LightGBM's own classes and NumPy's functions",
        )
    return fitted(loads(content, trusted=sorted(TRUSTED)), columns)


FORMAT = Format(
    name="skops",
    told="a skops archive",
    suffixes=(".skops",),
    extra="skops",
    recognise=lambda content, name: "schema.json" in zip_entries(content, name),
    take=_take,
)
