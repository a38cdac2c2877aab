"""Terms are those that scikit-learn's own analysers find, in any text."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import load_from_string
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seakeep.conversion import terms
from seakeep.conversion.emit import text as emitter
from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import TEXTS, ScoringSession
from seakeep.conversion.terms import BETWEEN, MOST_LETTERS, Analyses, Analysis, Terms, analyser, is_linear
from seakeep.errors import ConversionError, DataError, IntegrityError
from seakeep.records.feature import FeatureColumn

LETTERS = "aAzZ éÉßŞ\u0131İIﬁΣςñ\u0301\u200b_-'.,!09٣\t\n\x1f\u00a0\U0001f6a2中文"
ANY_TEXT = st.text(LETTERS, max_size=40) | st.text(max_size=20)


@st.composite
def settings_of(draw):
    shortest = draw(st.integers(1, 3))
    return {
        "analyzer": draw(st.sampled_from(["word", "char", "char_wb"])),
        "lowercase": draw(st.booleans()),
        "strip_accents": draw(st.sampled_from([None, "ascii", "unicode"])),
        "ngram_range": (shortest, shortest + draw(st.integers(0, 2))),
        "token_pattern": draw(st.sampled_from([r"(?u)\b\w\w+\b", r"\w+", r"[a-zé]+", r"(?u)\b\w{2,3}", r"\S+"])),
        "stop_words": draw(st.sampled_from([None, ["a", "the"]])),
    }


@settings(max_examples=60, deadline=None)
@given(settings_of(), st.lists(ANY_TEXT, max_size=4))
def test_terms_are_those_of_scikit_learn(chosen, texts):
    vectoriser = CountVectorizer(**chosen)
    expected = vectoriser.build_analyzer()
    shortest, longest = chosen["ngram_range"]
    words = chosen["analyzer"] == "word"
    found = analyser(
        Analysis(
            column=0,
            units=chosen["analyzer"],
            lowercase=chosen["lowercase"],
            accents=chosen["strip_accents"] or "",
            pattern=chosen["token_pattern"],
            shortest=shortest,
            longest=longest,
            ignored=tuple(chosen["stop_words"] or ()) if words else (),
        )
    )
    for text in texts:
        assert sorted(found(text)) == sorted(expected(text))


def split(told, *rows):
    """The parts that rows of texts are scored in: where each ends, and its terms."""
    categories = np.array(rows, dtype=object)
    return [(part.stop, terms.tolist()) for part, terms in Terms(Analyses(analyses=told)).parts(categories)]


def test_a_matrix_of_texts_becomes_one_of_terms():
    told = (Analysis(column=1), Analysis(column=1, units="char", shortest=2, longest=2))
    ((stop, found),) = split(told, ["x", "Late and cold"], ["y", ""], ["z", f"a{BETWEEN}b"])
    assert stop == len(found) == 3
    assert found[0][0].split(BETWEEN) == ["late", "and", "cold"]
    assert found[1] == ["", ""]
    assert found[2] == ["", ""], "a term that holds what stands between terms is none"
    assert split(told) == []


def test_a_text_of_any_length_is_not_split():
    words, letters = (Analysis(column=0),), (Analysis(column=0, units="char", shortest=2, longest=5),)
    for told, most in ((words, MOST_LETTERS), (letters, MOST_LETTERS // 4)):
        assert split(told, ["a" * most])
        with pytest.raises(DataError, match="longer than") as refusal:
            split(told, ["short"], ["a" * (most + 1)])
        assert refusal.value.hint


def test_a_long_text_does_not_make_short_ones_long(monkeypatch):
    monkeypatch.setattr(terms, "MOST_CELLS", 100)
    told = (Analysis(column=0, vocabulary=10),)
    short, long = ["good boat"], ["good boat " * 40]
    assert [stop for stop, _ in split(told, *[short] * 25)] == [10, 20, 25], "each row has a place for every term known"
    assert [stop for stop, _ in split(told, short, short, long, short, long)] == [2, 3, 4, 5]


def test_other_tables_of_unicode_are_refused():
    with pytest.raises(IntegrityError, match=r"Unicode 1\.0"):
        Terms(Analyses(analyses=(Analysis(column=0),), unicode="1.0"))


@pytest.mark.parametrize(
    "pattern",
    [r"(?u)\b\w\w+\b", r"\w+", r"[a-z]+", r"\b[A-Z][a-z]+", r"\S{2,}", r"\d{3}", r"[^\s]+", r"\b\w{2,5}\b", r"[\w']+"],
)
def test_patterns_that_take_no_longer_than_the_text_are_known(pattern):
    assert is_linear(pattern)
    re.compile(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(\w+)+x",
        r"\w+x",
        r"(?:a|b)+",
        r"[a-z]+\b",
        r"[a-z]{2,}\b",
        r"\w*\w*",
        r"(?i)\w+",
        r".*",
        r"(?=a)\w+",
        r"\w+\s\w+",
        r"(\w)\1",
    ],
)
def test_other_patterns_are_not(pattern):
    assert not is_linear(pattern)


COLUMNS = [FeatureColumn(name="remark", kind="category"), FeatureColumn(name="size", kind="number")]


def fitted(frame, vectoriser, columns="remark", model=None):
    label = np.arange(len(frame)) % 2
    return make_pipeline(
        ColumnTransformer([("text", vectoriser, columns)], remainder="passthrough"), model or LogisticRegression()
    ).fit(frame, label)


@pytest.fixture
def frame():
    import pandas as pd

    texts = ["late and cold", "early", "late late", "fog; snow", "", "naïve Straße"]
    return pd.DataFrame({"remark": pd.Series(texts, dtype=object), "size": np.arange(6.0)})


def _split(text):
    return text.split()


@pytest.mark.parametrize(
    ("vectoriser", "reason"),
    [
        (CountVectorizer(tokenizer=_split, token_pattern=None), "tokenizer is a function of one's own"),
        (CountVectorizer(preprocessor=str.lower), "preprocessor is a function"),
        (CountVectorizer(analyzer=_split), "analyzer is a function"),
        (CountVectorizer(token_pattern=r"\w+(?:\w+)+"), "might take long on texts"),
        (CountVectorizer(dtype=np.float32), "dtype=float32"),
        (TfidfVectorizer(dtype=np.float32), "dtype=float32"),
    ],
)
def test_what_is_not_copied_is_refused_with_the_setting(frame, vectoriser, reason):
    with pytest.raises(ConversionError, match=reason) as refusal:
        emit(fitted(frame, vectoriser), COLUMNS)
    assert refusal.value.hint


def test_a_vocabulary_that_would_fill_the_memory_is_refused(frame, monkeypatch):
    monkeypatch.setattr(emitter, "MOST_TERMS", 3)
    with pytest.raises(ConversionError, match="vocabulary of 8 terms is too large") as refusal:
        emit(fitted(frame, CountVectorizer()), COLUMNS)
    assert "max_features" in refusal.value.hint


def test_a_term_that_stands_between_terms_is_refused(frame):
    frame.loc[0, "remark"] = f"a{BETWEEN}"
    with pytest.raises(ConversionError, match="is a term"):
        emit(fitted(frame, CountVectorizer(analyzer="char")), COLUMNS)


def test_a_model_that_does_not_tell_how_to_split_is_refused(frame):
    model = load_from_string(emit(fitted(frame, CountVectorizer()), COLUMNS).model)
    del model.metadata_props[:]
    with pytest.raises(IntegrityError, match="tells of itself"):
        ScoringSession(model.SerializeToString())


def test_one_text_may_be_split_in_several_ways(frame):
    estimator = make_pipeline(
        ColumnTransformer(
            [("words", TfidfVectorizer(), "remark"), ("letters", CountVectorizer(analyzer="char"), "remark")],
            remainder="passthrough",
        ),
        LogisticRegression(),
    ).fit(frame, np.arange(len(frame)) % 2)
    session = ScoringSession(emit(estimator, COLUMNS).model)
    scores = session.score(frame[["size"]].to_numpy(), frame[["remark"]].to_numpy(dtype=object))
    np.testing.assert_allclose(scores, estimator.predict_proba(frame)[:, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("told", "instead"),
    [
        ('"lowercase":true', '"lowercase":false'),
        ('"accents":"unicode"', '"accents":"ascii"'),
        ('"ignored":[]', '"ignored":["late"]'),
    ],
    ids=["case", "accents", "words"],
)
def test_a_proof_finds_a_text_that_is_split_otherwise(frame, told, instead):
    emission = emit(fitted(frame, CountVectorizer(strip_accents="unicode")), COLUMNS)
    model = load_from_string(emission.model)
    (about,) = [entry for entry in model.metadata_props if entry.key == TEXTS]
    assert told in about.value
    about.value = about.value.replace(told, instead)
    wrong = dataclasses.replace(emission, model=model.SerializeToString())
    rows = Rows(frame[["size"]].to_numpy(), frame[["remark"]].to_numpy(dtype=object))
    trained = native_scorer(fitted(frame, CountVectorizer(strip_accents="unicode")), COLUMNS)
    right, found = (prove(trained, one, rows, threshold=0.5, artefact_sha256="0" * 64) for one in (emission, wrong))
    assert right.passed
    assert right.cases["texts"] > 100
    assert not found.passed
