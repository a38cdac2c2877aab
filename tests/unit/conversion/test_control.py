import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from seakeep.conversion.control import LEAVES, mutants
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


TREES = [
    HistGradientBoostingClassifier(max_iter=20),
    GradientBoostingClassifier(n_estimators=20),
    RandomForestClassifier(20, max_depth=4, random_state=0),
]


@pytest.mark.parametrize("estimator", TREES, ids=lambda one: type(one).__name__)
def test_each_mutant_scores_its_row_otherwise_and_the_proof_finds_every_one(estimator):
    estimator, rows = fitted(estimator)
    emission = emit(estimator, COLUMNS)
    row = rows.take(np.array([7]))
    before = ScoringSession(emission.model).score(row.numbers, row.categories)
    after = [session.score(row.numbers, row.categories) for session in mutants(emission, row)]
    assert len(after) == LEAVES
    assert all(abs(one - before)[0] > emission.tolerance for one in after)
    proof = prove(native_scorer(estimator, COLUMNS), emission, rows, threshold=0.5, artefact_sha256="")
    assert (proof.passed, proof.mutants, proof.mutants_caught) == (True, LEAVES, LEAVES)


def test_a_proof_that_would_not_notice_a_changed_leaf_does_not_pass(monkeypatch):
    estimator, rows = fitted(HistGradientBoostingClassifier(max_iter=20))
    monkeypatch.setattr("seakeep.conversion.control.CHANGE", 0.0)
    proof = prove(native_scorer(estimator, COLUMNS), emit(estimator, COLUMNS), rows, threshold=0.5, artefact_sha256="")
    assert (proof.passed, proof.mutants, proof.mutants_caught) == (False, LEAVES, 0)


def test_a_model_without_trees_has_no_leaf_to_change():
    estimator, rows = fitted(LogisticRegression())
    assert list(mutants(emit(estimator, COLUMNS), rows.take(np.array([0])))) == []
