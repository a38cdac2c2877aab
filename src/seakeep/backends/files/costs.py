"""What models cost on this host: a small file a bundle. It holds nothing that cannot be measured again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from seakeep.serving.batching import Cost


class _Measured(msgspec.Struct, frozen=True):
    host: str
    cost: Cost


class FileCosts:
    """Costs in a folder.

    Parameters
    ----------
    folder
        Made on first use.
    host
        The class of this host and the engine: what was measured on another does not count.
    """

    def __init__(self, folder: Path, *, host: str) -> None:
        self._folder, self._host = folder, host

    def get(self, bundle: str) -> Cost | None:
        """What was measured for a bundle here; None: nothing that can be read."""
        try:
            found = msgspec.json.decode(self._path(bundle).read_bytes(), type=_Measured)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        whole = found.host == self._host and len(found.cost.rows) == len(found.cost.seconds) > 0
        return found.cost if whole and min(found.cost.seconds) > 0 else None

    def put(self, bundle: str, cost: Cost) -> None:
        """Keep what was measured; on a disk that does not take it, it is measured again next time."""
        path = self._path(bundle)
        aside = path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside.write_bytes(msgspec.json.encode(_Measured(self._host, cost)))
            aside.replace(path)

    def _path(self, bundle: str) -> Path:
        return self._folder / f"{bundle}.json"
