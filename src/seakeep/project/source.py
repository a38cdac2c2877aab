"""Finds the line of a declaration in a project's file, from the words that lead to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

_QUOTED = re.compile(r"'([^']+)'")


class SourceLines:
    """The text of a project's file, searched by what it declares.

    Parameters
    ----------
    text
        Python source that has been parsed before.
    """

    def __init__(self, text: str) -> None:
        self._tree = ast.parse(text)

    def line(self, *words: str, message: str = "") -> int:
        """The line that the words lead to, each looked for within the place of the one before it.

        A word is a declared name, a keyword, a dictionary key, a variable or a string. As ``FeatureView:weather`` it is
        only a declaration of that kind: a view and a source may share a name. Words that are not found are passed over.
        The first quoted word of ``message`` that is a string there leads from the declaration to the fault.
        """
        place: ast.AST = self._tree
        line = 1
        for word in words:
            found = _find(word, place, (_declaration, _keyword, _key, _variable, _string))
            if found is not None:
                line, place = found
        names = {str(word).rpartition(":")[2] for word in words}
        for word in _QUOTED.findall(message):
            found = _find(word, place, (_key, _string)) if word not in names else None
            if found is not None:
                return found[0]
        return line


Found = tuple[int, ast.AST] | None


def _find(word: str, place: ast.AST, finders: tuple[Callable[[ast.AST, str], Found], ...]) -> Found:
    for finder in finders:
        for node in ast.walk(place):
            found = finder(node, word)
            if found is not None:
                return found
    return None


def _declares(node: ast.AST, word: str) -> bool:
    first = node.args[0] if isinstance(node, ast.Call) and node.args else None
    kind = _called(node)
    named = isinstance(first, ast.Constant) and word in (first.value, f"{kind}:{first.value!s}")
    return named and kind in {"Events", "FeatureView", "Model"}


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _declaration(node: ast.AST, word: str) -> Found:
    return (node.lineno, node) if isinstance(node, ast.Call) and _declares(node, word) else None


def _keyword(node: ast.AST, word: str) -> Found:
    return (node.value.lineno, node.value) if isinstance(node, ast.keyword) and node.arg == word else None


def _key(node: ast.AST, word: str) -> Found:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == word:
                return key.lineno, value
    return None


def _variable(node: ast.AST, word: str) -> Found:
    if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == word for one in node.targets):
        return node.lineno, node.value
    return (node.lineno, node) if isinstance(node, ast.Name) and node.id == word else None


def _string(node: ast.AST, word: str) -> Found:
    return (node.lineno, node) if isinstance(node, ast.Constant) and node.value == word else None
