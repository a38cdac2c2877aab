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
"""Length of a text: whoever asks chooses it, and its terms take up a hundred times as much."""
_SPACES = re.compile(r"\s\s+")
_ATOM = r"(?:\\[wdsWDS]|\[\^?(?:[^\[\]\\]|\\.)+\])"
_PATTERN = re.compile(
    rf"(?:\(\?u\))?(?:\\b)?{_ATOM}{{0,8}}?(?P<last>{_ATOM})(?P<times>[+*]|\{{\d+,\}}|\{{\d+(?:,\d+)?\}})?(?P<end>\\b)?"
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
    """

    column: int
    units: OneOf["word", "char", "char_wb"] = "word"
    lowercase: bool = True
    accents: OneOf["", "ascii", "unicode"] = ""
    pattern: str = r"(?u)\b\w\w+\b"
    shortest: int = 1
    longest: int = 1
    ignored: tuple[str, ...] = ()


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
        self._columns = [(analysis.column, analyser(analysis)) for analysis in told.analyses]

    def of(self, categories: NDArray[np.object_]) -> NDArray[np.object_]:
        """The terms of each text, :data:`BETWEEN` them, object ``(n, analyses)``.

        Raises
        ------
        DataError
            A text is longer than :data:`MOST_LETTERS`.
        """
        found = np.empty((len(categories), len(self._columns)), dtype=object)
        for place, (column, analyse) in enumerate(self._columns):
            texts: list[str] = categories[:, column].tolist()
            longest = max(map(len, texts), default=0)
            if longest > MOST_LETTERS:
                message = f"a text of {longest:,} letters is longer than the {MOST_LETTERS:,} that are split into terms"
                raise DataError(message, hint="send the part of it that matters")
            found[:, place] = [BETWEEN.join([term for term in analyse(text) if BETWEEN not in term]) for text in texts]
        return found


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
