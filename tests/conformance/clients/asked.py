"""What the clients ask, and what must come of it."""

import math

import numpy as np
from tests.serving_rig import expected_score

LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"
ROWS = [(1.5, 500.0, "AA"), (math.nan, 250.0, "UA"), (-3.0, math.nan, "")]


def columns():
    """Name, datatype and values of each input, in columns of shape ``(n, 1)``."""
    late, distance, carrier = zip(*ROWS, strict=True)
    return [
        (LATE, "FP64", np.array(late).reshape(-1, 1)),
        (DISTANCE, "FP32", np.array(distance, dtype=np.float32).reshape(-1, 1)),
        (CARRIER, "BYTES", np.array([text.encode() for text in carrier], dtype=object).reshape(-1, 1)),
    ]


def expected(version=3):
    return [expected_score(*row, bias=version / 8) for row in ROWS]
