"""A version in memory, ready to answer."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.errors import IntegrityError, RowError
from seakeep.records.model import ModelDefinition
from seakeep.records.release import Route
from seakeep.serving.ports import BundleSource, FeatureSource, RequestDecoder, RequestDecoders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.session import ScoringSession

_WARM_UP_ROWS = (1, 1, 8, 64)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedVersion:
    """A verified, warmed-up version.

    Attributes
    ----------
    inputs
        Digest of the definition: versions with the same one compute the same inputs from the same row.
    numbers, categories
        Names of the model's number and category inputs, in its order.
    """

    model: str
    number: int
    bundle: str
    definition: ModelDefinition
    threshold: float
    session: ScoringSession
    decoder: RequestDecoder
    inputs: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]

    def key_of(self, row: msgspec.Raw) -> str:
        """The key of a row that asks for a prediction, without reading the rest of it.

        Raises
        ------
        RowError
            The row is no object.
        """
        name = self.definition.request.key
        if not name:
            return ""
        try:
            value = msgspec.json.decode(row, type=dict[str, msgspec.Raw]).get(name)
            key = "" if value is None else msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            message = f"a row cannot be read: {error}"
            raise RowError(message, hint="send one object a row") from error
        return str(key)


def load(route: Route, *, bundles: BundleSource, features: FeatureSource, decoders: RequestDecoders) -> LoadedVersion:
    """Verify a version, load it, warm it up, and have its features kept; to be called off the event loop.

    Raises
    ------
    IntegrityError
        The bundle does not verify, is of another model, or its model cannot score.
    """
    from seakeep.conversion.session import ScoringSession

    bundle = bundles.open(route.bundle)
    definition = bundle.definition
    if definition.name != route.model:
        message = f"bundle {route.bundle[:12]} is of model {definition.name!r}, not of {route.model!r}"
        raise IntegrityError(message, hint="put the version into the registry again")
    version = LoadedVersion(
        model=route.model,
        number=route.version,
        bundle=route.bundle,
        definition=definition,
        threshold=bundle.threshold,
        session=ScoringSession(bundle.model),
        decoder=decoders(definition),
        inputs=hashlib.sha256(msgspec.json.encode(definition)).hexdigest(),
        numbers=tuple(column.name for column in definition.columns if column.kind == "number"),
        categories=tuple(column.name for column in definition.columns if column.kind == "category"),
    )
    features.add(definition)
    _warm_up(version)
    return version


def _warm_up(version: LoadedVersion) -> None:
    for rows in _WARM_UP_ROWS:
        numbers = np.zeros((rows, len(version.numbers)))
        categories: NDArray[Any] = np.full((rows, len(version.categories)), "", dtype=object)
        try:
            scores = version.session.score(numbers, categories)
        except Exception as error:  # the engine raises its own unrelated types
            message = f"the model of {version.model}:{version.number} does not take its own inputs: {error}"
            raise IntegrityError(message, hint="convert the run again") from error
        if scores.shape != (rows,):
            message = (
                f"the model of {version.model}:{version.number} gave scores of shape {scores.shape} for {rows} rows"
            )
            raise IntegrityError(message, hint="convert the run again")
