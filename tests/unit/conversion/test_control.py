import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from seakeep.conversion.control import CHANGE, CHANGES, mutants
from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.records.feature import FeatureColumn

COLUMNS = tuple(FeatureColumn(name=name, kind="number") for name in ("a", "b"))


def fitted(estimator):
    import pandas as pd

    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(500, 2))
    label = (numbers[:, 0] + rng.normal(size=500) > 0).astype(int)
    estimator.fit(pd.DataFrame(numbers, columns=["a", "b"]), label)
    return estimator, Rows(numbers, np.empty((500, 0), dtype=object))


MODELS = [
    LogisticRegression(),
    HistGradientBoostingClassifier(max_iter=20),
    GradientBoostingClassifier(n_estimators=20),
    RandomForestClassifier(20, max_depth=4, random_state=0),
]


@pytest.mark.parametrize("estimator", MODELS, ids=lambda one: type(one).__name__)
def test_each_mutant_scores_its_row_otherwise_and_the_proof_finds_every_one(estimator):
    estimator, rows = fitted(estimator)
    emission = emit(estimator, COLUMNS)
    row = rows.take(np.array([7]))
    before = ScoringSession(emission.model).score(row.numbers, row.categories)
    after = [session.score(row.numbers, row.categories) for session in mutants(emission, row)]
    changes = len(after)
    assert changes == (2 if isinstance(estimator, LogisticRegression) else CHANGES)
    assert all(abs(one - before)[0] > emission.tolerance for one in after)
    proof = prove(native_scorer(estimator, COLUMNS), emission, rows, threshold=0.5, artefact_sha256="")
    assert (proof.passed, proof.mutants, proof.mutants_caught) == (True, changes, changes)


@pytest.mark.parametrize(
    ("estimator", "changes"), [(HistGradientBoostingClassifier(max_iter=20), CHANGES), (LogisticRegression(), 2)]
)
def test_a_proof_that_would_not_notice_a_change_does_not_pass(monkeypatch, estimator, changes):
    estimator, rows = fitted(estimator)
    monkeypatch.setattr("seakeep.conversion.control.CHANGE", 0.0)
    proof = prove(native_scorer(estimator, COLUMNS), emit(estimator, COLUMNS), rows, threshold=0.5, artefact_sha256="")
    assert (proof.passed, proof.mutants, proof.mutants_caught) == (False, changes, 0)


def test_a_coefficient_whose_input_is_nought_is_not_changed_and_a_shared_constant_stays():
    estimator, _ = fitted(LogisticRegression())
    estimator.coef_[:] = 0.5
    emission = emit(estimator, COLUMNS)
    row = Rows(np.array([[0.0, -3.0]]), np.empty((1, 0), dtype=object))
    (mutant,) = mutants(emission, row)
    before = ScoringSession(emission.model).score(row.numbers, row.categories)
    after = mutant.score(row.numbers, row.categories)
    assert after - before == pytest.approx(CHANGE * before * (1 - before), rel=1e-4)
