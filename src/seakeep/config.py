"""``seakeep.toml`` and ``SEAKEEP_SECTION__KEY`` become one frozen :class:`Settings`; nobody else reads either."""

from __future__ import annotations

import copy
import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from typing import Literal as OneOf

import msgspec

from seakeep.errors import ConfigError, Fault, PlatformError, ProjectFaults

FILE_NAME = "seakeep.toml"
PREFIX = "SEAKEEP_"

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the project's declarations and state are."""

    name: str
    """Name of the project, shown in the dashboard."""
    module: str = "project.py"
    """File with the declarations, relative to the project folder."""
    home: str = ".seakeep"
    """Folder for all state, relative to the project folder."""


PRIORITIES = ("critical", "normal", "sheddable")
"""Classes of requests, the most urgent first."""


class KeySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one API key may ask for: ``[serving.keys.NAME]``; requests without a key are those of ``local``."""

    priority: OneOf["critical", "normal", "sheddable"] = "normal"
    """The highest class of its requests."""
    rows_per_second: NotNegative = 0
    """Rows it may ask for, counted over all workers; more are answered 429. 0: any number."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model is served under pressure: ``[serving.models.NAME]``."""

    deadline_ms: NotNegative = 0
    """Time that a request gets whose client names none; 0: what the server gives."""
    features_ms: NotNegative = 0
    """How long the lookup of features may take, in milliseconds; 0: any time, or 20 where ``stale_s`` is given."""
    stale_s: NotNegative = 0
    """How old features may be that stand in for such as do not come, in seconds; 0: none stand in."""
    cache_s: NotNegative = 0
    """How long an answer may be given again to the same request, in seconds; 0: never."""
    cache_mb: Positive = 16
    """How much each worker may keep of such answers, in MiB."""


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data plane."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback, and from the first key on also there, every request needs an API key. There
    is no TLS: put a proxy that ends it in front before keys leave the machine."""
    port: Port = 8080
    """Port of the data plane; 0: any free one."""
    grpc_port: Port = 0
    """Port of the Open Inference Protocol over gRPC, shared by all workers; 0: none. Needs the extra ``grpc``."""
    workers: Positive = 2
    """Worker processes; one per core is a good start."""
    clock: OneOf["wall", "request"] = "wall"
    """``wall``: predictions speak for now. ``request``: for the time in each row, to replay the past."""
    max_body_bytes: Positive = 8 * 1024 * 1024
    """Largest accepted request body."""
    max_rows: Positive = 4096
    """Largest number of rows in one request."""
    max_in_flight: Positive = 1024
    """Requests a worker holds at once; more are answered 503 with Retry-After."""
    deadline_ms: NotNegative = 0
    """Time that a request gets whose client names none, in milliseconds; 0: any."""
    queue_ms: Positive = 200
    """Longest time that a request may be expected to wait for its turn, in milliseconds; others are answered 503."""
    keys: dict[str, KeySettings] = {}
    """What single API keys may ask for, by their names."""
    models: dict[str, ModelSettings] = {}
    """What is particular to a model, by its name."""
    hang_s: Positive = 30
    """A worker that has not moved for so many seconds hangs, and is replaced: longer than the slowest batch takes."""
    worker_memory_mb: NotNegative = 1024
    """Most memory of its own that a worker may have, in MiB; 0: any. One that has grown to four fifths of it is replaced,
    without a request lost; one that needs as much from the start is left alone, which is told."""


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control plane's pages."""

    host: str = "127.0.0.1"
    """Address to listen on; only loopback is allowed until access control is configured."""
    port: Port = 8081
    """Port of the dashboard; 0: any free one."""


class ObserveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told of serving beside its metrics."""

    logs: OneOf["text", "json"] = "text"
    """Form of the lines on standard error; neither holds values of requests."""
    access_share: Share = 0.0
    """Part of the answered requests that a line is written about, 0 to 1; one is written about those that fail, at most 20
    a second and worker."""

    traces: str = ""
    """URL of an OpenTelemetry collector that takes traces over HTTP, as ``http://localhost:4318/v1/traces``; ``""``:
    nothing is traced. Needs the extra ``otel``."""
    trace_share: Share = 0.01
    """Part of the requests without a ``traceparent`` that is traced, 0 to 1; one with it is traced if it says so."""


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flight recorder."""

    commit: OneOf["group", "each"] = "group"
    """``group``: answers go out at once, and records reach the disk together. ``each``: first the disk, then the answer."""
    commit_ms: Positive = 20
    """Longest time a record waits in memory before it is written and synced, in milliseconds."""
    queue_mb: Annotated[float, msgspec.Meta(gt=0)] = 32
    """Memory for records while the disk is slower than the traffic, in MiB; what has no room becomes a counted gap."""
    segment_mb: Positive = 64
    """Size at which a segment is sealed, in MiB."""
    keep_days: NotNegative = 0
    """Days that records are kept; 0: for ever."""
    keep_gb: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Space that predictions may take on the disk, in GiB; the oldest go first. 0: all there is."""
    encrypt: bool = False
    """Whether records are encrypted on the disk (AES-256-GCM, a key for every file)."""
    key_file: str = ""
    """File with the 32 bytes of the key that wraps the files' keys; by default ``keys/recorder.key`` in the home."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a project's ``seakeep.toml`` can say."""

    project: ProjectSettings
    serving: ServingSettings = ServingSettings()
    dashboard: DashboardSettings = DashboardSettings()
    recorder: RecorderSettings = RecorderSettings()
    observe: ObserveSettings = ObserveSettings()


class Home:
    """The folder that holds all state of a project, and the one place that knows its layout.

    Parameters
    ----------
    root
        The folder; made on first use, readable by the owner alone.

    Raises
    ------
    PlatformError
        The folder cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"cannot make the folder {root}: {error.strerror}"
            raise PlatformError(message, hint="check its rights, or set another project.home") from error
        self.database = root / "state.db"
        self.data = root / "data"
        self.artefacts = root / "artefacts"
        self.bundles = root / "bundles"
        self.predictions = root / "recorder" / "predictions"
        self.events = root / "recorder" / "events"
        self.online = root / "online"
        self.keys = root / "keys"
        self.metrics = root / "metrics"
        self.costs = root / "costs"
        self.engines = root / "engines"

    def beside(self, folder: Path) -> Home:
        """The same home, but for what a service writes: that goes to another folder."""
        home = copy.copy(self)
        home.predictions, home.events, home.metrics = folder / "predictions", folder / "events", folder / "metrics"
        return home


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
        content = path.read_bytes()
        text = content.decode("utf-8")
        tree: dict[str, Any] = tomllib.loads(text)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise ConfigError(message, hint="run `seakeep init` to make a project") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProjectFaults((Fault(file=str(path), line=line, message="not UTF-8 text"),)) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), ", str(error))
        line = int(place[1]) if place else text.rstrip().count("\n") + 1
        fault = Fault(file=str(path), line=line, message=f"not valid TOML: {error}")
        raise ProjectFaults((fault,)) from error
    variables = _override(tree, environ)
    faults = _faults(tree, text, path, variables)
    if faults:
        raise ProjectFaults(faults)
    return msgspec.convert(tree, Settings)


def wants_colour(environ: dict[str, str] | None = None) -> bool:
    """Whether the person at the terminal has not asked for output without colour (https://no-color.org)."""
    environ = dict(os.environ) if environ is None else environ  # noqa: TID251 -- the one reader
    return not environ.get("NO_COLOR")


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Set what the environment sets; the variable's name by section and key."""
    variables = {}
    for name, value in environ.items():
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and separator:
            values = tree.setdefault(section, {})
            if isinstance(values, dict):
                values[key] = _from_text(value, text=(section, key) in _TEXTS)
                variables[section, key] = name
    return variables


def _fields(struct: Any) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(struct)}


_TEXTS = {
    (section.name, field.name)
    for section in msgspec.structs.fields(Settings)
    for field in msgspec.structs.fields(section.type)
    if field.type is str
}


def _from_text(written: str, *, text: bool) -> Any:
    """A value as TOML would read it; what is no TOML, or no text where text is asked for, is text as it stands."""
    try:
        value = tomllib.loads(f"v = {written}")["v"]
    except tomllib.TOMLDecodeError:
        return written
    return written if text and not isinstance(value, str) else value


def _faults(tree: dict[str, Any], text: str, path: Path, variables: Mapping[tuple[str, str], str]) -> tuple[Fault, ...]:
    found = []
    for message, section, key, hint in _wrong(tree):
        variable = variables.get((section, key), "")
        hints = [f"the environment sets it: {variable}"] * bool(variable) + [hint] * bool(hint)
        found.append(Fault(file=str(path), line=_line(text, section, key), message=message, hint="; ".join(hints)))
    return tuple(found)


def _wrong(tree: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """What is wrong: message, section, key and hint."""
    sections = _fields(Settings)
    if "project" not in tree:
        yield "section [project] is missing", "", "", 'add [project] with name = "..."'
    for section, values in tree.items():
        if section not in sections:
            yield f"unknown section [{section}]", section, "", _nearest(section, sections)
        elif not isinstance(values, dict):
            yield f"{section!r} must be a section, [{section}]", section, "", ""
        else:
            yield from _wrong_in(section, values, _fields(sections[section].type))


def _wrong_in(
    section: str, values: dict[str, Any], fields: dict[str, msgspec.structs.FieldInfo]
) -> Iterator[tuple[str, str, str, str]]:
    for key, value in values.items():
        if key not in fields:
            yield f"unknown setting {key!r} in [{section}]", section, key, _nearest(key, fields)
            continue
        try:
            msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError as error:
            yield f"{section}.{key} = {value!r}: {str(error)[0].lower()}{str(error)[1:]}", section, key, ""
    for key, field in fields.items():
        if field.required and key not in values:
            yield f"setting {key!r} is missing in [{section}]", section, "", f"add {key} = ..."


def _nearest(word: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _line(text: str, section: str = "", key: str = "") -> int:
    inside = False
    header = 1
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.partition("#")[0].strip("[] ") == section
            header = number if inside else header
        elif inside and key and stripped.partition("=")[0].strip() == key:
            return number
    return header
