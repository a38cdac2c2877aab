"""The forms of files: how each is read, what it holds, and what is wrong with one that cannot be read.

Nothing is guessed from a sample. Cells of CSV are what RFC 4180 says they are, and each line of JSON is taken whole, so that what
stands in a late row counts as what stands in the first.
"""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from seakeep.errors import DataError
from seakeep.records.scoring import InputFile
from seakeep.scoring.cells import JSON, TEXT, cell_of_object, literal, quoted

OBJECT = quoted("json")
"""The one column of a relation of objects."""
_LINES = 4096
_DELIMITERS = ";\t|"
"""What else separates cells at times."""


class Held(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    relation
        The SQL that reads it.
    types
        By column: a name of DuckDB's, or what :mod:`seakeep.scoring.cells` calls a cell that has none.
    places
        By column: the expression that reads it from the relation; that of JSON gives text.
    """

    relation: str
    types: Mapping[str, str]
    places: Mapping[str, str]


def relation_of(cursor: Any, file: InputFile, delimiter: str) -> str:
    """The SQL that reads a file; columns have names of its own there.

    Raises
    ------
    DataError
        The first line of CSV does not name the columns.
    """
    path = literal(glob.escape(file.name))
    if file.format == "csv":
        columns = ", ".join(f"c{place}: 'VARCHAR'" for place in range(len(_header(cursor, file, delimiter))))
        options = f"{_exactly(delimiter)}, quote = '\"', escape = '\"', header = true, columns = {{{columns}}}"
        return f"read_csv({path}, {options})"
    if file.format == "json":
        return f"read_json_objects({path}, format = 'newline_delimited')"
    return f"read_parquet({path}, hive_partitioning = false)"


def held(cursor: Any, file: InputFile, delimiter: str) -> Held:
    """What a file holds, by all its rows.

    Raises
    ------
    DataError
        Two columns have one name, or the first line of CSV does not name the columns.
    """
    relation = relation_of(cursor, file, delimiter)
    if file.format == "json":
        # The keys of a row come in few orders, so that few lists are told apart.
        numbered = f"(select json_keys({OBJECT}) as names, row_number() over () as number from {relation})"  # noqa: S608
        query = f"select names from {numbered} group by names order by min(number)"  # noqa: S608 -- quoted
        names = dict.fromkeys(name for (found,) in cursor.execute(query).fetchall() for name in found)
        return Held(relation, dict.fromkeys(names, JSON), {name: cell_of_object(name, OBJECT) for name in names})
    if file.format == "csv":
        names_in_order: Sequence[str] = _header(cursor, file, delimiter)
        described = [(f"c{place}", TEXT) for place in range(len(names_in_order))]
    else:
        found = cursor.execute(f"describe select * from {relation}").fetchall()  # noqa: S608 -- quoted
        described = [(name, str(kind)) for name, kind, *_ in found]
        names_in_order = _names_of_parquet(cursor, file)
    _refuse_doubled(file, names_in_order)
    types, places = {}, {}
    for name, (column, kind) in zip(names_in_order, described, strict=True):
        if name:
            types[name], places[name] = kind, quoted(column)
    for name, value in file.constants.items():
        types[name], places[name] = TEXT, f"CAST({'NULL' if value is None else literal(value)} AS VARCHAR)"
    return Held(relation, types, places)


def other_delimiter(names: Sequence[str]) -> str:
    """What to do about a header that is one name with what separates names elsewhere; ``""``: it is none."""
    found = [one for one in _DELIMITERS if len(names) == 1 and one in names[0]]
    return f"its cells seem to be separated by {found[0]!r}: give --delimiter" if found else ""


def fault(cursor: Any, file: InputFile, delimiter: str, told: str) -> DataError:
    """What is wrong with a file that cannot be read, with its line where it is of lines.

    Parameters
    ----------
    told
        What DuckDB says; its advice is of options that nobody has here.
    """
    hint = "check that the file is whole and of its suffix's form"
    place = ""
    if file.format == "csv":
        hint = 'a cell with a delimiter, a quote or a line break stands in double quotes, a quote in it twice ("")'
        place = _fault_of_csv(_lines(cursor, file), delimiter)
    elif file.format == "json" and "Malformed" in told:
        place = _fault_of_json(_lines(cursor, file))
    if not place and file.format == "csv" and "invalid state" in told:
        place = "its lines do not all end alike"
        hint = "end all with a line feed, or all with a carriage return and a line feed"
    if not place and "Maximum line size" in told:
        place = "a line is longer than 2 MB"
    return DataError(f"cannot read {file.name}: {place or told.splitlines()[0].split(' Try ')[0]}", hint=hint)


def _exactly(delimiter: str, *, strictly: bool = True) -> str:
    """Options of ``read_csv`` that leave nothing to be guessed."""
    return (
        f"auto_detect = false, delim = {literal(delimiter)}, comment = '', skip = 0, null_padding = false, "
        f"strict_mode = {strictly}, ignore_errors = {not strictly}"
    )


def _header(cursor: Any, file: InputFile, delimiter: str) -> list[str]:
    names = next(csv.reader(_lines(cursor, file), delimiter=delimiter), [])
    if not any(names):
        message = f"the first line of {file.name} names no columns"
        raise DataError(message, hint="begin with a line of the columns' names")
    _refuse_doubled(file, names)
    return names


def _refuse_doubled(file: InputFile, names: Sequence[str]) -> None:
    doubled = [name for place, name in enumerate(names) if name and name in names[:place]]
    if doubled:
        message = f"{file.name} has two columns {doubled[0]!r}"
        raise DataError(message, hint="which of the two counts? Leave the other out, or rename it")


def _names_of_parquet(cursor: Any, file: InputFile) -> list[str]:
    """As the file has them: DuckDB renames those that differ in nothing but case."""
    path = literal(glob.escape(file.name))
    found = cursor.execute(f"select name, num_children from parquet_schema({path})").fetchall()  # noqa: S608 -- quoted
    names, nested = [], 0
    for name, children in found[1:]:
        if not nested:
            names.append(str(name))
        else:
            nested -= 1
        nested += children or 0
    return names


def _lines(cursor: Any, file: InputFile) -> Iterator[str]:
    """The lines of a text, whatever they hold, without their ends."""
    path, options = literal(glob.escape(file.name)), _exactly("\x1f", strictly=False)
    options += ", quote = '', escape = '', header = false, columns = {line: 'VARCHAR'}"
    with cursor.cursor() as reading:
        reading.execute(f"select line from read_csv({path}, {options})")  # noqa: S608 -- quoted
        while found := reading.fetchmany(_LINES):
            yield from (f"{line or ''}\n" for (line,) in found)


def _fault_of_csv(lines: Iterator[str], delimiter: str) -> str:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width, begun = 0, 1
    try:
        for cells in reader:
            width = width or len(cells)
            if cells and len(cells) != width:
                return f"line {begun} has {len(cells)} cells, and the first line names {width} columns"
            begun = reader.line_num + 1
    except csv.Error as error:
        if "field limit" in str(error):  # no fault, and nothing is known of what follows
            return ""
        return f"the quotes of line {begun} are not in pairs"
    return ""


def _fault_of_json(lines: Iterator[str]) -> str:
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            return f"line {number} is no JSON: {error}"
    return ""
