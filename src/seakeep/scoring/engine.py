"""The one DuckDB of a job: it reads the inputs as a stream and writes the parts, in little memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

MEMORY = "512MB"
"""For its buffers, in DuckDB's words."""


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """A connection; whoever uses it takes a cursor of it.

    One thread keeps the order of a file, and the bytes of a part the same. Times with a zone are read in UTC.
    """
    import duckdb

    with duckdb.connect(config={"threads": 1, "memory_limit": MEMORY}) as connection:
        connection.execute("set global timezone = 'UTC'; set global pandas_analyze_sample = 0")
        yield connection
