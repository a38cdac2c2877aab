"""A search of a model of classes and of a native one: with everything but the project's stores, and times that are given."""

import dataclasses
import hashlib
import types
import warnings

import msgspec
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tests import strange_model
from threadpoolctl import threadpool_limits

from seakeep.clock import DAY_US
from seakeep.conversion import process, providers
from seakeep.conversion.emit.model import emit
from seakeep.conversion.engine import open_session
from seakeep.conversion.int8 import quantised
from seakeep.conversion.nativesession import NativeSession
from seakeep.conversion.optimise import workshop
from seakeep.errors import ConversionError, TrainingError
from seakeep.features.frame import Frame
from seakeep.project import optimise
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import TopShare
from seakeep.records.optimise import Limits, Recipe
from seakeep.records.outputs import PROBABILITY, classes
from seakeep.training.artefact import to_bytes
from seakeep.training.split import calibration_split

FRUIT = classes("pear", "apple", "fig")
COLUMNS = tuple(
    FeatureColumn(name=name, kind=kind)
    for name, kind in (("late", "number"), ("distance", "number"), ("carrier", "category"))
)
THREADS = Recipe(by="engine", told="2 threads", settings={"threads": 2})
HALF = Recipe(by="trees", told="3 of 6 trees", settings={"trees": 3})
SMALL = Recipe(by="distil", told="a student of trees", settings={"trees": 3, "leaves": 4})
NETWORK = Recipe(by="perceptron", told="a student network", settings={"units": 4})
LOOSE = Limits(loss=5.0)


def frame(rows, seed, outputs, columns=COLUMNS):
    rng = np.random.default_rng(seed)
    late, distance = rng.normal(size=(2, rows))
    carrier = rng.choice(np.array(["AA", "UA", "DL"], dtype=object), rows)
    scores = np.column_stack([late, distance, np.zeros(rows)]) + rng.gumbel(size=(rows, 3)) / 4
    label = scores.argmax(axis=1) if outputs.of_classes else scores[:, 0] > 0
    return Frame(
        columns=columns,
        values={"late": late, "distance": distance, "carrier": carrier},
        key=np.array([f"k{i}" for i in range(rows)], dtype=object),
        time_us=np.arange(rows) * 20 * DAY_US // rows,
        label=label.astype(np.float64),
        label_known_us=np.zeros(rows, dtype=np.int64),
    )


class Project:
    """Stands in for the part of a project that a search asks: its runs, trainings, proofs and versions."""

    def __init__(self, estimator, outputs, columns):
        self.learn, self.validate = frame(120, 0, outputs, columns), frame(160, 1, outputs, columns)
        self.estimator, self.converted = to_bytes(estimator), []
        self.run = types.SimpleNamespace(
            id="r-1",
            artefact=hashlib.sha256(self.estimator).hexdigest(),
            definition=types.SimpleNamespace(
                columns=columns, label=types.SimpleNamespace(outputs=outputs), decision=TopShare(0.1)
            ),
            seed=0,
            threshold=0.5,
            origin=msgspec.UNSET,
        )

    def code(self, run):
        assert run is self.run
        return {}

    def validation(self, run):
        return self.validate

    def proved(self, run, estimator, rows, *, native):
        assert native
        raise ConversionError("it cannot be kept", hint="")

    def without(self, run, names, into):
        raise TrainingError("train failed: it names its columns", hint="")

    def convert(self, run, *, actor, native):
        self.converted.append((run, actor, native))
        return types.SimpleNamespace(ref="m:2"), None


class Given:
    """Stands in for the stop-watch: what is served natively is the fastest, and the source the slowest."""

    def __init__(self, models, rows, *, batch):
        for session, columns in models.values():  # they are open, and answer
            some = dataclasses.replace(rows.select(np.arange(3)), columns=tuple(columns))
            assert len(session.score(some.numbers(), some.categories())) == 3

    def __call__(self, names, calls):
        us = {"the source": 100.0, optimise.NATIVE.told: 5.0}
        return [us.get(name, 50.0) * np.linspace(1, 1.01, calls) for name in names]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(providers, "find_gpu", lambda *_: None)
    monkeypatch.setattr(optimise.assess, "InTurn", Given)
    monkeypatch.setattr(workshop, "limit", lambda *_: None)
    monkeypatch.setattr(process, "PROGRAM", strange_model.PROGRAM)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # networks do not converge in so few passes
        yield


@pytest.fixture
def optimiser(tmp_path, monkeypatch):
    """An optimiser of a stand-in project, whose candidates of these recipes are made in this process."""

    def opened(project, model, *recipes):
        made = optimise.Optimiser(None, project, lambda reference: types.SimpleNamespace(ref=reference), None)
        calibrate, test = calibration_split(project.validate)

        def source(self, version, sessions):
            return optimise.Source(
                version=version,
                bundle=types.SimpleNamespace(model=model),
                session=optimise._opened(model, sessions),
                run=project.run,
                artefact=project.estimator,
                learn=project.learn,
                validate=project.validate,
                calibrate=calibrate,
                test=test,
            )

        monkeypatch.setattr(optimise.Optimiser, "_source", source)

        def here(folder, module, **_):
            asked = msgspec.json.decode((folder / workshop.REQUEST).read_bytes(), type=workshop.Request)
            few = msgspec.structs.replace(asked, recipes=asked.recipes or recipes)
            (folder / workshop.REQUEST).write_bytes(msgspec.json.encode(few))
            workshop.run(folder)

        monkeypatch.setattr("seakeep.conversion.convert.run_caged", here)
        return made

    return opened


def of_classes():
    rows = frame(120, 0, FRUIT, COLUMNS[:2])
    return HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=4).fit(rows.to_pandas(), rows.label)


def test_a_model_of_classes_is_searched_and_every_kind_of_candidate_is_held_against_it(optimiser):
    estimator = of_classes()
    project = Project(estimator, FRUIT, COLUMNS[:2])
    model = emit(estimator, COLUMNS[:2], FRUIT).model
    search = optimiser(project, model, THREADS, HALF, SMALL, NETWORK).search
    found = search("m:1", LOOSE, dry_run=True)
    told = {one.told: one for one in found.attempts}
    assert (found.known_by, found.refusal) == ("roc_auc", "")
    assert found.chosen in told
    for recipe in (THREADS, HALF, SMALL, NETWORK):
        assert told[recipe.told].fault == ""
        assert told[recipe.told].metric.value > (0 if recipe is NETWORK else 0.6)  # so few rows teach no network
    same, student = told[THREADS.told], told[SMALL.told]
    assert same.flips == 0
    assert same.loss.value == pytest.approx(0, abs=1e-12)
    assert same.metric.value == pytest.approx(told["the source"].metric.value)
    assert student.flips > 0
    assert student.loss.value != 0
    assert found.confirmed.rows == 80
    session = open_session(model)
    scores = session.score(project.validate.numbers(), project.validate.categories())
    assert scores.shape == (160, 3)  # so the search did see probabilities of classes


def test_a_network_of_classes_is_quantised_and_answers_as_its_own_estimator():
    rows = frame(120, 0, FRUIT, COLUMNS[:2])
    network = MLPClassifier((4,), max_iter=5, random_state=0).fit(rows.to_pandas(), rows.label)
    for learnt in (None, rows.to_pandas().to_numpy()):
        made = quantised(network, learnt)
        told = made.predict_proba(rows.to_pandas())
        assert np.abs(told - network.predict_proba(rows.to_pandas())).max() < 0.02
        np.testing.assert_array_equal(made.predict(rows.to_pandas()), told.argmax(axis=1))
        session = open_session(emit(made, rows.columns, FRUIT).model)
        np.testing.assert_allclose(session.score(rows.numbers(), rows.categories()), told, rtol=0, atol=1e-12)


def test_what_could_not_be_made_is_told_with_what_to_do(optimiser):
    estimator = of_classes()
    project = Project(estimator, FRUIT, COLUMNS[:2])
    found = optimiser(project, emit(estimator, COLUMNS[:2], FRUIT).model, THREADS).search("m:1", LOOSE, dry_run=True)
    faults = {one.told: one.fault for one in found.attempts if one.fault}
    assert faults[optimise.NATIVE.told] == "not made: it cannot be kept"
    fewer = faults["without 1 of 2 inputs"]
    assert fewer.startswith("not made: train failed: it names its columns; its columns are those of frame.columns")


def yes_or_no():
    rows = frame(120, 0, PROBABILITY)
    columns = make_column_transformer((OneHotEncoder(sparse_output=False), ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(rows.to_pandas(), rows.label)


def test_a_native_version_is_searched_and_its_process_ends_with_the_search(optimiser, monkeypatch):
    project = Project(yes_or_no(), PROBABILITY, COLUMNS)
    opened = []

    def remembered(model):
        opened.append(open_session(model))
        return opened[-1]

    monkeypatch.setattr(optimise, "open_session", remembered)
    monkeypatch.setattr(optimise, "DROPPED", ())
    found = optimiser(project, strange_model.strange_model(), SMALL).search("m:1", LOOSE, dry_run=True)
    told = {one.told: one for one in found.attempts}
    assert found.chosen in {SMALL.told, optimise.ENGINE.told}
    assert (told[SMALL.told].fault, told[optimise.ENGINE.told].fault) == ("", "")
    assert optimise.NATIVE.told not in told  # it is one
    assert isinstance(opened[0], NativeSession)
    assert not opened[0].close.alive


def test_the_native_runtime_is_a_candidate_and_another_version_of_the_same_run(optimiser, monkeypatch):
    estimator = yes_or_no()
    project = Project(estimator, PROBABILITY, COLUMNS)
    kept = types.SimpleNamespace(model=strange_model.strange_model())
    monkeypatch.setattr(Project, "proved", lambda *_, native: kept)
    monkeypatch.setattr(optimise, "DROPPED", ())
    found = optimiser(project, emit(estimator, COLUMNS).model, SMALL).search("m:1", LOOSE, actor="ada")
    assert (found.chosen, found.version.ref) == (optimise.NATIVE.told, "m:2")
    assert project.converted == [("r-1", "ada", True)]
    assert {one.told for one in found.attempts if one.calls} == {"the source", SMALL.told, optimise.NATIVE.told}
