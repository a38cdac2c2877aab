"""Small fitted sources, with the rows that candidates are made of."""

import functools
import warnings

import numpy as np
import pytest
from benchmarks.zoo import data
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from seakeep.clock import DAY_US
from seakeep.conversion.optimise.maker import Material
from seakeep.features.frame import Frame
from seakeep.records.outputs import Outputs

MOST = 12
TREES = {
    "histogram": lambda trees: HistGradientBoostingClassifier(max_iter=trees, max_leaf_nodes=6, early_stopping=False),
    "histogram of numbers": lambda trees: HistGradientBoostingRegressor(max_iter=trees, max_leaf_nodes=6),
    "boosting": lambda trees: GradientBoostingClassifier(n_estimators=trees, max_depth=2, random_state=0),
    "forest": lambda trees: RandomForestClassifier(trees, max_depth=4, random_state=0),
    "extra trees of numbers": lambda trees: ExtraTreesRegressor(trees, max_depth=4, random_state=0),
}
NETWORKS = {
    "network": lambda: MLPClassifier(hidden_layer_sizes=(8, 4), max_iter=40, random_state=0),
    "network of numbers": lambda: MLPRegressor(hidden_layer_sizes=(8,), max_iter=40, random_state=0),
}


def frame(sample, inputs, label):
    """Rows of the zoo as a frame of thirty days."""
    rows, columns = sample.rows(inputs), sample.columns(inputs)
    numbers, categories = iter(rows.numbers.T), iter(rows.categories.T)
    count = len(rows)
    return Frame(
        columns=tuple(columns),
        values={one.name: next(numbers if one.kind == "number" else categories) for one in columns},
        key=np.array([f"k{i}" for i in range(count)], dtype=object),
        time_us=np.arange(count) * 30 * DAY_US // count,
        label=np.asarray(label, dtype=np.float64),
        label_known_us=np.zeros(count, dtype=np.int64),
    )


@functools.cache
def material(name):
    """A source of :data:`TREES` or :data:`NETWORKS`, fitted on 300 rows, with 200 to choose by."""
    inputs = "full" if name == "mixed" else "plain"
    number = "numbers" in name
    learn, calibrate = data.draw(300, 0), data.draw(200, 1)
    target = [one.value if number else one.binary for one in (learn, calibrate)]
    rows = frame(learn, inputs, target[0])
    if name in NETWORKS:
        source = make_pipeline(StandardScaler(), NETWORKS[name]())
    else:
        source = make_pipeline(StandardScaler(), TREES[name](MOST))
    return Material(
        source=source.fit(rows.to_pandas(), rows.label),
        outputs=Outputs(kind="value") if number else Outputs(),
        learn=rows,
        calibrate=frame(calibrate, inputs, target[1]),
        seed=0,
    )


@pytest.fixture(autouse=True)
def _quietly():
    """Without warnings, and in one thread: several that wait for a busy core take seconds for a few rows."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # networks do not converge in so few passes
        yield
