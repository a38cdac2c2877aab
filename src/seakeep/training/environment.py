"""What a run depends on besides its data: the software, the class of hardware, and the project's own code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from seakeep.records.run import Environment
from seakeep.training.host import host_class

_CODE = {".py", ".toml"}
_SKIPPED = {"__pycache__", "node_modules", "build", "dist"}


def environment() -> Environment:
    """The software and the class of hardware of this process."""
    told = [one.metadata for one in importlib.metadata.distributions()]  # each is parsed whenever it is asked for
    found = {one["Name"]: one["Version"] for one in told if one["Name"]}
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        cpu=host_class(),
        packages=dict(sorted(found.items(), key=lambda item: item[0].lower())),
    )


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The version of the interpreter and of some packages, by name; ``""`` for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def code_digests(folder: Path, *, leave_out: tuple[Path, ...] = ()) -> dict[str, str]:
    """SHA-256 of every ``.py`` and ``.toml`` file below a project's folder, by relative path, in the order of paths.

    Hidden folders, virtual environments, build outputs, links and ``leave_out`` are not the project's code.
    """
    found: dict[str, str] = {}
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(name for name in folders if _is_code(here / name) and here / name not in leave_out)
        for name in sorted(files):
            path = here / name
            if path.suffix in _CODE and not path.is_symlink():
                found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(found.items()))


def _is_code(folder: Path) -> bool:
    return not (
        folder.name.startswith(".")
        or folder.name in _SKIPPED
        or folder.is_symlink()
        or (folder / "pyvenv.cfg").is_file()
    )
