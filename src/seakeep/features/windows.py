"""Windows over the events of an entity: the arithmetic, and the evaluation over a whole history at once.

An event belongs to the window of length ``w`` at time ``t`` when ``t - w <= known < t``, where ``known`` is the
event's time plus its source's delay.

Sums are differences of running sums. A running sum in floating point drifts: after ``n`` events its error can reach
``n * 2**-53`` of everything ever added, and a difference inherits it. Here each running sum is a pair, the rounded sum
and the running sum of its exact rounding errors, so that a window's sum is exact for whole numbers (below 2**53) and
otherwise right to the last bit but for an absolute error of at most ``n**2 * 2**-106 * sum(|x|)``.

References
----------
Knuth, The Art of Computer Programming 2, 4.2.2, theorem B (TwoSum: the exact error of an addition).
Ogita, Rump and Oishi (2005), Accurate sum and dot product, SIAM J. Sci. Comput. 26(6), algorithm 4.4 (Sum2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from seakeep.features.plan import EventValues, Output, ViewPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")


def running_sums(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Running sums of the non-missing values.

    Parameters
    ----------
    values
        float64 ``(n,)``, NaN for missing.

    Returns
    -------
    tuple
        Each of shape ``(n + 1,)``, starting at 0: the rounded sums, the sums of their rounding errors, and how many
        values were not missing.
    """
    present = ~np.isnan(values)
    added = np.where(present, values, 0.0)
    high = np.concatenate(([0.0], np.cumsum(added)))
    before, after = high[:-1], high[1:]
    part = after - before
    errors = (before - (after - part)) + (added - part)
    low = np.concatenate(([0.0], np.cumsum(errors)))
    count = np.concatenate(([0], np.cumsum(present)))
    return high, low, count


def between(high_start: Number, high_end: Number, low_start: Number, low_end: Number) -> Number:
    """The sum between two points of a running sum; for floats and arrays alike, with the same bits."""
    difference = high_end - high_start
    part = difference - high_end
    error = (high_end - (difference - part)) + (-high_start - part)
    return difference + (error + (low_end - low_start))


def canonical_order(values: EventValues, entities: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
    """Positions in the order of entity, time and then latest values, so that ``latest`` never depends on arrival.

    Of events known at the same moment the greatest value is the latest; a missing one is the least.
    """
    keys: list[NDArray[Any]] = [] if entities is None else [entities]
    keys.append(values.known_us)
    keys += [np.where(np.isnan(numbers), -np.inf, numbers) for numbers in values.numbers]
    keys += [np.unique(strings, return_inverse=True)[1] for strings in values.strings]
    return np.lexsort(keys[::-1])


def aggregate(
    plan: ViewPlan,
    entities: NDArray[np.object_],
    values: EventValues,
    asking: NDArray[np.object_],
    times_us: NDArray[np.int64],
) -> dict[str, NDArray[Any]]:
    """The view's inputs for every asking row, from the whole history.

    Parameters
    ----------
    entities, values
        Whose the ``m`` events are and what the view keeps of them.
    asking, times_us
        Entity and moment of each of the ``n`` asking rows.

    Returns
    -------
    dict
        By column name, shape ``(n,)``: float64, or object of ``str`` for categories.
    """
    index: dict[str, int] = {}
    event_codes = np.array([index.setdefault(name, len(index)) for name in entities.tolist()], dtype=np.int64)
    asking_codes = np.array([index.get(name, -1) for name in asking.tolist()], dtype=np.int64)
    order = canonical_order(values, event_codes)
    ordered = values.select(order)
    # Entity and time in one sortable integer: times are replaced by their rank, since both would not fit in 64 bits.
    moments = np.unique(ordered.known_us)
    span = len(moments) + 1
    places = event_codes[order] * span + np.searchsorted(moments, ordered.known_us)

    def first_from(times: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(places, asking_codes * span + np.searchsorted(moments, times))

    ends = first_from(times_us)
    starts = [first_from(times_us - window) for window in plan.windows_us]
    sums = [running_sums(one) for one in ordered.sums]
    return {name: _output(output, starts[output.window], ends, ordered, sums) for name, output in plan.outputs.items()}


def _output(
    output: Output, starts: NDArray[np.intp], ends: NDArray[np.intp], events: EventValues, sums: list[Any]
) -> NDArray[Any]:
    if output.function == "count":
        return (ends - starts).astype(np.float64)
    if output.function == "latest":
        some = ends > starts
        kept: NDArray[Any] = (events.strings if output.kind == "category" else events.numbers)[output.value]
        result: NDArray[Any] = np.full(len(ends), "" if output.kind == "category" else np.nan, dtype=kept.dtype)
        result[some] = kept[ends[some] - 1]
        return result
    high, low, count = sums[output.value]
    total: NDArray[np.float64] = between(high[starts], high[ends], low[starts], low[ends])
    if output.function == "sum":
        return total
    present = count[ends] - count[starts]
    mean: NDArray[np.float64] = np.divide(total, present, out=np.full(len(ends), np.nan), where=present > 0)
    return mean
