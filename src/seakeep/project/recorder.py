"""The records of a project: read by other tools, of one key, revealed, erased, kept under another key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.clock import Clock
from seakeep.config import Home
from seakeep.data.table import as_table
from seakeep.errors import ConfigError
from seakeep.features.forget import forget
from seakeep.project.keyring import wrapping_key
from seakeep.project.load import LoadedProject
from seakeep.project.stores import Stores
from seakeep.recorder import erasure, query
from seakeep.recorder.erasure import Erased
from seakeep.recorder.keyring import Keyring, rotate
from seakeep.recorder.layout import parts
from seakeep.recorder.policy import Policies
from seakeep.recorder.query import Query
from seakeep.recorder.relation import Records
from seakeep.recorder.retention import expired
from seakeep.recorder.subject import Subject
from seakeep.records.erasure import Erasure
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Prediction, Role
from seakeep.security.residue import places

SHORTEST = 6
"""Bytes of the shortest text that is searched for in raw files: shorter ones are in compressed data by chance."""


class RecorderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a recorder folder holds.

    Attributes
    ----------
    name
        ``predictions`` or ``events``.
    files, size
        Files of records, and their bytes.
    encrypted
        How many of the files are encrypted.
    missing
        Records that are known to be missing, by reason.
    expired
        Records that retention let go.
    """

    name: str
    files: int
    size: int
    encrypted: int
    missing: dict[str, int]
    expired: int


class FlightRecorder:
    """What can be done with the records; an attribute of :class:`seakeep.project.Project`."""

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, clock: Clock) -> None:
        self._loaded, self._home, self._stores, self._clock = loaded, home, stores, clock

    def records(
        self,
        model: str = "",
        *,
        key: str = "",
        versions: Sequence[int] = (),
        roles: Sequence[Role] = (),
        from_us: int | None = None,
        to_us: int | None = None,
    ) -> Records:
        """Predictions for other tools: ``.duckdb()``, ``.arrow()`` or ``.pandas()``; a context manager.

        Parameters
        ----------
        model, key
            Only of this model, and of the asking rows with this key; of all if ``""``.
        versions, roles
            Only these; all if empty.
        from_us, to_us
            Only predictions that speak for a moment ``from_us <= time_us < to_us``.
        """
        chosen = Query(model=model, key=key, versions=tuple(versions), roles=tuple(roles), from_us=from_us, to_us=to_us)
        return Records(self._home.predictions, chosen, damage=[])

    def of_key(self, key: str) -> list[Prediction]:
        """The predictions that an asking row's key got, in the order they were recorded; also if keys are hashed."""
        found = [one for form in self._policies().forms(key) for one in query.of_key(self._home.predictions, form)]
        return sorted(found, key=lambda one: one.recorded_us)

    def status(self) -> list[RecorderStatus]:
        """What the folders of predictions and of events hold."""
        return [_status(folder) for folder in (self._home.predictions, self._home.events)]

    def reveal(self, token: str) -> tuple[str, Any]:
        """The column and the value behind a token; IntegrityError if it is none of this project's."""
        column, value = self._stores.protector.reveal(token)
        return column.strip("\0"), value

    def rotate_key(self) -> int:
        """Take another wrapping key; how many files' keys were wrapped anew.

        Raises
        ------
        ConfigError
            Records are not encrypted in this project.
        """
        path = wrapping_key(self._loaded.folder, self._loaded.settings, self._home)
        if not path.exists():
            raise ConfigError(
                "the records are not encrypted", hint="set recorder.encrypt = true and restart the service"
            )
        return rotate([self._home.predictions, self._home.events], path)

    def look(self, key: str) -> Erased:
        """What :meth:`erase` would take out of the records now."""
        subject = self._subject(key)
        return erasure.count(self._home.predictions, subject) + erasure.count(self._home.events, subject)

    def erase(self, key: str, *, actor: str = "") -> Erasure:
        """Take everything of a subject out of the records and the online features, prove it, and enter it in the audit log.

        A subject is named by a value in a key of a source, in the entity of a view, or in a personal column; also where
        the value was hashed or tokenised. What is recorded of it from now on is not affected.

        Raises
        ------
        RecorderError
            A writer, a reader or the disk stands in the way; what is done is done, and the same call does the rest.
        """
        subject = self._subject(key)
        done = Erased()
        for folder in (self._home.predictions, self._home.events):
            done += erasure.erase(folder, subject, clock=self._clock, keyring=self._keyring(folder))
        with contextlib.closing(LmdbOnlineStore(self._home.online)) as store:
            features = forget(store, {key})
            store.scrub(subject.texts)
        left = self.look(key)
        searched = [path for path in self._searched() if path.is_file()]
        texts = [text for text in subject.texts if len(text) >= SHORTEST]
        proof = Erasure(
            subject=self._stores.protector.hash("", key),
            time_us=self._clock.now_us(),
            predictions=done.predictions,
            events=done.events,
            features=features,
            files=done.files,
            searched_files=len(searched),
            searched_bytes=sum(path.stat().st_size for path in searched),
            left=left.predictions + left.events + sum(places(path, texts) for path in searched if texts),
            unreadable=done.unreadable,
            datasets=tuple(self._datasets(key, subject)),
        )
        self._stores.erasures.add(proof, actor=actor)
        return proof

    def _keyring(self, folder: Path) -> Keyring | None:
        """For what takes the place of files that are encrypted, also if new ones are not any more."""
        path = wrapping_key(self._loaded.folder, self._loaded.settings, self._home)
        return Keyring(folder, path) if path.exists() and folder.is_dir() else None

    def _searched(self) -> Iterator[Path]:
        """Every file of the home but keys, and what was learnt from: datasets and the artefacts and bundles made of them."""
        home = self._home
        for place in home.root.iterdir():
            if place not in {home.keys, home.data, home.artefacts, home.bundles}:
                yield from place.rglob("*") if place.is_dir() else (place,)

    def _policies(self) -> Policies:
        policies = Policies(self._stores.protector)
        for name, definition in self._definitions():
            policies.learn(name, definition)
        return policies

    def _subject(self, key: str) -> Subject:
        columns = set()
        for _, definition in self._definitions():
            for source in (definition.request, definition.label.source, *(view.source for view in definition.views)):
                columns.update({source.key, *source.personal})
            columns.update(view.entity for view in definition.views)
        return Subject(forms=self._policies().forms(key), columns=frozenset(columns - {""}))

    def _definitions(self) -> Iterator[tuple[str, ModelDefinition]]:
        """What is declared now, and what was when each version was made."""
        for name, model in self._loaded.models.items():
            yield f"declared {name}", model.definition
            for version in self._stores.versions.list(name):
                yield version.bundle, self._stores.bundles.open(version.bundle).definition

    def _datasets(self, key: str, subject: Subject) -> list[str]:
        """Dataset versions with a row that names the subject."""
        stored = (self._stores.datasets.get_manifest(one) for one in self._stores.datasets.manifests())
        versions = {
            one.id: {chunk.sha256 for source in one.sources for chunk in source.chunks} for one in stored if one
        }
        holding = {chunk for chunk in set().union(*versions.values()) if self._holds(chunk, key, subject)}
        return sorted(one for one, chunks in versions.items() if chunks & holding)

    def _holds(self, chunk: str, key: str, subject: Subject) -> bool:
        table = as_table(self._stores.datasets.get_chunk(chunk))
        named = [values.tolist() for name, values in table.items() if name in subject.columns]
        return any(str(value) == key for values in named for value in values)


def _status(folder: Path) -> RecorderStatus:
    missing: dict[str, int] = {}
    for gap in query.gaps(folder):
        missing[gap.reason] = missing.get(gap.reason, 0) + gap.count
    files = [part.path for part in parts(folder)[0]]
    sizes = []
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return RecorderStatus(
        name=folder.name,
        files=len(files),
        size=sum(sizes),
        encrypted=sum(path.with_suffix(".key").exists() for path in files),
        missing=missing,
        expired=sum(expired(folder).values()),
    )
