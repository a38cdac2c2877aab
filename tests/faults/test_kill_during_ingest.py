"""A process killed while it ingests leaves whole batches only, and sending all again counts each once."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.clock import DAY_US
from seakeep.features.resolve import resolve
from seakeep.features.service import FeatureService
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, count, total
from seakeep.records.model import Label, Model
from seakeep.records.source import ColumnSchema, Events

SCHEMAS = {
    "e": (
        ColumnSchema(name="at", kind="time", nullable=False),
        ColumnSchema(name="who", kind="string"),
        ColumnSchema(name="x", kind="float"),
    ),
    "r": (
        ColumnSchema(name="t", kind="time", nullable=False),
        ColumnSchema(name="id", kind="string", nullable=False),
        ColumnSchema(name="who", kind="string"),
    ),
}
SOURCE, ASKING = Events("e", time="at"), Events("r", time="t", key="id")
MODEL = Model(
    "m",
    on=ASKING,
    features=[
        FeatureView("v", SOURCE, "who", {"n": count(over=["1d"]), "x": total("x", over=["1d"])}),
        FeatureView("w", SOURCE, "who", {"n": count(over=["2d"])}),
    ],
    label=Label(ASKING, col("who") == "yes"),
    train=lambda frame: frame,
)
DEFINITION = resolve(MODEL.definition, SCHEMAS)
WHO = ["a", "b", "c", "d"]


def batch(number):
    """One event of every entity, each worth its number in the sum, so that a lost or doubled one shows."""
    return {"at": [number + 1] * 4, "who": WHO, "x": [float(number)] * 4}


def read(store):
    times = np.full(4, DAY_US // 2)
    table = {"t": times.view("datetime64[us]"), "who": np.array(WHO, dtype=object)}
    return FeatureService(store).assemble(DEFINITION, table, times).numbers


CHILD = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from test_kill_during_ingest import *
service = FeatureService(LmdbOnlineStore(Path(sys.argv[1])))
service.add(DEFINITION)
for number in itertools.count():
    service.ingest("e", batch(number), str(number))
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [3, 40, 90])
def test_killed_at_any_moment(tmp_path, acknowledged):
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "store"), here], stdout=subprocess.PIPE, text=True
    )
    last = -1
    for line in child.stdout:
        last = int(line)
        if last >= acknowledged:
            break
    time.sleep(0.0007 * (acknowledged % 7))
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    last = int(rest[-1]) if rest and rest[-1].isdecimal() else last

    store = LmdbOnlineStore(tmp_path / "store")
    found = read(store)
    applied = int(found[0, 0])
    assert applied in {last + 1, last + 2}  # acknowledged, and perhaps one more that was not yet told
    # every batch is whole: all entities and both views agree
    np.testing.assert_array_equal(found, [[applied, sum(range(applied)), applied]] * 4)

    service = FeatureService(store)
    whole = applied + 20
    fresh = [service.ingest("e", batch(number), str(number)) for number in range(whole)]
    assert fresh == [False] * applied + [True] * 20
    np.testing.assert_array_equal(read(store), [[whole, sum(range(whole)), whole]] * 4)
    store.close()
