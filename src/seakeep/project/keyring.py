"""Where the key is that wraps the keys of the records' files; for workers too, so it knows nothing of the rest."""

from __future__ import annotations

from pathlib import Path

from seakeep.config import Home, Settings
from seakeep.recorder.keyring import Keyring


def wrapping_key(folder: Path, settings: Settings, home: Home) -> Path:
    """The file with the key that wraps the keys of the records' files."""
    named = settings.recorder.key_file
    return folder / named if named else home.keys / "recorder.key"


def keyring(records: Path, folder: Path, settings: Settings, home: Home) -> Keyring | None:
    """What gives new files in a recorder folder their keys; None if they are not to be encrypted.

    Raises
    ------
    IntegrityError, PlatformError
        The wrapping key cannot be used.
    """
    if not settings.recorder.encrypt:
        return None
    records.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keyring(records, wrapping_key(folder, settings, home))
