"""Splits by time: a model is judged on rows asked after everything it learnt from was known."""

from __future__ import annotations

import numpy as np

from seakeep.clock import DAY_US, format_moment
from seakeep.errors import TrainingError
from seakeep.features.frame import Frame

VALIDATE_SHARE = 0.2
"""Share of the time range that judges the model when nothing else is said."""


def split(frame: Frame, *, validate_from_us: int) -> tuple[Frame, Frame]:
    """Labelled rows to learn from and labelled rows to judge by.

    Rows asked before ``validate_from_us`` whose label became known only later are in neither (they are purged): on the
    day of training nobody had them.

    Raises
    ------
    TrainingError
        One side has no row.

    References
    ----------
    López de Prado (2018), Advances in Financial Machine Learning, section 7.4 (purging).
    """
    labelled = ~np.isnan(frame.label)
    before = frame.time_us < validate_from_us
    train = frame.select(labelled & before & (frame.label_known_us < validate_from_us))
    validate = frame.select(labelled & ~before)
    for rows, side in ((train, "to learn from before"), (validate, "to validate on from")):
        if not len(rows):
            raise TrainingError(
                f"no labelled rows {side} {format_moment(validate_from_us)}",
                hint=f"{_extent(frame)}; choose another moment to validate from, or check the label's key and delay",
            )
    return train, validate


def default_validate_from(frame: Frame) -> int:
    """The moment from which the last fifth of the labelled time range validates, at the start of a UTC day if possible.

    Raises
    ------
    TrainingError
        No row has a label.
    """
    times = frame.time_us[~np.isnan(frame.label)]
    if not len(times):
        raise TrainingError(
            f"none of the {len(frame):,} rows has a label",
            hint="check that the label's source holds the same keys as the asking source, and its delay",
        )
    first, last = int(times.min()), int(times.max())
    moment = last - round(VALIDATE_SHARE * (last - first))
    midnight = moment - moment % DAY_US
    return midnight if midnight > first else moment


def calibration_split(validate: Frame) -> tuple[Frame, Frame]:
    """The earlier half of labelled validation rows, to choose by, and the later one, to test the choice.

    They meet at the start of a day where there is one inside, because the rows of one day are alike.

    Raises
    ------
    TrainingError
        There are not two moments to part.
    """
    rows = validate.select(np.isfinite(validate.label))
    times = np.sort(rows.time_us)
    if not len(rows) or times[0] == times[-1]:
        raise TrainingError(
            f"{len(rows):,} labelled validation rows cannot be parted in time into two halves",
            hint="train with an earlier moment to validate from",
        )
    middle = int(times[len(times) // 2])
    nights = [
        day for day in (middle - middle % DAY_US, middle - middle % DAY_US + DAY_US) if times[0] < day <= times[-1]
    ]
    border = min(nights, key=lambda day: abs(day - middle)) if nights else middle
    earlier = rows.time_us < max(border, int(times[0]) + 1)
    return rows.select(earlier), rows.select(~earlier)


def _extent(frame: Frame) -> str:
    times = frame.time_us[~np.isnan(frame.label)]
    if not len(times):
        return f"none of the {len(frame):,} rows has a label"
    return f"labelled rows reach from {format_moment(int(times.min()))} to {format_moment(int(times.max()))}"
