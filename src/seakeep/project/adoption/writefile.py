"""Writes the project of a model file: the sample, the declarations, the file itself, and tests of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.config import FILE_NAME
from seakeep.conversion.formats.registry import FORMATS
from seakeep.data.schema import missing
from seakeep.data.table import Table
from seakeep.errors import AdoptionError
from seakeep.project import texts
from seakeep.project.adoption import proof, write
from seakeep.project.adoption.given import Given
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.features.frame import Frame

OUTCOME, OUTCOMES, NOTES = "outcome", "outcomes.parquet", "README.md"
_JUDGED = 5
"""One of so many rows is to judge by."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileProject:
    """What a project is written from.

    Attributes
    ----------
    frame
        The sample as the model's inputs, in the file's order.
    outputs
        What the model answers.
    content, form, gives
        The file that is kept, its format, and what it gives where a network cannot say it.
    """

    name: str
    given: Given
    frame: Frame
    outputs: Outputs
    content: bytes
    form: str
    gives: str = ""

    @property
    def kept(self) -> str:
        """The file's name in the project."""
        return f"model{FORMATS[self.form].suffixes[0]}"

    @property
    def register(self) -> str:
        """The command that registers the file."""
        return f"seakeep register {self.kept}" + (f" --gives {self.gives}" if self.gives else "")

    @property
    def trains(self) -> bool:
        """Whether there is something to train on, and the file gives back an estimator with its settings."""
        return bool(self.given.label) and self.form == "skops"

    @property
    def told(self) -> tuple[str, ...]:
        """What is missing in the project, in words."""
        if not self.given.label:
            return (
                f"the sample has no outcomes: put them into {OUTCOMES}, or name their column by --label; then {self.register}",
            )
        if not self.trains:
            return (
                f"there is no {write.TRAIN}: it is written of skops archives, which give back an estimator with its settings",
            )
        return ()

    def write(self, folder: Path, scores: NDArray[np.float64]) -> tuple[Path, ...]:
        """Write all files into an empty folder.

        Parameters
        ----------
        scores
            What the model answers for each row of the sample, ``(n,)`` or ``(n, k)``.

        Raises
        ------
        AdoptionError
            The label is not what the model answers.
        """
        key, time = write.free_names(self.given.data)
        table = self._table(key, time)
        label = self.given.label or OUTCOME
        tables = {write.TABLE: table}
        if not self.given.label:
            empty = np.empty(0, dtype=object if self.outputs.of_classes else np.float64)
            tables[OUTCOMES] = {key: table[key][:0], time: table[time][:0], label: empty}
        for name, one in tables.items():
            write.save(one, folder / name)
        (folder / self.kept).write_bytes(self.content)
        files = {
            FILE_NAME: f'[project]\nname = "{self.name}"\n',
            texts.PROJECT: self._project(table, key, time, label),
            write.TESTS: _TESTS.format(
                source=self.given.source,
                rows=len(scores),
                kept=texts.quoted(self.kept),
                imports="from seakeep.conversion.reading import Reading\n" if self.gives else "",
                reading=f', Reading(gives="{self.gives}")' if self.gives else "",
            ),
            write.REFERENCE: write.reference_text(self.outputs, proof.by_row(np.arange(len(scores)), scores)),
            ".gitignore": texts.IGNORED,
        }
        if self.trains:
            files[write.TRAIN] = _TRAIN.format(source=self.given.source, kept=texts.quoted(self.kept))
        if self.given.notes:
            files[NOTES] = self.given.notes
        return (*(folder / name for name in tables), folder / self.kept, *texts.write_new(folder, files))

    def _table(self, key: str, time: str) -> Table:
        count = len(self.frame)
        judge = max(1, count // _JUDGED)
        inputs = {column.name: self.given.data[column.name] for column in self.frame.columns}
        label = {self.given.label: self._outcomes()} if self.given.label else {}
        return {key: np.arange(count), time: write.moments(count - judge, judge), **inputs, **label}

    def _outcomes(self) -> NDArray[Any]:
        """The label's column as the declaration reads it."""
        name, values = self.given.label, self.given.data[self.given.label]
        known = values[~missing(values)] if values.dtype.kind != "O" else values[values != ""]
        if self.outputs.of_classes:
            told = np.array([_class(one) for one in values.tolist()], dtype=object)
            odd = sorted(set(told.tolist()) - {*self.outputs.names, ""})
        else:
            told = values
            wrong = values.dtype.kind not in "ifb" or (self.outputs.yes_or_no and not np.isin(known, [0, 1]).all())
            odd = sorted(set(map(str, known.tolist())))[:3] if wrong else []
        if odd:
            wanted = "classes are 0 and 1" if self.outputs.yes_or_no else f"answer is a {self.outputs.word}"
            raise AdoptionError(
                f"column {name!r} holds {', '.join(odd[:3])}, and the model's {wanted}",
                hint="give the column as the model learnt it",
            )
        return told

    def _project(self, table: Table, key: str, time: str, label: str) -> str:
        inputs = [column.name for column in self.frame.columns]
        outcomes = write.TABLE if self.given.label else OUTCOMES
        asked = {one: texts.last(table, one) for one in inputs if _any_known(table[one])}
        example: Any = self.outputs.names[0] if self.outputs.of_classes else 1
        parts = [
            f'"""{self.name}: written by `seakeep adopt` from {self.given.source}; make it yours."""\n',
            (f"from {write.TRAIN.removesuffix('.py')} import train\n\n" if self.trains else "")
            + "import seakeep as sk\n",
            "# The table's times are an order and no dates: your own rows come with times of their own.\n"
            + texts.sources(time, key),
            f"tables = {{rows: {texts.quoted(write.TABLE)}, outcomes: {texts.quoted(outcomes)}}}\n",
            texts.features({one: f"sk.col({texts.quoted(one)})" for one in inputs}, {}),
            "" if self.trains else _NO_TRAIN.format(register=self.register),
            texts.model(self.name, self._label(label)),
            texts.calls(self.name, {key: len(table[key])}, asked, {label: example}, time),
        ]
        return "\n".join(part for part in parts if part)

    def _label(self, column: str) -> str:
        node = f"sk.col({texts.quoted(column)})"
        if self.outputs.of_classes:
            return f"{node}, answers=sk.classes({', '.join(map(texts.quoted, self.outputs.names))})"
        return f"{node} > 0.5" if self.outputs.yes_or_no else f"{node}, answers=sk.number()"


def plain(text: str) -> str:
    """A text that can stand in a comment, a docstring or a cell of a table, whatever it was."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in '"\\`|')


def _any_known(values: NDArray[Any]) -> bool:
    return bool((values != "").any() if values.dtype.kind == "O" else (~missing(values)).any())


def _class(value: Any) -> str:
    """The name of a class, as a classifier that learnt it tells it; a table with gaps has whole numbers as floats."""
    if isinstance(value, float):
        return "" if np.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return str(value)


_TRAIN = '''"""Trains anew what {source} is: the same estimator with the same settings."""

from pathlib import Path

from sklearn.base import clone

import seakeep as sk
from seakeep.conversion.skopsfile import loads

GIVEN = Path(__file__).with_name({kept})


def train(frame: sk.Frame):
    model = clone(loads(GIVEN.read_bytes()))
    return model.fit(frame.to_pandas(), frame.label)
'''
_NO_TRAIN = """
def train(frame):
    raise RuntimeError("this model comes as a file: {register}")

"""
_TESTS = '''"""What must stay true while this project serves {source}: delete a test when you leave the file behind."""

from pathlib import Path

{imports}from seakeep.project.adoption.modelfile import against_reference
from seakeep.project.check import check

FOLDER = Path(__file__).parents[1]


def test_the_project_has_no_faults():
    assert check(FOLDER) == ()


def test_the_file_answers_as_it_did():
    """Converted anew, and asked through the project's features, it gives what it gave (tests/reference.csv)."""
    found = against_reference(FOLDER, {kept}{reading})
    assert found.rows == {rows}
    assert found.equal, found
'''
