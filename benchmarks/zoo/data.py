"""Simulated rows that the zoo's models are trained on."""

import dataclasses

import numpy as np
import pandas as pd

from seakeep.conversion.rows import Rows
from seakeep.records.feature import FeatureColumn

NUMBERS = ["shift", "wide", "count", "skewed"]
TEXT = "place"
REMARK = "remark"
WORDS = ["late", "on", "time", "crew", "fog", "snow", "Ice", "ICE", "naïve", "Straße", "and", "the", "runway", "closed"]
PLACES = ["Aden", "Bergen", "Cádiz", "Dover", "", "Elba"]
SHARES = [0.3, 0.3, 0.2, 0.1, 0.08, 0.02]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One draw: ``plain`` numbers, numbers with ``missing`` ones, both with a category (``full``, ``mixed``), and ``written``:
    numbers with a text of several words.
    """

    plain: pd.DataFrame
    missing: pd.DataFrame
    full: pd.DataFrame
    mixed: pd.DataFrame
    written: pd.DataFrame
    binary: np.ndarray
    three: np.ndarray
    value: np.ndarray
    positive: np.ndarray
    pair: np.ndarray

    @property
    def codes(self):
        """The three classes as numbers, for frameworks that take no text."""
        return np.unique(self.three, return_inverse=True)[1]

    def columns(self, kind):
        """The model's inputs for one of the frames."""
        return [
            FeatureColumn(name=name, kind="category" if name in (TEXT, REMARK) else "number")
            for name in getattr(self, kind)
        ]

    def rows(self, kind):
        """The same frame as matrices."""
        frame = getattr(self, kind)
        text = [name for name in frame if name in (TEXT, REMARK)]
        categories = frame[text].to_numpy(dtype=object).reshape(len(frame), len(text))
        return Rows(frame[NUMBERS].to_numpy(dtype=np.float64), categories)


def draw(rows, seed):
    """Four numbers of different shapes, a text with rare and empty values, and targets that depend on them."""
    rng = np.random.default_rng(seed)
    plain = pd.DataFrame(
        {
            "shift": rng.normal(size=rows),
            "wide": rng.normal(size=rows) * 100,
            "count": rng.integers(0, 9, rows).astype(float),
            "skewed": rng.lognormal(size=rows),
        }
    )
    missing = plain.mask(rng.random(plain.shape) < 0.1)
    place = pd.Series(np.array(PLACES, dtype=object)[rng.choice(len(PLACES), rows, p=SHARES)], dtype=object)
    signal = plain["shift"] + plain["wide"] / 100 + (plain["count"] > 4) + (place == "Aden")
    signal = (signal + rng.normal(size=rows) * 0.5).to_numpy()
    lengths = rng.integers(0, 9, rows)
    remarks = [
        " ".join([*rng.choice(WORDS, size), *["fog"] * int(high > 1)])
        for size, high in zip(lengths, signal, strict=True)
    ]
    thirds = np.digitize(signal, [0.4, 1.4])
    return Sample(
        plain=plain,
        missing=missing,
        full=plain.assign(place=place),
        mixed=missing.assign(place=place),
        written=plain.assign(remark=pd.Series(remarks, dtype=object)),
        binary=(signal > 0.9).astype(int),
        three=np.array(["high", "low", "middle"])[[1, 2, 0]][thirds],
        value=signal * 10,
        positive=np.exp(signal),
        pair=np.column_stack([signal * 10, np.exp(signal)]),
    )
