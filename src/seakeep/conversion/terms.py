"""What a vectoriser counts in a text: the one part of a model that is computed before its graph.

A vectoriser folds case and splits text by Python's Unicode tables and regular expressions, which the engine does not have.
So a model says in its metadata how its texts are split (:class:`Analysis`: data, no code), the session splits them with
Python's own ``str.lower``, ``unicodedata`` and ``re``, and the graph counts.

References
----------
scikit-learn, ``sklearn/feature_extraction/text.py``, release 1.9.1, whose analyses these are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from typing import Literal as OneOf

import msgspec
import numpy as np

from seakeep.errors import DataError, IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BETWEEN = "\x1f"
"""Stands between the terms of a text; a term that holds it is none of any vocabulary."""
MOST_LETTERS = 1 << 16
"""Length of a text, times the lengths of its terms in letters: whoever asks chooses it, and its terms take up a hundred times as much."""
MOST_CELLS = 1 << 20
"""Rows that are scored together, times the most terms of one of them, or of the vocabulary: each has a place in memory."""
_SPACES = re.compile(r"\s\s+")
_ATOM = r"(?:\\[wdsWDS]|\[\^?(?:[^\[\]\\]|\\.)+\])"
_PATTERN = re.compile(
    rf"(?:\(\?u\))?(?:\\b)?{_ATOM}{{0,8}}?(?P<last>{_ATOM})(?P<times>[+*]|\{{\d{{1,2}},\}}|\{{\d{{1,2}}(?:,\d{{1,2}})?\}})?(?P<end>\\b)?"
)


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """How a text becomes terms.

    Attributes
    ----------
    column
        Position of the text among the category inputs.
    units
        Runs of words, of characters, or of characters within words.
    accents
        How they are stripped: not at all, to ASCII, or by Unicode's decomposition.
    pattern
        What a word is, see :func:`is_linear`.
    shortest, longest
        Units in a term.
    ignored
        Words that do not count.
    vocabulary
        How many terms the model knows.
    """

    column: int
    units: OneOf["word", "char", "char_wb"] = "word"
    lowercase: bool = True
    accents: OneOf["", "ascii", "unicode"] = ""
    pattern: str = r"(?u)\b\w\w+\b"
    shortest: int = 1
    longest: int = 1
    ignored: tuple[str, ...] = ()
    vocabulary: int = 1


class Analyses(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's metadata say of its texts.

    Attributes
    ----------
    analyses
        One for each column of the graph's input of terms.
    unicode
        Version of the Unicode tables by which the model was proved.
    """

    analyses: tuple[Analysis, ...]
    unicode: str = unicodedata.unidata_version


class Terms:
    """Splits the texts of a model.

    Raises
    ------
    IntegrityError
        This Python has other Unicode tables than the model was proved by.
    """

    def __init__(self, told: Analyses) -> None:
        if told.unicode != unicodedata.unidata_version:
            message = f"the model splits text by Unicode {told.unicode}; this Python has {unicodedata.unidata_version}"
            raise IntegrityError(message, hint="serve it with the Python it was converted with, or convert it again")
        self._widest = max(analysis.vocabulary for analysis in told.analyses)
        self._columns = [(one.column, _most_letters(one), analyser(one)) for one in told.analyses]

    def parts(self, categories: NDArray[np.object_]) -> Iterator[tuple[slice, NDArray[np.object_]]]:
        """Rows that are scored together, with the terms of each of their texts, :data:`BETWEEN` them, object ``(n, analyses)``.

        The graph gives every row as many places as the one with the most terms needs, so a long text is not put together
        with many short ones.

        Raises
        ------
        DataError
            A text is longer than :data:`MOST_LETTERS` allows.
        """
        rows: list[list[str]] = []
        start, widest = 0, self._widest
        for place, texts in enumerate(categories):
            terms = [self._joined(texts[column], most, analyse) for column, most, analyse in self._columns]
            count = max(text.count(BETWEEN) for text in terms) + 1
            if rows and (len(rows) + 1) * max(widest, count) > MOST_CELLS:
                yield slice(start, place), np.array(rows, dtype=object)
                rows, start, widest = [], place, self._widest
            rows.append(terms)
            widest = max(widest, count)
        if rows:
            yield slice(start, len(categories)), np.array(rows, dtype=object)

    @staticmethod
    def _joined(text: str, most: int, analyse: Callable[[str], Iterable[str]]) -> str:
        if len(text) > most:
            message = f"a text of {len(text):,} letters is longer than the {most:,} that are split into terms"
            raise DataError(message, hint="send the part of it that matters")
        return BETWEEN.join([term for term in analyse(text) if BETWEEN not in term])


def _most_letters(analysis: Analysis) -> int:
    """How long a text may be: terms of letters overlap, so each length of them takes as much as the text."""
    lengths = 1 if analysis.units == "word" else analysis.longest - analysis.shortest + 1
    return MOST_LETTERS // lengths


def is_linear(pattern: str) -> bool:
    r"""Whether a pattern finds words in a time that does not grow faster than the text, whatever the text is.

    A client writes the text: a pattern that looks back again and again would hold a worker. Known to be linear, and so all
    that is accepted, are a few classes of characters (``\w``, ``[a-z]``) of which the last may be repeated, between word
    boundaries; an end at one only after ``\w``, because a run of those ends there by itself.
    """
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        return False
    endless = (found["times"] or "").endswith(("+", "*", ",}"))
    return not (found["end"] and endless) or found["last"] == r"\w"


def analyser(analysis: Analysis) -> Callable[[str], Iterable[str]]:
    """The terms of a text, as often as they occur."""
    shortest, longest = analysis.shortest, analysis.longest
    words, ignored = re.compile(analysis.pattern).findall, frozenset(analysis.ignored)

    def folded(text: str) -> str:
        text = text.lower() if analysis.lowercase else text
        return _strip(text, analysis.accents) if analysis.accents else text

    def of_words(text: str) -> Iterable[str]:
        kept = [word for word in words(folded(text)) if word not in ignored]
        return kept if longest == 1 else map(" ".join, _runs(kept, shortest, longest))

    def of_characters(text: str) -> Iterable[str]:
        return map("".join, _runs(_SPACES.sub(" ", folded(text)), shortest, longest))

    def within_words(text: str) -> Iterator[str]:
        for word in _SPACES.sub(" ", folded(text)).split():
            padded = f" {word} "
            for length in range(shortest, longest + 1):
                yield from (padded[at : at + length] for at in range(max(1, len(padded) - length + 1)))
                if length >= len(padded):
                    break

    return {"word": of_words, "char": of_characters, "char_wb": within_words}[analysis.units]


def _runs(units: Sequence[str], shortest: int, longest: int) -> Iterator[Sequence[str]]:
    """All runs of so many units, the shorter ones first."""
    for length in range(shortest, min(longest, len(units)) + 1):
        for at in range(len(units) - length + 1):
            yield units[at : at + length]


def _strip(text: str, how: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    if how == "ascii":
        return decomposed.encode("ascii", "ignore").decode("ascii")
    return "".join([letter for letter in decomposed if not unicodedata.combining(letter)])
