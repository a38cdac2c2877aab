"""What one key may use: rows a second, counted by all workers together.

The generic cell rate algorithm: a key's *theoretical arrival time* is when all it has asked for would have been used up at its
rate; a request is taken while that is at most :data:`BURST_S` ahead. It stands in a file that all workers map into memory. Two
that count at the same instant may lose one of the counts: a quota is a fence, not an invoice.

References
----------
ITU-T I.371 (2004), annex A: generic cell rate algorithm.
"""

from __future__ import annotations

import math
import mmap
import os
import time
from pathlib import Path

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError, QuotaError

BURST_S = 1.0
"""How many seconds' worth may be used at once."""


_ROUNDING_S = 1e-6


class Quotas:
    """The quotas of the keys that have one.

    Parameters
    ----------
    folder
        Where the workers' shared files are.

    Raises
    ------
    PlatformError
        The file cannot be made.
    """

    def __init__(self, settings: ServingSettings, folder: Path) -> None:
        rates = {name: key.rows_per_second for name, key in sorted(settings.keys.items()) if key.rows_per_second}
        self._places = {name: (place, rate) for place, (name, rate) in enumerate(rates.items())}
        self._largest = settings.max_rows
        if not rates:
            return
        path = folder / "quotas"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.truncate(handle, 8 * len(rates))
                self._map = mmap.mmap(handle, 8 * len(rates))
            finally:
                os.close(handle)
        except OSError as error:
            message = f"the file of quotas {path} cannot be used: {error.strerror}"
            raise PlatformError(message, hint="make room, or let its folder be written") from error
        self._cells = memoryview(self._map).cast("d")

    def __bool__(self) -> bool:
        return bool(self._places)

    def spend(self, principal: str, rows: int) -> None:
        """Count rows that a principal asks for.

        Raises
        ------
        QuotaError
            It has used up what it may.
        """
        found = self._places.get(principal)
        if found is None:
            return
        place, rate = found
        now_s = time.monotonic()  # one clock for all processes, begun anew when the machine starts
        ahead_s = min(self._cells[place] - now_s, BURST_S + self._largest / rate)
        if ahead_s >= BURST_S - _ROUNDING_S:
            wait_s = max(1, math.ceil(ahead_s - BURST_S))
            message = f"the key {principal!r} may ask for {rate:g} rows a second"
            raise QuotaError(message, retry_after_s=wait_s, hint="send them more slowly, as Retry-After says")
        self._cells[place] = now_s + max(ahead_s, 0.0) + rows / rate
