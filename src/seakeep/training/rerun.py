"""Which inputs of two runs differ: why a rerun did, or could, give another artefact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from seakeep.clock import format_moment
from seakeep.errors import RerunMismatch
from seakeep.records.model import ModelDefinition
from seakeep.records.run import Environment, Run

_SHORT = 12
_MOST = 20


def check_rerun(original: Run, rerun: Run) -> None:
    """Accept a rerun whose artefact is byte-identical.

    Raises
    ------
    RerunMismatch
        It is not; with one sentence for each input that differed. If none differed, the training itself is not
        deterministic, and the error says so.
    """
    if original.artefact == rerun.artefact:
        return
    found = differences(original, rerun)
    changed = f"run {original.id} gave artefact {original.artefact[:_SHORT]}, its rerun {rerun.artefact[:_SHORT]}"
    if not found:
        raise RerunMismatch(
            f"{changed}, though no recorded input differs: the training is not deterministic",
            differences=(),
            hint="give every estimator and split a random_state, and do not read the time, the network or other files",
        )
    told = "\n".join(f"- {sentence}" for sentence in found[:_MOST])
    more = f"\n- and {len(found) - _MOST} more" if len(found) > _MOST else ""
    raise RerunMismatch(
        f"{changed}. What differs:\n{told}{more}",
        differences=found,
        hint="restore these inputs, or accept the new artefact as a new run",
    )


def differences(before: Run, after: Run) -> tuple[str, ...]:
    """One sentence for each input in which two runs differ: data, definition, code, settings, software, hardware."""
    found: list[str] = []
    if before.dataset != after.dataset:
        found.append(f"dataset {before.dataset[:_SHORT]} -> {after.dataset[:_SHORT]}")
    found += _definition_differences(before.definition, after.definition)
    found += [f"code file {one}" for one in _mapping_differences(before.code, after.code, length=_SHORT)]
    for name in ("model", "trainer", "seed", "threads"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{name} {old!r} -> {new!r}")
    for name in ("as_of_us", "validate_from_us"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{name.removesuffix('_us')} {format_moment(old)} -> {format_moment(new)}")
    return (*found, *environment_differences(before.environment, after.environment))


def environment_differences(before: Environment, after: Environment) -> list[str]:
    """One sentence for each difference in Python, platform, class of hardware and packages."""
    found = []
    for name, label in (("python", "Python"), ("platform", "platform"), ("cpu", "hardware class")):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{label} {old} -> {new}")
    return found + [f"package {one}" for one in _mapping_differences(before.packages, after.packages)]


def _mapping_differences(before: Mapping[str, str], after: Mapping[str, str], *, length: int = 40) -> list[str]:
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(f"{name} was removed")
        elif name not in before:
            found.append(f"{name} was added")
        elif before[name] != after[name]:
            found.append(f"{name} {before[name][:length]} -> {after[name][:length]}")
    return found


def _definition_differences(before: ModelDefinition, after: ModelDefinition) -> list[str]:
    found: list[str] = []
    _compare(msgspec.to_builtins(before), msgspec.to_builtins(after), "definition", found)
    return found


def _compare(before: Any, after: Any, path: str, found: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict) and before.get("op") == after.get("op"):
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                found.append(f"{path}.{name} was removed")
            elif name not in before:
                found.append(f"{path}.{name} was added")
            else:
                _compare(before[name], after[name], f"{path}.{name}", found)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        names = [_names(before), _names(after)]
        if all(names):
            _compare(dict(zip(names[0], before, strict=True)), dict(zip(names[1], after, strict=True)), path, found)
            if set(names[0]) == set(names[1]) and names[0] != names[1]:
                found.append(f"{path} stand in another order")
        elif list(before) != list(after):
            found.append(f"{path} {_told(before)} -> {_told(after)}")
    elif before != after:
        found.append(f"{path} {_told(before)} -> {_told(after)}")


def _names(items: Any) -> list[str]:
    """Names of the items, if each has its own."""
    names = [item["name"] for item in items if isinstance(item, dict) and "name" in item]
    return names if len(names) == len(items) == len(set(names)) else []


def _told(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
