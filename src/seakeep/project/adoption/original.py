"""Runs the notebook as it is, in a process of its own, and keeps what its model was given and what it answered.

``python -m seakeep.project.adoption.original REQUEST`` carries the cells out in the cage of the converter's process: no
network where the system allows that, bounded memory and files, an empty environment. Plots are drawn to nowhere.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec
import numpy as np

from seakeep.conversion.outputs import ask
from seakeep.errors import AdoptionError
from seakeep.project.adoption.notebook import UNKNOWN, Notebook
from seakeep.project.adoption.plan import Plan
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

REQUEST, FOUND, OUTCOME, LOG = "request.json", "found.npz", "outcome.json", "notebook.log"
_FIT, _SEEN = "__seakeep_fit__", "__seakeep_seen__"
_DRAWING = {"matplotlib", "seaborn", "plotly", "IPython", "bokeh", "altair", "ipywidgets", "shap", "missingno", "tqdm"}
_TAIL = 1_500


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: the cells, and which execution of which ``fit`` makes the model."""

    cells: list[tuple[int, str]]
    cell: int
    line: int
    occurrence: int
    outputs: Outputs


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it went: whether the model was fitted, how many of its inputs were kept, and what ended first."""

    fitted: bool
    kept: int = 0
    cell: int = 0
    line: int = 0
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """Inputs that the notebook's own model was given, and its answers: columns, and float64 ``(n, k)``."""

    columns: list[NDArray[Any]]
    scores: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Original:
    """The notebook's run: what its model was fitted on and was asked, with the answers; and what was noted."""

    seen: tuple[Seen, ...]
    told: tuple[str, ...]


def run_original(notebook: Notebook, plan: Plan, files: Sequence[str], *, into: Path, timeout_s: int) -> Original:
    """Run a notebook in a process of its own.

    Parameters
    ----------
    files
        The data it reads, relative to its folder; it sees copies of them and nothing else.
    into
        An empty folder, in which it runs.

    Raises
    ------
    AdoptionError
        It does not reach the model: with the cell and the line at which it ends.
    """
    work = into / "work"
    for name in files:
        place = (work / name).resolve()
        if not place.is_relative_to(work.resolve()):
            raise AdoptionError(f"{name} lies outside the notebook's folder", hint="put it beside the notebook")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook.path.resolve().parent / name, place)
    where = plan.fit.place
    request = Request(
        cells=[(cell.number, cell.code) for cell in notebook.cells],
        cell=where.cell,
        line=where.line,
        occurrence=plan.occurrence,
        outputs=plan.outputs,
    )
    (into / REQUEST).write_bytes(msgspec.json.encode(request))
    status = _run_child(into, work, timeout_s)
    if not (into / OUTCOME).is_file():
        said = (into / LOG).read_text("utf-8", errors="replace")[-_TAIL:].strip() or "it said nothing"
        raise AdoptionError(f"the notebook's run ended with status {status}: {said}", hint="does it run by itself?")
    return found_in(into)


def found_in(folder: Path) -> Original:
    """What a notebook's run left in its folder.

    Raises
    ------
    AdoptionError
        It did not come to fit the model.
    """
    outcome = msgspec.json.decode((folder / OUTCOME).read_bytes(), type=Outcome)
    if not outcome.fitted:
        raise AdoptionError(
            f"the notebook itself ends here: {outcome.message}"
            if outcome.message
            else "it does not come to fit the model",
            cell=outcome.cell,
            line=outcome.line,
            hint="restart the notebook and run all of it, in the order of its cells",
        )
    later = f"cell {outcome.cell}, line {outcome.line}: the cell ends with {outcome.message}; the model does without it"
    with np.load(folder / FOUND, allow_pickle=False) as found:
        seen = tuple(
            Seen([found[f"{i}.{j}"] for j in range(int(found[f"{i}.width"]))], found[f"{i}.scores"])
            for i in range(outcome.kept)
        )
    return Original(seen, (later,) if outcome.message else ())


def _run_child(into: Path, work: Path, timeout_s: int) -> int:
    environment = {
        **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.defpath,
        "HOME": str(into),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
    with (into / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(into)],
            cwd=work,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise AdoptionError(
                f"the notebook was not done after {timeout_s} s and was ended", hint="give it more time: --timeout"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


# The child process


class _Instrument(ast.NodeTransformer):
    """Lets the fit of one place, and everything a model is asked, pass through functions that take note."""

    def __init__(self, line: int) -> None:
        self._line = line

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute):
            return node
        if node.func.attr == "fit" and node.lineno == self._line:
            call = ast.Call(ast.Name(_FIT, ast.Load()), [node.func.value, *node.args], node.keywords)
        elif node.func.attr in {"predict", "predict_proba", "score"} and node.args:
            noted = ast.Call(ast.Name(_SEEN, ast.Load()), [node.args[0]], [])
            call = ast.Call(node.func, [noted, *node.args[1:]], node.keywords)
        else:
            return node
        return ast.fix_missing_locations(ast.copy_location(call, node))


class _Drawing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for libraries that draw, where they are not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """A module that accepts everything, for a name of the list."""
        del path, target
        if name.split(".", maxsplit=1)[0] in _DRAWING:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> Any:
        """A module whose every attribute can be called."""
        module = mock.MagicMock(name=spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is to be done."""


class _Notes:
    """What the model was fitted on, and everything that any model was asked."""

    def __init__(self) -> None:
        self.fits: list[tuple[Any, Any]] = []
        self.asked: list[Any] = []
        self._met: list[Any] = []

    def fit(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        inputs: Any = args[0] if args else kwargs.get("X")
        kept = inputs.copy() if hasattr(inputs, "copy") else inputs
        fitted = model.fit(*args, **kwargs)
        if len(args) + len(kwargs) > 1 or not hasattr(model, "transform"):
            self.fits.append((model, kept))
        return fitted

    def seen(self, value: Any) -> Any:
        if not any(one is value for one in self._met):
            self._met.append(value)
            self.asked.append(value.copy() if hasattr(value, "copy") else value)
        return value


def run_cells(request: Request) -> tuple[Outcome, dict[str, NDArray[Any]]]:
    """Carry out the cells, and give what was noted as arrays. A later cell that fails ends nothing."""
    notes = _Notes()
    names: dict[str, Any] = {"__name__": "__main__", UNKNOWN: None, _FIT: notes.fit, _SEEN: notes.seen}
    names |= {"display": lambda *_, **__: None, "get_ipython": mock.MagicMock()}
    failure: tuple[int, int, str] = (0, 0, "")
    for number, code in request.cells:
        tree = _Instrument(request.line if number == request.cell else 0).visit(ast.parse(code))
        name = f"<cell {number}>"
        try:
            exec(compile(tree, name, "exec"), names)  # noqa: S102 -- the notebook is what is to be run, in its cage
        except BaseException as error:  # noqa: BLE001 -- the border to the notebook's own code, exits included
            if failure[0] == 0:
                lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == name]
                failure = number, (lines or [0])[0] or 0, f"{type(error).__name__}: {error}"
            traceback.print_exc()
    cell, line, message = failure
    if len(notes.fits) <= request.occurrence:
        return Outcome(fitted=False, cell=cell, line=line, message=message), {}
    model, inputs = notes.fits[request.occurrence]
    given = [inputs, *notes.asked, *(value for name, value in names.items() if not name.startswith("__"))]
    arrays = _answers(model, given, inputs, request.outputs)
    kept = sum(name.endswith(".width") for name in arrays)
    return Outcome(fitted=True, kept=kept, cell=cell, line=line, message=message), arrays


def _answers(model: Any, given: list[Any], inputs: Any, outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Every table that has the shape of the model's inputs, with the model's answers; those of its fit come first."""
    arrays: dict[str, NDArray[Any]] = {}
    names = list(getattr(inputs, "columns", ()))
    done: list[Any] = []
    for value in given:
        alike = type(value) is type(inputs) and getattr(value, "shape", (0,))[1:] == inputs.shape[1:]
        if not alike or list(getattr(value, "columns", ())) != names or any(one is value for one in done):
            continue
        try:
            scores = ask(model, outputs)(value).reshape(len(value), -1)
        except Exception:  # noqa: BLE001, S112 -- it only looks like an input
            continue
        columns = [value.iloc[:, j] if names else value[:, j] for j in range(value.shape[1])]
        arrays |= {f"{len(done)}.{j}": plain(column) for j, column in enumerate(columns)}
        arrays[f"{len(done)}.scores"] = scores
        arrays[f"{len(done)}.width"] = np.array(len(columns))
        done.append(value)
    return arrays


def plain(column: Any) -> NDArray[Any]:
    """A column as float64 with NaN, or as text with ``""``, for what is missing."""
    if getattr(column, "dtype", None) is not None and getattr(column.dtype, "kind", "O") in "biuf":
        return np.asarray(column, dtype=np.float64)
    if getattr(getattr(column, "dtype", None), "kind", "O") == "M":
        return np.asarray(column, dtype="datetime64[us]").astype(np.float64)
    values = column.tolist()
    return np.array(["" if one is None or one != one else str(one) for one in values])  # noqa: PLR0124 -- NaN


def main(folder: Path) -> int:
    """Entry of the child process."""
    from seakeep.conversion.child import enter_cage
    from seakeep.training.lifeline import hold_to_lifeline

    enter_cage()
    hold_to_lifeline()
    sys.meta_path.append(_Drawing())
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Request)
    outcome, arrays = run_cells(request)
    with (folder / FOUND).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    (folder / OUTCOME).write_bytes(msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
