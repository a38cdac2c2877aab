"""Which version answers whom: a pure function of the releases and of a row's key, the same in every worker."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from seakeep.records.prediction import Role
from seakeep.records.release import Route
from seakeep.serving.inference import Call, Part
from seakeep.serving.loaded import LoadedVersion

_SCALE = float(1 << 64)


def place_of(key: str, *, model: str, version: int) -> float:
    """Where a key stands in ``[0, 1)``: a candidate answers the keys that stand below its weight.

    The first eight bytes (big-endian) of ``BLAKE2b(key, person="seakeep-route", salt=BLAKE2b(model:version))``. A key
    keeps its place while the weight grows, so that it never goes back and forth; each candidate draws places anew, so
    that not the same keys are always the first to try.

    References
    ----------
    RFC 7693 (BLAKE2).
    """
    salt = hashlib.blake2b(f"{model}:{version}".encode(), digest_size=16).digest()
    digest = hashlib.blake2b(key.encode(), digest_size=8, person=b"seakeep-route", salt=salt).digest()
    return int.from_bytes(digest) / _SCALE


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """How the requests to one model are shared out.

    Attributes
    ----------
    weight
        Share of keys that the candidate answers.
    standby
        The version that answers where these cannot.
    held, by
        Whether the share is that of an A/B test, and the column whose value decides in it; ``""``: the row's key.
    """

    champion: LoadedVersion
    candidate: LoadedVersion | None = None
    weight: float = 0.0
    standby: LoadedVersion | None = None
    held: bool = False
    by: str = ""

    @property
    def can_degrade(self) -> bool:
        """Whether anything can stand in for its versions where too much is asked."""
        standby, champion = self.standby, self.champion
        return champion.rule is not None or (standby is not None and standby.outputs.kind == champion.outputs.kind)

    @property
    def split(self) -> bool:
        """Whether the key decides."""
        return self.candidate is not None and 0.0 < self.weight < 1.0

    def choose(self, key: str) -> tuple[LoadedVersion, Role]:
        """The version that answers a key, and its role."""
        candidate = self.candidate
        if candidate is None or self.weight <= 0.0:
            return self.champion, "champion"
        if self.weight >= 1.0 or place_of(key, model=candidate.model, version=candidate.number) < self.weight:
            return candidate, "canary"
        return self.champion, "champion"

    def shadow_of(self, version: LoadedVersion) -> LoadedVersion | None:
        """The version that scores in the shadow of ``version``, if there is one."""
        if self.candidate is None:
            return None
        return self.champion if version is self.candidate else self.candidate

    def version(self, number: int) -> LoadedVersion | None:
        """The version of that number, if it takes part."""
        return next((one for one in self.versions if one.number == number), None)

    @property
    def versions(self) -> tuple[LoadedVersion, ...]:
        """The versions that take part."""
        found = (self.champion, self.candidate, self.standby)
        return tuple(version for version in found if version is not None)


def share_out(routes: Sequence[Route], loaded: Mapping[str, LoadedVersion], before: Traffic | None) -> Traffic | None:
    """Traffic of one model under its routes, as far as their versions are loaded.

    Parameters
    ----------
    routes
        Of this model.
    loaded
        By bundle digest.
    before
        What is in force. It stays while the champion is not loaded: the old version serves until the new one can.
    """
    champion = next((loaded.get(route.bundle) for route in routes if route.role == "champion"), None)
    if champion is None:
        return before if routes else None
    standing_by = next((route for route in routes if route.role == "standby"), None)
    standby = loaded.get(standing_by.bundle) if standing_by else None
    waiting = next((route for route in routes if route.role == "candidate"), None)
    candidate = loaded.get(waiting.bundle) if waiting else None
    if waiting is None or candidate is None:
        return Traffic(champion, standby=standby)
    return Traffic(champion, candidate, waiting.weight, standby, held=waiting.held, by=waiting.by)


def split(call: Call, traffic: Traffic) -> list[Part]:
    """Rows by the version that their keys choose, or in an A/B test the values of its column."""
    chosen: dict[Role, tuple[LoadedVersion, list[int]]] = {}
    for position, row in enumerate(call.rows):
        version, role = traffic.choose(traffic.champion.key_of(row, traffic.by))
        chosen.setdefault(role, (version, []))[1].append(position)
    if len(chosen) == 1:
        ((role, (version, _)),) = chosen.items()
        return [Part(call, version, role)]
    return [Part(call, version, role, positions) for role, (version, positions) in chosen.items()]
