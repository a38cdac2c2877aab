"""The rows a parity proof tries beyond the validation rows: where converted models are known to go wrong."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from seakeep.conversion.rows import Rows, joined, spread
from seakeep.conversion.witness import Walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.column import Origin
    from seakeep.conversion.emit.forest import Forest, Tree

MOST_BOUNDARY_ROWS = 100_000
_MOST_WITNESSES = 20_000
_STRANGE = "\u0130I\u0131 Stra\u00dfe \ufb01n e\u0301\u00e9 \u03a3\u03a3 \u0663 a\u200bb _x 1st \U0001f6a2"
"""Letters whose case, form or kind libraries disagree on."""
_UNSEEN = "\N{SNOWMAN} never seen"
_SINGLE_MAX = float(np.finfo(np.float32).max)
_ASIDE, _ASIDE_SINGLE = 1e-9, 1e-6
_EXTREMES = (
    *(0.0, -0.0, 5e-324, 1e-310, 1e-45, float(np.finfo(np.float32).tiny)),  # zeros and denormals of both precisions
    *(2.0**24 + 1, 2.0**53 + 1, -1.0, 1.7e9, 1.7e15),  # first integers without a float; seconds, microseconds of today
    *(_SINGLE_MAX, -_SINGLE_MAX, np.nextafter(_SINGLE_MAX, np.inf), 1e39, 1e308, np.inf, -np.inf),
)


def extremes(rows: Rows, base: NDArray[np.int64]) -> Rows:
    """Each number input at extreme values, in each of the rows ``base``."""
    changes = [(i, value) for value in _EXTREMES for i in range(rows.numbers.shape[1])]
    return _changed(rows, base, changes, "number")


def missing(rows: Rows, base: NDArray[np.int64]) -> Rows:
    """Each input missing, and all of them at once, in each of the rows ``base``."""
    parts = [
        _changed(rows, base, [(i, np.nan) for i in range(rows.numbers.shape[1])], "number"),
        _changed(rows, base, [(i, "") for i in range(rows.categories.shape[1])], "category"),
    ]
    nothing = rows.take(base)
    nothing.numbers[:] = np.nan
    parts.append(Rows(nothing.numbers.copy(), nothing.categories.copy()))
    nothing.categories[:] = ""
    return joined([*parts, nothing])


def unseen(rows: Rows, base: NDArray[np.int64]) -> Rows:
    """Each category input never seen, very long, padded and in the other case, in each of the rows ``base``."""
    changes: list[tuple[int, Any]] = []
    for i in range(rows.categories.shape[1]):
        changes += [(i, text) for text in (_UNSEEN, "x" * 4096, " ", "nan", "None", "0")]
        known = sorted(set(rows.categories[:, i].tolist()))
        for text in (known[j] for j in spread(len(known), 16)):
            changes += [(i, text.swapcase()), (i, f"{text} ")]
    return _changed(rows, base, changes, "category")


def texts(rows: Rows, base: NDArray[np.int64], positions: Sequence[int]) -> Rows:
    """Each text that is split into terms, of the rows ``base``, in other cases, forms, spacings and orders, and beside other texts."""
    triples = [
        (int(row), position, text)
        for position in positions
        for row in base
        for text in _rewritten(
            rows.categories[row, position], rows.categories[(row + 1) % len(rows), position], _STRANGE
        )
    ]
    return _set_each(rows, triples, "category")


def _rewritten(text: str, other: str, strange: str) -> list[str]:
    words = text.split()
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    spaced = [space.join(words) for space in ("  ", "\t", "\n", "\N{NO-BREAK SPACE}", "\x1f", "-", "_", "'", "")]
    return [
        *(text.upper(), text.lower(), text.title(), text.swapcase(), text.casefold(), f" {text} ", text[::-1]),
        *(*forms, *spaced, " ".join(words[::-1]), " ".join([text] * 40), f"{text} {other}", f"{text}{other}"),
        *(f"{text} {strange}", f"{strange} {text}", *(text + letter for letter in strange), strange),
    ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Rows that stand at the splits of a forest, and how many more there would have been.

    Attributes
    ----------
    untraced
        Splits on columns that depend on several inputs, for which no row is made.
    """

    boundaries: Rows
    categories: Rows
    missing: Rows
    left_out: int
    untraced: int = 0


def splits(
    forest: Forest, matrix: Callable[[Rows], NDArray[np.float64]], rows: Rows, most: int | None = None
) -> Splits:
    """For every split a row that meets it and to which it matters, with the split's input next below, at and next above the threshold.

    Where the input is a category, the row gets every known one instead; and each row is tried with the input missing.
    Neighbours are taken in the precision in which the trees compare. Splits that no row meets get any row.

    Parameters
    ----------
    forest
        The trees.
    matrix
        What the trees look at, for given inputs.
    rows
        Real rows.
    most
        Rows of each kind at most; by default :data:`MOST_BOUNDARY_ROWS`.
    """
    most = MOST_BOUNDARY_ROWS if most is None else most
    rows = rows.take(spread(len(rows), _MOST_WITNESSES))
    seen = matrix(rows)
    found = [_traced(forest, tree, seen) for tree in forest.trees]
    threshold, met, lacking = (np.concatenate([getattr(part, name) for part in found]) for name in _Traced.ARRAYS)
    origins = [origin for part in found for origin in part.origins]
    ordered = [i for i, origin in enumerate(origins) if not origin.choices and np.isfinite(threshold[i])]
    numbers = [origins[i] for i in ordered]
    chosen = [(int(row), origin) for row, origin in zip(met, origins, strict=True) if origin.choices]
    absent = [_strange(rows, [pair for pair in chosen if pair[1].kind == "category"])]
    if forest.missing:
        absent.append(_at_missing(rows, lacking[ordered], numbers))
    parts = [
        _at_thresholds(rows, met[ordered], threshold[ordered], numbers, single=forest.single),
        joined([_with_choices(rows, chosen, kind) for kind in ("number", "category")]),
        joined(absent),
    ]
    capped = [part.take(spread(len(part), most)) for part in parts]
    left_out = sum(map(len, parts)) - sum(map(len, capped))
    untraced = sum(part.untraced for part in found)
    return Splits(boundaries=capped[0], categories=capped[1], missing=capped[2], left_out=left_out, untraced=untraced)


@dataclasses.dataclass(frozen=True, slots=True)
class _Traced:
    """The splits of one tree whose column comes from an input: thresholds, rows to try them and NaN with, origins."""

    ARRAYS: ClassVar = ("threshold", "met", "lacking")
    threshold: NDArray[np.float64]
    met: NDArray[np.int64]
    lacking: NDArray[np.int64]
    origins: list[Origin]
    untraced: int


def _traced(forest: Forest, tree: Tree, seen: NDArray[np.float64]) -> _Traced:
    walk = Walk(tree, seen)
    met = walk.witnesses()
    inner = np.flatnonzero(~tree.is_leaf)
    origins = [forest.columns[i].origin for i in tree.column[inner].tolist()]
    known = inner[[origin is not None for origin in origins]]
    return _Traced(
        tree.threshold[known],
        np.maximum(walk.telling(met)[known], 0),
        np.maximum(walk.telling(met, missing=True)[known], 0),
        [origin for origin in origins if origin is not None],
        len(inner) - len(known),
    )


def around(threshold: NDArray[np.float64], *, single: bool) -> NDArray[np.float64]:
    """Values on both sides of each threshold, as close as the comparison can tell apart; shape ``(m, 3)`` or ``(m, 5)``.

    In double these are the threshold and its neighbours. When values are rounded to float32 first, they are the last
    float32 at or below the threshold, the first above it, and the double halfway with its neighbours, where the
    rounding turns.
    """
    if not single:
        return np.stack([np.nextafter(threshold, -np.inf), threshold, np.nextafter(threshold, np.inf)], axis=1)
    with np.errstate(over="ignore"):  # beside the greatest float32, a border of CatBoost's, lies infinity
        nearest = threshold.astype(np.float32)
        below = np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
        above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
    last = below.astype(np.float64)
    halfway = last + (above - last) / 2
    turn = [np.nextafter(halfway, -np.inf), halfway, np.nextafter(halfway, np.inf)]
    return np.stack([last, *turn, above], axis=1)


def _at_thresholds(
    rows: Rows, met: NDArray[np.int64], threshold: NDArray[np.float64], origins: Sequence[Origin], *, single: bool
) -> Rows:
    kind = np.array([2 if one.bends else int(one.scale != 1 or one.shift != 0) for one in origins], dtype=np.int64)
    position = np.array([origin.position for origin in origins], dtype=np.int64)
    parts = []
    for which, values_at in enumerate((_exactly, _scaled, _bent)):
        chosen = np.flatnonzero(kind == which)
        values = values_at(threshold[chosen], [origins[i] for i in chosen.tolist()], single=single)
        made = _set_numbers(rows, met[chosen], position[chosen], values)
        parts.append(made.take(np.flatnonzero(np.isfinite(values).ravel())))
    return joined(parts)


def _exactly(threshold: NDArray[np.float64], origins: Sequence[Origin], *, single: bool) -> NDArray[np.float64]:  # noqa: ARG001 -- as its siblings
    return around(threshold, single=single)


def _scaled(threshold: NDArray[np.float64], origins: Sequence[Origin], *, single: bool) -> NDArray[np.float64]:
    scale = np.array([origin.scale for origin in origins])[:, None]
    shift = np.array([origin.shift for origin in origins])[:, None]
    with np.errstate(all="ignore"):
        centre = around(threshold, single=single) * scale + shift
        # Undoing a scaler is not exact: step over the rounding error of its largest intermediate value.
        step = np.spacing(np.maximum(np.abs(centre), np.abs(shift)))
    return np.concatenate([centre - step, centre, centre + step], axis=1)


def _bent(threshold: NDArray[np.float64], origins: Sequence[Origin], *, single: bool) -> NDArray[np.float64]:
    """Values beside the threshold, not at it: of a curve the last bits may differ and nobody is wrong."""
    aside = _ASIDE_SINGLE if single else _ASIDE
    away = aside * np.maximum(np.abs(threshold), 1.0)
    with np.errstate(all="ignore"):
        sides = np.stack([threshold - away, threshold + away], axis=1)
        undone = [origin.back(pair) for origin, pair in zip(origins, sides, strict=True)]
    return np.array(undone).reshape(-1, 2)


def _at_missing(rows: Rows, met: NDArray[np.int64], origins: Sequence[Origin]) -> Rows:
    pairs = sorted({(row, origin.position) for row, origin in zip(met.tolist(), origins, strict=True)})
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return _set_numbers(rows, table[:, 0], table[:, 1], np.full((len(table), 1), np.nan))


def _set_numbers(rows: Rows, met: NDArray[np.int64], position: NDArray[np.int64], values: NDArray[np.float64]) -> Rows:
    """Row ``met[i]`` once for each of ``values[i]``, with the number at ``position[i]`` set to it."""
    width = values.shape[1]
    changed = rows.take(np.repeat(met, width))
    changed.numbers[np.arange(len(changed)), np.repeat(position, width)] = values.ravel()
    return changed


def _with_choices(rows: Rows, chosen: Sequence[tuple[int, Origin]], kind: str) -> Rows:
    triples = [
        (row, origin.position, choice)
        for row, origin in dict.fromkeys(chosen)
        if origin.kind == kind
        for choice in origin.choices
    ]
    return _set_each(rows, triples, kind)


def _strange(rows: Rows, chosen: Sequence[tuple[int, Origin]]) -> Rows:
    pairs = sorted({(row, origin.position) for row, origin in chosen})
    return _set_each(rows, [(*pair, text) for pair in pairs for text in ("", _UNSEEN)], "category")


def _set_each(rows: Rows, triples: Sequence[tuple[int, int, Any]], kind: str) -> Rows:
    """For each ``(row, position, value)`` that row with the input at that position set."""
    changed = rows.take(np.array([row for row, _, _ in triples], dtype=np.int64))
    target: NDArray[Any] = changed.numbers if kind == "number" else changed.categories
    for i, (_, position, value) in enumerate(triples):
        target[i, position] = value
    return changed


def _changed(rows: Rows, base: NDArray[np.int64], changes: Sequence[tuple[int, Any]], kind: str) -> Rows:
    return _set_each(rows, [(int(row), i, value) for i, value in changes for row in base], kind)
