"""Archives of skops: a description of an estimator's parts and plain arrays, no pickle."""

from __future__ import annotations

from collections.abc import Sequence

from seakeep.conversion.formats.bounds import zip_entries
from seakeep.conversion.formats.format import Format, Taken, fitted
from seakeep.conversion.reading import Reading
from seakeep.conversion.skopsfile import loads
from seakeep.records.feature import FeatureColumn


def _take(content: bytes, columns: Sequence[FeatureColumn], _reading: Reading) -> Taken:
    return fitted(loads(content), columns)


FORMAT = Format(
    name="skops",
    told="a skops archive",
    suffixes=(".skops",),
    extra="sklearn",
    recognise=lambda content, name: "schema.json" in zip_entries(content, name),
    take=_take,
)
