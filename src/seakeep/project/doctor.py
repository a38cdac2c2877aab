"""What is usable on this machine, and whether what a project keeps is whole. It changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal as OneOf

import msgspec

from seakeep.errors import SeakeepError
from seakeep.project.check import check
from seakeep.project.project import Project, open_project

LEAST_FREE_BYTES = 1 << 30
"""Free room below which a disk is told to be nearly full."""
_REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+).*;\s*extra\s*==\s*['\"]([A-Za-z0-9_-]+)['\"]")


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How one part is.

    Attributes
    ----------
    state
        ``absent``: it is not there, and nothing is wrong where it is not needed.
    told
        What was found.
    hint
        What to do, unless it is fine.
    """

    part: str
    state: OneOf["fine", "absent", "fault"]
    told: str
    hint: str = ""


def examine(folder: Path | None = None) -> list[Condition]:
    """Look at this machine, and at the project in a folder if one is given."""
    found = [*_software(), *_engines()]
    return found if folder is None else [*found, *_project(folder)]


def _software() -> Iterator[Condition]:
    cores = len(os.sched_getaffinity(0))
    told = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Condition(part="machine", state="fine", told=f"{told}, {cores} core{'s' if cores != 1 else ''}")
    yield Condition(part="seakeep", state="fine", told=importlib.metadata.version("seakeep"))
    for extra, packages in _extras().items():
        versions = {name: _version(name) for name in packages}
        lacking = [name for name, version in versions.items() if not version]
        told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        if lacking:
            missing = f"{', '.join(lacking)} not installed"
            yield Condition(part=f"extra {extra}", state="absent", told=missing, hint=f"pip install 'seakeep[{extra}]'")
        else:
            yield Condition(part=f"extra {extra}", state="fine", told=told)


def _extras() -> dict[str, list[str]]:
    """What each extra adds, as the installed package says."""
    found: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("seakeep") or ():
        told = _REQUIREMENT.fullmatch(line)
        if told and told[1].lower() != "seakeep":
            found.setdefault(told[2], []).append(told[1])
    return dict(sorted(found.items()))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _engines() -> Iterator[Condition]:
    from seakeep.conversion.providers import providers

    for one in providers():
        state: OneOf["fine", "absent"] = "fine" if one.usable else "absent"
        yield Condition(part=f"computes by {one.kind}", state=state, told=one.told, hint=one.hint)


def _project(folder: Path) -> Iterator[Condition]:
    faults = check(folder)
    if faults:
        told = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}, the first: {faults[0].message}"
        yield Condition(part="project", state="fault", told=told, hint="seakeep check")
        return
    project = open_project(folder)
    yield Condition(part="project", state="fine", told=f"{project.settings.project.name} in {project.folder}")
    yield _disk(project.home.root)
    yield _audit(project)
    yield from _versions(project)
    yield from _records(project)


def _disk(home: Path) -> Condition:
    free = shutil.disk_usage(home).free
    told = f"{free / 1e9:.1f} GB free where {home} is"
    if free < LEAST_FREE_BYTES:
        return Condition(part="disk", state="fault", told=told, hint="make room: records are dropped when it is full")
    return Condition(part="disk", state="fine", told=told)


def _audit(project: Project) -> Condition:
    try:
        count = project.verify_audit()
    except SeakeepError as error:
        return Condition(part="audit", state="fault", told=error.message, hint=error.hint)
    return Condition(part="audit", state="fine", told=f"{count:,} changes, whole")


def _versions(project: Project) -> Iterator[Condition]:
    """Whether every version can be read, and is what was signed."""
    for model in project.models:
        versions = project.stores.versions.list(model)
        for version in versions:
            try:
                project.bundle(version)
            except SeakeepError as error:
                yield Condition(part=f"version {version.ref}", state="fault", told=error.message, hint=error.hint)
        if versions:
            yield Condition(part=f"versions of {model}", state="fine", told=f"{len(versions):,} looked at")
        else:
            yield Condition(part=f"versions of {model}", state="absent", told="none yet", hint="seakeep train")


def _records(project: Project) -> Iterator[Condition]:
    from seakeep.recorder.losses import losses

    found = losses(project.home.predictions, project.home.events)
    hint = "restore the file from a copy"
    for sentence in found.sentences:
        yield Condition(part="records", state="fault", told=sentence, hint=hint if "cannot be read" in sentence else "")
    if not found.sentences:
        yield Condition(part="records", state="fine", told="whole")
