"""A notebook as the Python program it is: its code cells in the order they were run, without magics and shell lines.

Read from the notebook format 4 (https://nbformat.readthedocs.io/en/latest/format_description.html).
"""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import msgspec

from seakeep.errors import AdoptionError, ConfigError

UNKNOWN = "__made_by_a_magic__"
"""The name that stands for what a magic or a shell line would have given."""

_BODY_RUNS = {"time", "timeit", "capture", "prun"}  # cell magics whose body is ordinary code of the notebook
_ASSIGNED = re.compile(r"^(\s*[\w, ]+=\s*)[!%]")
_LARGEST = 64 * 1024**2


class _RawCell(msgspec.Struct):
    cell_type: str
    source: str | list[str] = ""
    execution_count: int | None = None


class _RawNotebook(msgspec.Struct):
    cells: list[_RawCell]
    nbformat: int
    metadata: dict[str, msgspec.Raw] = {}


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is in a notebook: the number of the code cell and of the line in it, both from 1."""

    cell: int
    line: int

    def __str__(self) -> str:
        return f"cell {self.cell}, line {self.line}"


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A code cell: its number among the code cells, and its code as plain Python with the same lines."""

    number: int
    code: str
    tree: ast.Module


@dataclasses.dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook's cells in the order they are run, and what was left out of them, in words."""

    path: Path
    cells: tuple[Cell, ...]
    told: tuple[str, ...]


def is_notebook(path: Path) -> bool:
    """Whether a file is a notebook, or is called one."""
    if path.suffix.lower() == ".ipynb":
        return True
    if path.stat().st_size > _LARGEST:
        return False
    content = path.read_bytes()
    return content.lstrip()[:1] == b"{" and b'"nbformat"' in content and b'"cells"' in content


def read_notebook(path: Path) -> Notebook:
    """Read a notebook.

    Cells are taken in the order in which they stand, unless every one has an execution count of its own that says
    another: then in that, for it gave the results that are seen.

    Raises
    ------
    ConfigError
        The file is not a notebook of format 4.
    AdoptionError
        A cell is not Python.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is larger than {_LARGEST:,} bytes", hint="clear its outputs first")
        raw = msgspec.json.decode(path.read_bytes(), type=_RawNotebook)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a notebook: {error}", hint="give an .ipynb file of format 4") from error
    if raw.nbformat != 4:
        raise ConfigError(
            f"{path} is of notebook format {raw.nbformat}", hint="open and save it in Jupyter: it becomes format 4"
        )
    told: list[str] = []
    code = [cell for cell in raw.cells if cell.cell_type == "code"]
    numbered = [(number, cell, _text(cell)) for number, cell in enumerate(code, start=1)]
    numbered = [one for one in numbered if one[2].strip()]
    counts = [cell.execution_count or 0 for _, cell, _ in numbered]
    if counts != sorted(counts) and 0 not in counts and len(set(counts)) == len(counts):
        numbered.sort(key=lambda one: one[1].execution_count or 0)
        order = ", ".join(str(number) for number, _, _ in numbered)
        told.append(f"the cells were run in the order {order}, and are taken in that order")
    return Notebook(path, tuple(_cell(number, text, told) for number, _, text in numbered), tuple(told))


def _text(cell: _RawCell) -> str:
    return cell.source if isinstance(cell.source, str) else "".join(cell.source)


def _cell(number: int, text: str, told: list[str]) -> Cell:
    code = _plain(number, text.splitlines(), told)
    try:
        return Cell(number, code, ast.parse(code))
    except SyntaxError as error:
        raise AdoptionError(
            f"this is not Python: {error.msg}",
            cell=number,
            line=error.lineno or 1,
            hint="restart the notebook and run all of it: the cell cannot run",
        ) from error


def _plain(number: int, lines: list[str], told: list[str]) -> str:
    """A cell's code without magics, shell lines and questions, line by line; each that is left out is told."""
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        name = lines[first][2:].split()[0] if lines[first][2:].split() else ""
        if name not in _BODY_RUNS:
            told.append(f"cell {number}: left out, for %%{name} makes it no Python of this notebook")
            return "\n" * len(lines)
        told.append(f"cell {number}, line {first + 1}: left out {lines[first].strip()!r}")
        lines = [*lines[:first], "", *lines[first + 1 :]]
    return "\n".join(_line(number, place, line, told) for place, line in enumerate(lines, start=1))


def _line(number: int, place: int, line: str, told: list[str]) -> str:
    bare = line.strip()
    assigned = _ASSIGNED.match(line)
    if assigned:
        told.append(f"cell {number}, line {place}: what {bare!r} gives is not known")
        return f"{assigned.group(1)}{UNKNOWN}"
    # A line of a longer expression may begin with % (the remainder): that is told apart by the word that follows.
    magic = bare.startswith("!") or re.match(r"%[a-zA-Z_]\w*(\s|$)", bare)
    if magic or (bare.endswith("?") and not bare.startswith("#")) or (bare.startswith("?") and len(bare) > 1):
        told.append(f"cell {number}, line {place}: left out {bare!r}")
        return f"{line[: len(line) - len(line.lstrip())]}pass"
    return line
