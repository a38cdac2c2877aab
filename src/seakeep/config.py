"""``seakeep.toml`` and ``SEAKEEP_SECTION__KEY`` become one frozen :class:`Settings`; nobody else reads either."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any
from typing import Literal as OneOf

import msgspec

from seakeep.errors import ConfigError, Fault, PlatformError, ProjectFaults

FILE_NAME = "seakeep.toml"


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the project's declarations and state are."""

    name: str
    """Name of the project, shown in the dashboard."""
    module: str = "project.py"
    """File with the declarations, relative to the project folder."""
    home: str = ".seakeep"
    """Folder for all state, relative to the project folder."""


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data plane."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback every request needs an API key."""
    port: int = 8080
    """Port of the data plane."""
    workers: int = 2
    """Worker processes; one per core is a good start."""
    clock: OneOf["wall", "request"] = "wall"
    """``wall``: predictions speak for now. ``request``: for the time in each row, to replay the past."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Largest accepted request body."""
    max_rows: int = 4096
    """Largest number of rows in one request."""
    max_in_flight: int = 1024
    """Requests a worker holds at once; more are answered 503 with Retry-After."""


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control plane's pages."""

    host: str = "127.0.0.1"
    """Address to listen on; only loopback is allowed until access control is configured."""
    port: int = 8081
    """Port of the dashboard."""


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flight recorder."""

    commit_ms: int = 20
    """Longest time a record waits in memory before it is written and synced, in milliseconds."""
    queue_records: int = 50_000
    """Records held in memory when the disk is slower than the traffic; more become a counted gap."""
    segment_mb: int = 64
    """Size at which a segment is sealed, in MiB."""
    hash: tuple[str, ...] = ()
    """Request columns stored only as a keyed hash."""
    drop: tuple[str, ...] = ()
    """Request columns not stored at all."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a project's ``seakeep.toml`` can say."""

    project: ProjectSettings
    serving: ServingSettings = ServingSettings()
    dashboard: DashboardSettings = DashboardSettings()
    recorder: RecorderSettings = RecorderSettings()


class Home:
    """The folder that holds all state of a project, and the one place that knows its layout.

    Parameters
    ----------
    root
        The folder; made on first use, readable by the owner alone.

    Raises
    ------
    PlatformError
        It cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"the folder for all state, {root}, cannot be made: {error.strerror}"
            raise PlatformError(message, hint="give this user the right to, or set another project.home") from error
        self.database = root / "state.db"
        self.data = root / "data"
        self.artefacts = root / "artefacts"
        self.bundles = root / "bundles"
        self.predictions = root / "recorder" / "predictions"
        self.events = root / "recorder" / "events"
        self.online = root / "online"
        self.keys = root / "keys"
        self.metrics = root / "metrics"
        self.receipts = root / "receipts"


def find_project(start: Path) -> Path:
    """The nearest folder at or above ``start`` that holds ``seakeep.toml``.

    Raises
    ------
    ConfigError
        There is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder
    message = f"no {FILE_NAME} in {start} or above it"
    raise ConfigError(message, hint="run `seakeep init`, or change into a project's folder")


def load_settings(folder: Path, environ: dict[str, str] | None = None) -> Settings:
    """Read ``seakeep.toml`` of a project folder, overridden by ``SEAKEEP_SECTION__KEY``.

    Raises
    ------
    ProjectFaults
        With every unknown or mistyped setting, each with its line.
    """
    environ = dict(os.environ) if environ is None else environ  # noqa: TID251 -- the one reader
    path = folder / FILE_NAME
    try:
        text = path.read_text("utf-8")
        tree: dict[str, Any] = tomllib.loads(text)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise ConfigError(message, hint="run `seakeep init` to make a project") from error
    except tomllib.TOMLDecodeError as error:
        line = int(str(error).rpartition("line ")[2].partition(",")[0] or 1) if "line " in str(error) else 1
        fault = Fault(file=str(path), line=line, message=f"not valid TOML: {error}")
        raise ProjectFaults((fault,)) from error
    for name, value in environ.items():
        section, separator, key = name.removeprefix("SEAKEEP_").lower().partition("__")
        if name.startswith("SEAKEEP_") and separator:
            tree.setdefault(section, {})[key] = _from_text(value)
    faults = _faults(tree, text, path)
    if faults:
        raise ProjectFaults(faults)
    return msgspec.convert(tree, Settings)


def _from_text(value: str) -> Any:
    try:
        return tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return value


def _faults(tree: dict[str, Any], text: str, path: Path) -> tuple[Fault, ...]:
    found: list[Fault] = []
    sections = {field.name: field for field in msgspec.structs.fields(Settings)}

    def add(message: str, *where: str, hint: str = "") -> None:
        found.append(Fault(file=str(path), line=_line(text, *where), message=message, hint=hint))

    if "project" not in tree:
        add("section [project] is missing", hint='add [project] with name = "..."')
    for section, values in tree.items():
        if section not in sections:
            add(f"unknown section [{section}]", section, hint=_nearest(section, sections))
            continue
        if not isinstance(values, dict):
            add(f"{section!r} must be a section, [{section}]", section)
            continue
        fields = {field.name: field for field in msgspec.structs.fields(sections[section].type)}
        for key, value in values.items():
            if key not in fields:
                add(f"unknown setting {key!r} in [{section}]", section, key, hint=_nearest(key, fields))
                continue
            try:
                msgspec.convert(value, fields[key].type)
            except msgspec.ValidationError as error:
                add(f"{section}.{key} = {value!r}: {str(error)[0].lower()}{str(error)[1:]}", section, key)
        missing = [field.name for field in fields.values() if field.required and field.name not in values]
        for key in missing:
            add(f"setting {key!r} is missing in [{section}]", section, hint=f"add {key} = ...")
    return tuple(found)


def _nearest(word: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _line(text: str, section: str = "", key: str = "") -> int:
    inside = False
    header = 1
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.strip("[] ") == section
            header = number if inside else header
        elif inside and key and stripped.partition("=")[0].strip() == key:
            return number
    return header
