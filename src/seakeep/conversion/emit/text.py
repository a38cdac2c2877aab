"""Vectorisers of text: terms are split before the graph, and counted and weighed in it.

Read from scikit-learn 1.9.1, ``feature_extraction/text.py``. The split itself is :mod:`seakeep.conversion.terms`. Counts are
exact; weights are in double. Functions of one's own are refused, and so are patterns that a client could make slow, and
vectorisers that hash.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

import numpy as np
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import require, require_numbers, transformer
from seakeep.conversion.emit.scale import unit_rows
from seakeep.conversion.session import CATEGORIES, TERMS
from seakeep.conversion.terms import BETWEEN, Analysis, is_linear
from seakeep.errors import ConversionError

MOST_TERMS = 1 << 14
"""Terms of a vocabulary: a row becomes a number for each, in memory."""


@transformer(CountVectorizer)
def count(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """How often each term of the vocabulary occurs, or whether it does."""
    counts, columns = _counted(graph, step, table, where)
    return Table(graph.new_columns(counts, columns), sparse=True)


@transformer(TfidfVectorizer)
def count_and_weigh(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Counts, weighed by how rare the terms are."""
    counts, columns = _counted(graph, step, table, where)
    return Table(graph.new_columns(_weighed(graph, step, counts, len(columns), where), columns), sparse=True)


@transformer(TfidfTransformer)
def weigh(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """The same weights, of counts that another step made."""
    require_numbers(table, where)
    matrix = graph.matrix(table.columns)
    graph.refuse_nonfinite(matrix)
    columns = [dataclasses.replace(column, origin=None) for column in table.columns]
    return Table(graph.new_columns(_weighed(graph, step, matrix, len(columns), where), columns), sparse=True)


@transformer(HashingVectorizer, DictVectorizer, FeatureHasher)
def refuse(graph: Graph, step: Any, table: Table, where: str) -> NoReturn:  # noqa: ARG001 -- an emitter's signature
    """Refuse it by name."""
    raise ConversionError(
        f"{where}: {type(step).__name__} has no exact emitter here",
        hint="use a TfidfVectorizer or CountVectorizer, or serve this model by its native runtime",
    )


def _counted(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, list[Column]]:
    """Counts ``(n, terms)``, double, and what they are columns of."""
    column = table.columns[0]
    require(
        condition=len(table.columns) == 1
        and (column.tensor, column.kind) == (CATEGORIES, "category")
        and not (column.codes or column.renamed),
        where=where,
        what="it does not split one text input of the model as it is",
        hint="name one text column in a ColumnTransformer: ('text', TfidfVectorizer(), 'description')",
    )
    vocabulary = sorted(step.vocabulary_, key=step.vocabulary_.get)
    unsuited = [term for term in vocabulary if BETWEEN in term or not term]
    require(
        condition=len(vocabulary) <= MOST_TERMS and not unsuited,
        where=where,
        what=f"{unsuited[0]!r} is a term" if unsuited else f"a vocabulary of {len(vocabulary):,} terms is too large",
        hint="name such a term in stop_words" if unsuited else f"give it max_features={MOST_TERMS}, or fewer",
    )
    counts = graph.double(
        graph.node(
            "TfIdfVectorizer",
            _split(graph, _analysis(step, column, len(vocabulary), where)),
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(len(vocabulary))),
            pool_strings=vocabulary,
        )
    )
    if step.binary:
        graph.flat = True
        counts = graph.node("Min", counts, graph.number(1.0))
    return counts, [Column(name=term, tensor=counts, position=0, kind="number", origin=None) for term in vocabulary]


def _split(graph: Graph, analysis: Analysis) -> str:
    """The terms of a text, a row with one beside the other and ``""`` behind them, ``(n, most)``."""
    if analysis not in graph.analyses:
        graph.analyses.append(analysis)
    column = graph.take(TERMS, [graph.analyses.index(analysis)])
    return graph.nodes("StringSplit", 2, graph.shape(column, -1), delimiter=BETWEEN)[0]


def _analysis(step: Any, column: Column, vocabulary: int, where: str) -> Analysis:
    own = [name for name in ("preprocessor", "tokenizer") if getattr(step, name) is not None]
    own += [name for name in ("analyzer", "strip_accents") if callable(getattr(step, name))]
    require(
        condition=not own,
        where=where,
        what=f"{own[0]} is a function of one's own" if own else "",
        hint="use the vectoriser's own settings, compute its counts as features, or serve the model natively",
    )
    require(
        condition=step.input == "content" and np.dtype(step.dtype) in (np.dtype(np.int64), np.dtype(np.float64)),
        where=where,
        what=f"input={step.input!r} and dtype={np.dtype(step.dtype).name} are not copied",
        hint="leave input and dtype at their defaults",
    )
    require(
        condition=step.analyzer != "word" or is_linear(step.token_pattern),
        where=where,
        what=f"token_pattern={step.token_pattern!r} might take long on texts that somebody chose for it",
        hint=r"use classes of characters of which the last is repeated, as in r'(?u)\b\w+\b' or r'[a-z]+'",
    )
    words = step.analyzer == "word"
    ignored = step.get_stop_words() if words else None
    shortest, longest = step.ngram_range
    return Analysis(
        column=column.position,
        units=step.analyzer,
        lowercase=bool(step.lowercase),
        accents=step.strip_accents or "",
        **({"pattern": step.token_pattern} if words else {}),
        shortest=int(shortest),
        longest=int(longest),
        ignored=tuple(sorted(ignored or ())),
        vocabulary=vocabulary,
    )


def _weighed(graph: Graph, step: Any, counts: str, width: int, where: str) -> str:
    """Counts as term frequencies, times the rarity of their terms, in rows of one length."""
    require(
        condition=np.dtype(getattr(step, "dtype", np.float64)) == np.float64,
        where=where,
        what="weights in single precision are not copied",
        hint="leave dtype at its default",
    )
    zero, one = graph.number(0.0), graph.number(1.0)
    if step.sublinear_tf:
        there = graph.node("Greater", counts, zero)
        logs = graph.node("Add", graph.node("Log", graph.node("Where", there, counts, one)), one)
        counts = graph.node("Where", there, logs, zero)
    if step.use_idf:
        counts = graph.node("Mul", counts, graph.row(step.idf_))
    return unit_rows(graph, counts, width, step.norm, least=np.nextafter(0.0, 1.0)) if step.norm else counts
