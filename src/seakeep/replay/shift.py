"""Yes-or-no answers before and after, row by row: how many changed in each group of rows, and whether by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.monitoring.proportion import paired_difference
from seakeep.monitoring.significance import benjamini_hochberg, sign_flips
from seakeep.records.replay import Shift
from seakeep.records.run import Metric
from seakeep.training.evaluate import Resampled, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shifts(
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    group: NDArray[np.int64],
    groups: int,
    blocks: Resampled,
) -> list[Shift | None]:
    """How each group of rows shifted; None for a group without rows.

    Parameters
    ----------
    before, after
        bool ``(n,)``.
    group
        Of each row, ``(n,)``: 0 to ``groups - 1``, or below 0 for rows of no group.
    blocks
        Of the rows.
    """
    place = np.where(group >= 0, blocks.block * groups + group, -1)

    def count(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How many of some rows each block has of each group, ``(blocks, groups)``."""
        chosen = place[rows & (place >= 0)]
        return np.bincount(chosen, minlength=len(blocks) * groups).astype(np.float64).reshape(len(blocks), groups)

    rows, up, down = count(np.ones(len(before), dtype=np.bool_)), count(after & ~before), count(before & ~after)
    both = count(before & after).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        nets = (blocks.weights @ (up - down)) / (blocks.weights @ rows)
    return [
        _shift(
            rows=int(rows[:, one].sum()),
            up=int(up[:, one].sum()),
            down=int(down[:, one].sum()),
            both=int(both[one]),
            resampled=interval(nets[:, one]),
            p_value=sign_flips((up - down)[:, one]),
        )
        if rows[:, one].any()
        else None
        for one in range(groups)
    ]


def corrected(found: Sequence[Shift]) -> list[Shift]:
    """The same shifts, with p-values corrected for how many there are."""
    adjusted = benjamini_hochberg(np.array([one.p_value for one in found], dtype=np.float64))
    return [msgspec.structs.replace(one, p_value=p) for one, p in zip(found, adjusted.tolist(), strict=True)]


def _shift(*, rows: int, up: int, down: int, both: int, resampled: Metric, p_value: float) -> Shift:
    few = paired_difference(both, up, down, rows) or resampled
    net = Metric(value=(up - down) / rows, low=min(resampled.low, few.low), high=max(resampled.high, few.high))
    return Shift(rows=rows, up=up, down=down, net=net, p_value=p_value)
