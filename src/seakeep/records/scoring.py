"""What batch scoring is to do, and what it has done."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

Format = OneOf["parquet", "csv", "json"]
"""``json``: one object a line."""


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of rows to score.

    Attributes
    ----------
    name
        Its path, as it was found.
    sha256
        Of its bytes, as hexadecimal digits.
    constants
        Columns that are the same in all its rows and not in the file: the partition of a Delta table, as text.
    """

    name: str
    format: Format
    bytes: int
    sha256: str
    rows: int
    constants: dict[str, str | None] = {}


class ScoringPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is scored by what: two jobs with equal plans write equal bytes.

    Attributes
    ----------
    bundle
        Digest of the version's bundle.
    moment_us
        The moment all rows speak for; None: each names its own.
    keep
        Input columns that the output repeats.
    part_rows
        Most rows in one part of the output.
    history
        Whether features are those known at each row's moment, also where the service let what is old go.
    tables
        Version of each Delta table, by its path.
    delimiter
        What separates the cells of CSV.
    """

    model: str
    version: int
    bundle: str
    moment_us: int | None
    keep: tuple[str, ...]
    part_rows: int
    history: bool = False
    inputs: tuple[InputFile, ...]
    tables: dict[str, int] = {}
    delimiter: str = ","

    @property
    def rows(self) -> int:
        """Rows in all inputs."""
        return sum(one.rows for one in self.inputs)


class ScoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the output: the answers to consecutive rows of one input.

    Attributes
    ----------
    input
        Place of the input in the plan.
    from_row
        Its first row there, from 0.
    refused
        Rows that have an error in the place of an answer.
    unknown
        Rows answered though a view knew nothing of their entity at their moment.
    """

    name: str
    input: int
    from_row: int
    rows: int
    refused: int
    unknown: int
    sha256: str


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is done; the content of ``_SUCCESS``."""

    plan: ScoringPlan
    parts: tuple[ScoredPart, ...]
    rows: int
    refused: int
    unknown: int
