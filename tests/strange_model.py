"""The process of a native model that does what its category says, without the frameworks: it starts in a moment.

It answers as the rig's ONNX model does, and prints all the while. ``raise``, ``exit``, ``die`` and ``hang`` are done where
a row has that carrier; ``hang`` holds the interpreter, so that no thread of it runs any more.
"""

import os
import re
import signal
import sys

import numpy as np

from seakeep.conversion.compare import answers
from seakeep.conversion.packed import Native, Packed, pack
from seakeep.conversion.resident import main
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import Outputs

CARRIERS = {"AA": 0.25, "UA": -0.5, "DL": 1.5}
PROGRAM = (__file__,)


def strange_model(*, broken: str = "") -> bytes:
    """The packed model; ``broken``: it cannot be loaded, for this reason."""
    columns = tuple(
        FeatureColumn(name=name, kind=kind)
        for name, kind in (("late", "number"), ("distance", "number"), ("carrier", "category"))
    )
    native = Native(columns=columns, outputs=Outputs())
    return pack(Packed(native=native, estimator=broken.encode(), code={}))


def score(numbers, categories):
    print("a word of the model")  # noqa: T201 -- as models do
    os.write(1, b"and bytes\0")
    asked = set(categories[:, 0].tolist())
    if "raise" in asked:
        raise ZeroDivisionError
    if "exit" in asked:
        sys.exit(3)
    if "die" in asked:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in asked:
        re.fullmatch(r"(a+)+b", "a" * 64)
    filled = np.nan_to_num(numbers)
    effect = np.array([CARRIERS.get(one, 0.0) for one in categories[:, 0]])
    return 1 / (1 + np.exp(-(0.125 * filled[:, 0] + 0.001 * filled[:, 1] + effect)))


def load(packed):
    if packed.estimator:
        from seakeep.errors import IntegrityError

        raise IntegrityError(packed.estimator.decode())
    return lambda rows: answers(score, rows).scores


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), load))
