"""Vectorisers of text: refused, and why.

A vectoriser splits text by a Python regular expression, folds case and strips accents by Python's Unicode tables. The
engine's tokeniser knows neither (its own expressions are RE2's, its ``StringNormalizer`` depends on the locale), so a
graph would agree on some texts and silently differ on others.
"""

from __future__ import annotations

from typing import Any, NoReturn

from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import transformer
from seakeep.errors import ConversionError


@transformer(CountVectorizer, TfidfVectorizer, HashingVectorizer, TfidfTransformer, DictVectorizer, FeatureHasher)
def refuse(graph: Graph, step: Any, table: Table, where: str) -> NoReturn:  # noqa: ARG001 -- an emitter's signature
    """Refuse it by name."""
    splits = isinstance(step, (CountVectorizer, HashingVectorizer))  # a TfidfVectorizer is a CountVectorizer
    why = "splits text by rules of Python's that the engine does not have" if splits else "has no exact emitter here"
    raise ConversionError(
        f"{where}: {type(step).__name__} {why}",
        hint="serve this model by its native runtime, or compute the counts of the words that matter as features",
    )
