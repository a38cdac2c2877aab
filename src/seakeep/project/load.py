"""Loads a project: its settings, and what its ``project.py`` declares.

``project.py`` is declarations at module level::

    flights = sk.Events("flights", time="scheduled", key="flight_id")
    late = sk.Model("late-arrival", on=flights, ...)
    tables = {flights: load_flights}

Models and sources are found by their type. ``tables`` says where each source's history is: a function that returns a
table (a mapping of arrays, a data frame, an Arrow table or a DuckDB relation), or the path of a ``.csv`` or
``.parquet`` file, relative to the project's folder.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seakeep.config import Settings, load_settings
from seakeep.data.table import as_table
from seakeep.errors import ConfigError, DataError, Fault, NotFoundError, ProjectFaults, SeakeepError
from seakeep.records.feature import FeatureView
from seakeep.records.model import Model
from seakeep.records.source import Events, Loader
from seakeep.training.usercode import describe

if TYPE_CHECKING:
    from seakeep.data.table import Table

# One name for every project: it is written into artefacts, whose bytes must not depend on the folder.
MODULE = "_seakeep_project"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadedProject:
    """A project's settings and declarations.

    Attributes
    ----------
    folder, file
        The project's folder, and the file with the declarations.
    models, sources
        By name.
    tables
        Where the history of each source is, by source name: a function, or a path.
    module
        The imported file.
    """

    folder: Path
    file: Path
    settings: Settings
    models: dict[str, Model]
    sources: dict[str, Events]
    tables: dict[str, Loader | Path]
    module: ModuleType

    def model(self, name: str = "") -> Model:
        """A model by name; without a name the only one.

        Raises
        ------
        NotFoundError
            There is no such model, or there are several to choose from.
        """
        if not name and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name not in self.models:
            known = ", ".join(sorted(self.models)) or "none"
            raise NotFoundError(f"no model {name!r} in {self.file.name}", hint=f"models declared there: {known}")
        return self.models[name]

    def trainer(self, name: str) -> Callable[[Any], Any]:
        """A function of the project's file, to train in place of a model's own.

        Raises
        ------
        NotFoundError
            The file has no such function.
        """
        function = getattr(self.module, name, None)
        if not callable(function):
            raise NotFoundError(f"no function {name!r} in {self.file.name}", hint="name a function train(frame)")
        trainer: Callable[[Any], Any] = function
        return trainer

    def read(self, source: str) -> Table:
        """The whole history of a source, in the normal form.

        Raises
        ------
        DataError
            The source has no table, its loader failed, or it gave something that is not a table.
        """
        if source not in self.tables:
            raise DataError(
                f"source {source!r} has no table",
                hint=f"add it to `tables` in {self.file.name}: tables = {{...: load}}",
            )
        loader = self.tables[source]
        if isinstance(loader, Path):
            return as_table(loader)
        try:
            return as_table(loader())
        except SeakeepError:
            raise
        except Exception as error:  # the border to the user's code
            raise DataError(
                f"the loader of {source!r} failed: {describe(error, self.folder)}", hint="mend the loader"
            ) from error


def sources_of(model: Model) -> dict[str, Events]:
    """The sources a model reads, by name."""
    definition = model.definition
    found = (definition.request, *(view.source for view in definition.views), definition.label.source)
    return {source.name: source for source in found}


def load_project(folder: Path) -> LoadedProject:
    """Read ``seakeep.toml`` and import the project's declarations.

    Raises
    ------
    ProjectFaults
        The settings are wrong, or the declarations contradict one another.
    ConfigError
        The declarations cannot be imported.
    """
    folder = folder.resolve()
    settings = load_settings(folder)
    file = folder / settings.project.module
    project, found = collect(import_declarations(file, folder), settings, folder)
    if found:
        raise ProjectFaults(tuple(Fault(file=str(file), line=1, message=one.message, hint=one.hint) for one in found))
    return project


@dataclasses.dataclass(frozen=True, slots=True)
class DeclarationFault:
    """Something wrong in a declaration: the words that lead to its place, what it is, and how to mend it."""

    where: tuple[str, ...]
    message: str
    hint: str = ""


def collect(module: ModuleType, settings: Settings, folder: Path) -> tuple[LoadedProject, list[DeclarationFault]]:
    """What an imported file declares, with all that contradicts itself in it."""
    declared = list(vars(module).values())
    found: list[DeclarationFault] = []
    models = _by_name([one for one in declared if isinstance(one, Model)], found)
    events = [one for one in declared if isinstance(one, Events)]
    events += [one.source for one in declared if isinstance(one, FeatureView)]
    for model in models.values():
        events += sources_of(model).values()
    project = LoadedProject(
        folder=folder,
        file=folder / settings.project.module,
        settings=settings,
        models=models,
        sources=_by_name(events, found),
        tables=_tables(module, folder, found),
        module=module,
    )
    return project, found


def import_declarations(file: Path, folder: Path) -> ModuleType:
    """Import a project's file anew, with its folder importable, whatever was imported from it or another before.

    Raises
    ------
    ConfigError
        It is not there, or raised; the message names the file and line.
    """
    if not file.is_file():
        raise ConfigError(f"there is no {file}", hint="write the declarations there, or set project.module")
    _forget(folder)
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is not a Python file", hint="set project.module to a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the border to the user's code
        _forget(folder)
        raise ConfigError(f"{file.name} cannot be imported: {describe(error, folder)}", hint="mend the line") from error
    return module


def _forget(folder: Path) -> None:
    """Drop what was imported from this project and from the one before it: both may have a helper of the same name."""
    before = getattr(sys.modules.get(MODULE), "__file__", None)
    folders = [folder, Path(before).parent] if before else [folder]
    for name, loaded in sys.modules.copy().items():
        if name == MODULE or any(_is_within(getattr(loaded, "__file__", None), one) for one in folders):
            del sys.modules[name]
    for one in folders:
        if str(one) in sys.path:
            sys.path.remove(str(one))


def _is_within(file: str | None, folder: Path) -> bool:
    if not file or not file.startswith(f"{folder}{os.sep}"):  # most are not, and paths are slow
        return False
    path = Path(file)
    return path.is_absolute() and "site-packages" not in path.parts


def _by_name(declared: list[Any], found: list[DeclarationFault]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for one in declared:
        if known.setdefault(one.name, one) is not one and known[one.name] != one:
            kind = type(one).__name__
            found.append(DeclarationFault((one.name,), f"two different {kind} are named {one.name!r}", "rename one"))
    return known


def _tables(module: ModuleType, folder: Path, found: list[DeclarationFault]) -> dict[str, Loader | Path]:
    declared = getattr(module, "tables", {})
    if not isinstance(declared, Mapping):
        found.append(
            DeclarationFault(("tables",), "`tables` is not a mapping", "write tables = {flights: load_flights}")
        )
        return {}
    tables: dict[str, Loader | Path] = {}
    for source, loader in declared.items():
        if not isinstance(source, Events):
            message = f"{source!r} in `tables` is not a source"
            found.append(DeclarationFault(("tables", str(source)), message, "use the Events as keys: {flights: ...}"))
        elif isinstance(loader, str | Path):
            tables[source.name] = folder / loader
        elif callable(loader):
            tables[source.name] = loader
        else:
            message = f"the table of {source.name!r} is a {type(loader).__name__}"
            found.append(DeclarationFault(("tables",), message, "give a function that returns the table, or a path"))
    return tables
