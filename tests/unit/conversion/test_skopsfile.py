"""Estimators without pickle: the same bytes for the same estimator, and no type that nobody looked at."""

import io
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from seakeep.conversion.skopsfile import dumps, loads
from seakeep.errors import ConversionError

pytest.importorskip("skops")

X = np.random.default_rng(0).normal(size=(60, 2))
Y = (X[:, 0] > X[:, 1]).astype(int)


def double(numbers):
    return numbers * 2


@pytest.fixture
def own():
    """A pipeline with a function of this file in it."""
    return make_pipeline(FunctionTransformer(double), DecisionTreeClassifier(max_depth=3)).fit(X, Y)


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, HistGradientBoostingClassifier])
def test_an_estimator_comes_back_with_its_bits_and_is_written_to_the_same_bytes(kind):
    estimator = kind(random_state=0).fit(X, Y)
    archive = dumps(estimator)
    again = loads(archive)
    assert again.predict_proba(X).tobytes() == estimator.predict_proba(X).tobytes()
    assert dumps(estimator) == archive


def test_a_booster_comes_back_with_its_bits():
    xgboost = pytest.importorskip("xgboost")
    estimator = xgboost.XGBClassifier(n_estimators=3, booster="gblinear").fit(X, Y)
    assert loads(dumps(estimator)).predict_proba(X).tobytes() == estimator.predict_proba(X).tobytes()


def test_functions_that_nobody_trusts_are_refused_by_name_and_those_of_the_project_taken(own):
    with pytest.raises(ConversionError, match=f"not trusted: {double.__module__}.double"):
        dumps(own)
    archive = dumps(own, [double.__module__])
    with pytest.raises(ConversionError, match="not trusted"):
        loads(archive)
    assert loads(archive, [double.__module__]).predict_proba(X).tobytes() == own.predict_proba(X).tobytes()


def test_what_runs_programs_is_refused_when_it_is_read(own):
    """The archive names ``os.system`` where it named a function of the project."""
    archive = dumps(own, [double.__module__])
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        files = {name: read.read(name) for name in read.namelist()}
    schema = files["schema.json"].decode()
    assert f'"{double.__module__}"' in schema
    files["schema.json"] = schema.replace(f'"{double.__module__}"', '"os"').replace('"double"', '"system"').encode()
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
    with pytest.raises(ConversionError, match=r"not trusted: (os|posix)\.system"):
        loads(forged.getvalue(), [double.__module__])


def test_what_cannot_be_stored_or_read_is_told(own):
    own.steps[0][1].func = lambda numbers: numbers
    with pytest.raises(ConversionError):
        dumps(own)
    with pytest.raises(ConversionError, match="cannot be read"):
        loads(b"PK\x03\x04 no archive")
