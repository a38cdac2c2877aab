"""A model as its framework's own estimator, packed into one file: what a version holds that is served natively.

A zip archive without dates or compression: ``native.json`` (:class:`Native`), ``estimator.skops``, and below ``code/`` the
project's own modules that the estimator is built from. The code travels with the version, so that what answers is what
was proved, whatever becomes of the project's files; it is imported in the model's own process alone.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from seakeep.errors import IntegrityError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import Outputs
from seakeep.records.version import Engine

_NATIVE, _ESTIMATOR, _CODE = "native.json", "estimator.skops", "code/"
_DATE = (1980, 1, 1, 0, 0, 0)


class CodeFile(msgspec.Struct, frozen=True):
    """A module's place in the project's folder, and its text."""

    path: str
    source: str


def own_code(folder: Path, digests: Mapping[str, str], renamed: Mapping[str, str] | None = None) -> dict[str, CodeFile]:
    """A project's own modules, by name, as far as their files are what they were.

    Parameters
    ----------
    digests
        SHA-256 of files, by their path in the folder.
    renamed
        Names of modules that are imported under others, by path.
    """
    found: dict[str, CodeFile] = {}
    for path, sha256 in digests.items():
        file = folder / path
        if file.suffix == ".py" and file.is_file():
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:
                name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                found[(renamed or {}).get(path, name)] = CodeFile(path, content.decode())
    return found


class Native(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of a packed estimator.

    Attributes
    ----------
    columns
        Its inputs, in order.
    outputs
        What it answers.
    alone
        Whether each row must be scored by itself, because its last bits depend on the rows beside it.
    modules
        Files of the project's own modules, by name.
    versions
        Of the libraries that compute its answers: with others nothing is proved.
    """

    columns: tuple[FeatureColumn, ...]
    outputs: Outputs
    alone: bool = False
    modules: dict[str, str] = {}
    versions: dict[str, str] = {}


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A packed model, unpacked."""

    native: Native
    estimator: bytes
    code: dict[str, CodeFile]


def engine_of(model: bytes) -> Engine:
    """What executes a model, told by its content: an archive is native, all else ONNX."""
    return "native" if model.startswith(b"PK\x03\x04") else "onnx"


def pack(packed: Packed) -> bytes:
    """The archive: the same bytes for the same content."""
    files = {_NATIVE: msgspec.json.format(msgspec.json.encode(packed.native), indent=1), _ESTIMATOR: packed.estimator}
    files |= {f"{_CODE}{one.path}": one.source.encode() for _, one in sorted(packed.code.items())}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return buffer.getvalue()


def unpack(model: bytes) -> Packed:
    """What is in an archive.

    Raises
    ------
    IntegrityError
        It is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            native = msgspec.json.decode(archive.read(_NATIVE), type=Native)
            code = {
                name: CodeFile(path, archive.read(f"{_CODE}{path}").decode()) for name, path in native.modules.items()
            }
            return Packed(native=native, estimator=archive.read(_ESTIMATOR), code=code)
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError) as error:
        raise IntegrityError(f"the native model cannot be read: {error}", hint="convert the run again") from error


class OwnCode(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the project's own modules from their text, and nothing beside them from its folder.

    Attributes
    ----------
    files
        The modules, by name.
    imported
        Names of those that were imported.
    """

    def __init__(self, code: Mapping[str, CodeFile]) -> None:
        self.files = code
        self.imported: list[str] = []

    def install(self) -> None:
        """Let this process import from here; whatever is installed goes first."""
        sys.meta_path.append(self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 -- as inherited
        target: ModuleType | None = None,  # noqa: ARG002 -- as inherited
    ) -> importlib.machinery.ModuleSpec | None:
        """Where a module is, if it is here."""
        file = self.files.get(fullname)
        if file is None:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=file.path, is_package=self.is_package(fullname))

    def get_source(self, fullname: str) -> str:
        """A module's text."""
        return self.files[fullname].source

    def is_package(self, fullname: str) -> bool:
        """Whether a module has others in it."""
        return self.files[fullname].path.endswith("__init__.py")

    def get_code(self, fullname: str) -> Any:
        """A module's text, compiled."""
        return self.source_to_code(self.get_source(fullname), self.files[fullname].path)

    def exec_module(self, module: ModuleType) -> None:
        """Run a module, and keep its name."""
        self.imported.append(module.__name__)
        super().exec_module(module)
