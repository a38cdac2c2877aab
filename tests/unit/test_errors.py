import ast
import inspect
import re

import pytest

import seakeep.errors
from seakeep.errors import (
    Fault,
    ProjectFaults,
    RerunMismatch,
    RowError,
    SeakeepError,
    UnavailableError,
    did_you_mean,
)

KINDS = [one for _, one in inspect.getmembers(seakeep.errors, inspect.isclass) if issubclass(one, SeakeepError)]


def drawn():
    """Parent by name, as the tree at the top of the module draws it."""
    parents, above = {}, []
    for line in inspect.getdoc(seakeep.errors).splitlines():
        found = re.match(r"([ │├└─]*)(\w+(?:Error|Mismatch|Faults))\b", line.removeprefix("    "))
        if found:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_is_drawn_as_it_is():
    assert drawn() == {one.__name__: one.__bases__[0].__name__ for one in KINDS}


def test_every_fault_has_a_code_of_its_own():
    codes = [one.code for one in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_faults_need_nothing_but_the_standard_library():
    tree = ast.parse(inspect.getsource(seakeep.errors))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"__future__", "collections.abc", "dataclasses", "difflib"}


@pytest.mark.parametrize("kind", [one for one in KINDS if one not in {ProjectFaults, RerunMismatch}])
def test_a_fault_says_what_happened_and_what_to_do(kind):
    plain, hinted = kind("it broke"), kind("it broke", hint="mend it")
    assert (str(plain), plain.message, plain.hint) == ("it broke", "it broke", "")
    assert (str(hinted), hinted.hint) == ("it broke", "mend it")
    assert isinstance(plain, SeakeepError)


def test_some_faults_carry_more():
    row = RowError("bad", row=3, column="carrier")
    assert (row.row, row.column) == (3, "carrier")
    assert (RowError("bad").row, RowError("bad").column) == (0, "")
    assert (UnavailableError("busy").retry_after_s, UnavailableError("busy", retry_after_s=7).retry_after_s) == (1, 7)
    assert RerunMismatch("differs", differences=("numpy 2.1 -> 2.2",)).differences == ("numpy 2.1 -> 2.2",)


def test_all_faults_of_a_project_are_one_text_with_a_line_each():
    faults = (Fault(file="a.toml", line=3, message="no"), Fault(file="b.py", line=1, message="nor this", hint="x"))
    error = ProjectFaults(faults)
    assert str(error) == "a.toml:3: no\nb.py:1: nor this"
    assert error.faults == faults
    assert "seakeep check" in error.hint


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("lat", ["late", "fraud"], "did you mean 'late'?"),
        ("xyz", ["late", "fraud"], "known: fraud, late"),
        ("xyz", [], "known: none"),
        ("", ["late"], "known: late"),
    ],
)
def test_the_nearest_name_is_offered(word, known, hint):
    assert did_you_mean(word, iter(known)) == hint
