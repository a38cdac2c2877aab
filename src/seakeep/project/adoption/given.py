"""What a project is written of where there is no notebook."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from seakeep.data.table import Table
from seakeep.records.feature import FeatureKind


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A model file with a sample of its data.

    Attributes
    ----------
    path
        The file.
    data
        The sample; columns that the model does not take are left out.
    label
        The column with the outcome; ``""``: there is none.
    columns
        The model's inputs in their order, and what they are said to be; empty: nothing is said.
    source
        Where it comes from, in words.
    notes
        What else is known of it, in Markdown; ``""``: nothing.
    """

    path: Path
    data: Table
    label: str = ""
    columns: dict[str, FeatureKind] = dataclasses.field(default_factory=dict)
    source: str
    notes: str = ""
