"""Estimators as skops archives: a description of their parts and plain arrays, no pickle.

Reading one builds objects of named types and nothing else, so that a list of types is the whole audit: those that skops
trusts by itself (the estimators of scikit-learn, functions of NumPy), :data:`TRUSTED`, and the project's own modules
where their code is part of the sealed version.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection
from typing import Any

from seakeep.errors import ConversionError, PlatformError

TRUSTED = frozenset({
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.clip",
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn.utils.validation.check_array",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "xgboost.sklearn.XGBRegressor",
})  # fmt: skip
"""What may be built beyond what skops trusts itself: parts of the frameworks' own estimators, none of which opens files,
starts programs or calls what the archive names."""
_SCHEMA = "schema.json"
_DATE = (1980, 1, 1, 0, 0, 0)


def dumps(estimator: object, own: Collection[str] = ()) -> bytes:
    """A fitted estimator as an archive: the same bytes for the same estimator.

    Parameters
    ----------
    own
        Names of modules that are the project's own and may be built from as well.

    Raises
    ------
    ConversionError
        A part of it cannot be written without pickle, or is of a type that is not trusted.
    PlatformError
        Skops is not installed.
    """
    skops = _skops()
    try:
        content = skops.dumps(estimator)
    except Exception as error:  # parts of an estimator raise what they like
        raise ConversionError(
            f"{type(estimator).__name__} cannot be stored without pickle: {type(error).__name__}: {str(error)[:500]}",
            hint="build it from named functions and classes of installed packages or of the project",
        ) from error
    archive = _in_order(content)
    _require_trusted(skops, archive, own)
    return archive


def loads(content: bytes, own: Collection[str] = ()) -> Any:
    """The estimator in an archive.

    Raises
    ------
    ConversionError
        It is damaged, or holds a type that is not trusted.
    PlatformError
        Skops is not installed.
    """
    skops = _skops()
    try:
        trusted = _require_trusted(skops, content, own)
        return skops.loads(content, trusted=trusted)
    except ConversionError:
        raise
    except Exception as error:  # damaged archives make it raise what they like
        raise ConversionError(
            f"the skops archive cannot be read: {type(error).__name__}: {str(error)[:500]}",
            hint="save it again, or convert the run again",
        ) from error


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        message = "skops is not installed, which reads and writes estimators without pickle"
        raise PlatformError(message, hint="pip install 'seakeep[sklearn]'") from error
    return skops.io


def _require_trusted(skops: Any, content: bytes, own: Collection[str]) -> list[str]:
    found = skops.get_untrusted_types(data=content)
    unknown = sorted(name for name in found if name not in TRUSTED and name.rpartition(".")[0] not in own)
    if unknown:
        raise ConversionError(
            f"the estimator holds types that are not trusted: {', '.join(unknown)[:1000]}",
            hint="use an importable function of NumPy or scikit-learn in place of a lambda"
            if any("<lambda>" in one for one in unknown)
            else "build it from scikit-learn's, XGBoost's, LightGBM's and CatBoost's own classes and NumPy's functions"
            "; what is served natively, from those of the project's own files too",
        )
    return list(found)


def _in_order(content: bytes) -> bytes:
    """The archive with its parts numbered as they come, in place of addresses in memory, and without dates."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return [renamed(one) for one in node]
        return {key: value_of(key, value) for key, value in node.items()} if isinstance(node, dict) else node

    def value_of(key: str, value: Any) -> Any:
        if key == "__id__" and isinstance(value, int):
            return numbers.setdefault(value, len(numbers) + 1)
        if key == "file" and isinstance(value, str) and value in files:
            return names.setdefault(value, f"{len(names) + 1}.{value.rpartition('.')[2]}")
        return renamed(value)

    schema = json.dumps(renamed(json.loads(files.pop(_SCHEMA))), separators=(",", ":"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(_SCHEMA, _DATE), schema)
        for name, other in names.items():
            archive.writestr(zipfile.ZipInfo(other, _DATE), files[name])
    return buffer.getvalue()
