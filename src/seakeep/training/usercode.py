"""What the user's own code is: where in it an exception comes from, and which framework made what it returned."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any


def user_line(error: BaseException, folder: Path) -> tuple[Path, int] | None:
    """File and line of the deepest call within a project's folder, or None if the exception did not pass there."""
    folder = folder.resolve()
    if isinstance(error, SyntaxError) and error.filename and _is_within(Path(error.filename), folder):
        return Path(error.filename).resolve(), error.lineno or 1
    for call in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(call.filename)
        if _is_within(path, folder):
            return path.resolve(), call.lineno or 1
    return None


def home_of(function: object) -> Path | None:
    """The folder of the file that a function is from, if it is from one."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if file else None


def describe(error: BaseException, folder: Path | None) -> str:
    """The exception in one line, with the place in the user's code: ``project.py:12: ValueError: ...``."""
    place = user_line(error, folder) if folder else None
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if place is None or folder is None:
        return text
    return f"{place[0].relative_to(folder.resolve())}:{place[1]}: {text}"


def framework_of(estimator: Any) -> str:
    """The framework whose bare network this is, or which its last step is, or ``""``; told without importing any."""
    steps = getattr(estimator, "steps", None)
    last = steps[-1][-1] if isinstance(steps, list) and steps else estimator
    roots = {kind.__module__.partition(".")[0] for kind in type(last).__mro__}
    return next((told for root, told in (("keras", "Keras"), ("torch", "PyTorch")) if root in roots), "")


def _is_within(path: Path, folder: Path) -> bool:
    return path.is_absolute() and path.resolve().is_relative_to(folder) and "site-packages" not in path.parts
