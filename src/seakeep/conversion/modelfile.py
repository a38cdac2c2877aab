"""Model files made elsewhere: read with bounds, and told apart by what is in them, never by their names."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from pathlib import Path

from seakeep.conversion.formats.format import Format
from seakeep.conversion.formats.registry import FORMATS, format_of
from seakeep.conversion.reading import Reading
from seakeep.errors import ConversionError

MOST_BYTES = 512 * 1024**2
_PLAIN = Reading()
_SAID = {
    "gives": (
        "what a network gives",
        "say it: --gives logits (no last activation), --gives probabilities (a sigmoid or softmax), or --gives values",
    ),
    "network": (
        "which network weights are of",
        "name the function or class of the project's files that gives it: --network module:name",
    ),
}
"""What is said beside a file, by its attribute of :class:`Reading`, and how."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFile:
    """The bytes of a model file, the format they are in, and how they are to be read."""

    name: str
    content: bytes
    format: Format
    reading: Reading = _PLAIN

    @property
    def sha256(self) -> str:
        """Its identity."""
        return hashlib.sha256(self.content).hexdigest()


def read_model_file(path: Path, reading: Reading = _PLAIN) -> ModelFile:
    """Read a model file and find out what it is.

    Raises
    ------
    ConversionError
        It is no regular file or too large, in no format that is taken, damaged, named as another format, has code in it
        and was not said to be trusted, or does not say itself what was not said either.
    """
    if (path / "saved_model.pb").is_file():
        raise ConversionError(
            f"{path.name} is a SavedModel, a graph of TensorFlow in a folder",
            hint="where TensorFlow is, load the Keras model that it was exported from and save it: model.save('model.keras')",
        )
    content = read_bounded(path, MOST_BYTES)
    found = format_of(content, path.name)
    suffix = path.suffix.lower()
    if suffix not in found.suffixes and any(suffix in one.suffixes for one in FORMATS.values()):
        raise ConversionError(
            f"{path.name} is named {path.suffix}, but its content is {found.told}",
            hint="find out who made it; if that is what it is meant to be, rename it",
        )
    if found.runs_code and not reading.trust_pickle:
        raise ConversionError(
            f"{path.name} is {found.told}, which runs whatever code is in it when it is read",
            hint="save the model without code, as skops or in its framework's own format; if you know who made it: --trust-pickle",
        )
    for one, (what, hint) in _SAID.items():
        if bool(getattr(reading, one)) != (one in found.needs):
            raise ConversionError(
                f"{path.name} is {found.told}, which does not say {what}"
                if one in found.needs
                else f"--{one} says {what}, but {path.name} is {found.told}",
                hint=hint if one in found.needs else f"leave out --{one}",
            )
    return ModelFile(path.name, content, found, reading)


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file that is no link and of at most ``most`` bytes.

    Raises
    ------
    ConversionError
        It is something else.
    """
    try:
        # Not blocking: opening a named pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        what = "is a link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise ConversionError(f"{path.name} {what}", hint="name the model file itself") from error
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise ConversionError(f"{path.name} is no regular file", hint="name the model file itself")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1) if about.st_size <= most else b""
    if about.st_size > most or len(content) > most:
        raise ConversionError(f"{path.name} has more than {most:,} bytes", hint="give a smaller model")
    return content
