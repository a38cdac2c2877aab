"""A version in memory, ready to answer."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.errors import IntegrityError, RowError
from seakeep.features.transform import Compiled, compiled
from seakeep.records.feature import FeatureKind
from seakeep.records.model import ModelDefinition
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.release import Route
from seakeep.serving.batching import ALONE, AT_ONCE, SIZES, Plan, measure, plan
from seakeep.serving.ports import BundleSource, CostStore, FeatureSource, RequestDecoder, RequestDecoders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.engine import Session

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_WARM_UP_ROWS = (2, 7, 64)
_ROWS_ALONE = 1024
"""So many rows are scored alone: where the last bits of one in a hundred differ, that shows."""
_ALONE_S = 0.25
"""After this time a heavy model's rows alone are enough, in seconds."""
LIMIT_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedVersion:
    """A verified, warmed-up version.

    Attributes
    ----------
    inputs
        Digest of the definition: versions with the same one compute the same inputs from the same row.
    numbers, categories
        Names of the model's number and category inputs, in its order.
    outputs
        What its model answers.
    rule
        Its rule over the columns of asking rows; None: it has none.
    kinds
        Of all its inputs, by name.
    plan
        How many rows are scored together. Only if that gives each the bits it gets alone is it more than one.
    memory
        What transports have found out about the requests to this version, by what they found it in.
    """

    model: str
    number: int
    bundle: str
    definition: ModelDefinition
    threshold: float
    session: Session
    decoder: RequestDecoder
    inputs: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    kinds: Mapping[str, FeatureKind]
    outputs: Outputs = PROBABILITY
    rule: Compiled | None = None
    plan: Plan = AT_ONCE
    memory: dict[Any, Any] = dataclasses.field(default_factory=dict)

    @property
    def apart(self) -> bool:
        """Whether its model waits for a process of its own, and so must not be asked on the event loop."""
        return self.session.apart

    def interrupt(self) -> bool:
        """End the process of its model if that is busy, so that whoever waits for it is told; whether it was."""
        return self.session.interrupt()

    @property
    def takes(self) -> tuple[tuple[str, ...], tuple[str, ...], Outputs]:
        """What its model takes, and gives for it: versions with the same can answer a client that sends the inputs itself."""
        return self.numbers, self.categories, self.outputs

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """Scores, float64 ``(n,)``, of classes ``(n, classes)``; those of a row do not depend on the other rows, to the bit."""
        count, most = len(numbers), self.plan.most
        if count <= most:
            return self.session.score(numbers, categories)
        parts = [slice(start, start + most) for start in range(0, count, most)]
        return np.concatenate([self.session.score(numbers[part], categories[part]) for part in parts])

    def key_of(self, row: msgspec.Raw, column: str = "") -> str:
        """The key of a row that asks for a prediction, or its value in a column, without reading the rest of it.

        Raises
        ------
        RowError
            The row is no object.
        """
        name = column or self.definition.request.key
        if not name:
            return ""
        try:
            value = msgspec.json.decode(row, type=dict[str, msgspec.Raw]).get(name)
            key = None if value is None else msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"a row cannot be read: {error}"
            raise RowError(message, hint="send one object a row") from error
        return "" if key is None else str(key)


def load(
    route: Route,
    *,
    bundles: BundleSource,
    features: FeatureSource,
    decoders: RequestDecoders,
    costs: CostStore | None = None,
    limit_s: float = LIMIT_S,
    engines: Path | None = None,
) -> LoadedVersion:
    """Verify a version, load it, warm it up, measure it, and have its features kept; to be called off the event loop.

    Parameters
    ----------
    costs
        What was measured before; a version that is not in it is measured. None: nothing is measured, nobody waits.
    limit_s
        How long a native model may take for a batch before its process is ended, in seconds.
    engines
        Folder in which TensorRT keeps the engines that it builds; None: it keeps none.

    Raises
    ------
    IntegrityError
        The bundle does not verify, is of another model, or its model cannot score.
    PlatformError
        Its model is to be computed by what is not usable here.
    """
    from seakeep.conversion.engine import open_session

    bundle = bundles.open(route.bundle)
    definition = bundle.definition
    if definition.name != route.model:
        message = f"bundle {route.bundle[:12]} is of model {definition.name!r}, not of {route.model!r}"
        raise IntegrityError(message, hint="put the version into the registry again")
    session = open_session(bundle.model, limit_s=limit_s, engines=engines)
    if session.outputs != definition.label.outputs:
        told = f"{session.outputs.kind}, not with the {definition.label.outputs.kind} of its label"
        message = f"the model of {route.model}:{route.version} answers with {told}"
        raise IntegrityError(message, hint="convert the run again")
    kinds = {column.name: column.kind for column in definition.columns}
    version = LoadedVersion(
        model=route.model,
        number=route.version,
        bundle=route.bundle,
        definition=definition,
        threshold=bundle.threshold,
        session=session,
        decoder=decoders(definition),
        inputs=hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(definition, rule=None))).hexdigest(),
        outputs=definition.label.outputs,
        rule=None if definition.rule is None else compiled(definition.rule),
        numbers=tuple(name for name, kind in kinds.items() if kind == "number"),
        categories=tuple(name for name, kind in kinds.items() if kind == "category"),
        kinds=kinds,
    )
    together = _warm_up(version)
    features.add(definition)
    return dataclasses.replace(version, plan=_plan(version, costs) if together else ALONE)


def _plan(version: LoadedVersion, costs: CostStore | None) -> Plan:
    if costs is None:
        return AT_ONCE
    cost = costs.get(version.bundle)
    if cost is None:
        numbers, categories = _made_up(version, SIZES[-1])
        cost = measure(lambda rows: version.session.score(numbers[:rows], categories[:rows]), time.perf_counter)
        costs.put(version.bundle, cost)
    return plan(cost)


def _made_up(version: LoadedVersion, rows: int) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Rows of numbers between -50 and 50 with all their digits; NumPy's generators would be loaded for this alone."""
    count = len(version.numbers)
    places = np.arange(1.0, rows * count + 1.0)
    numbers = ((places * _GOLDEN % 1.0 - 0.5) * 100.0).astype(np.float64)
    return numbers.reshape(rows, count), np.full((rows, len(version.categories)), "", dtype=object)


def _warm_up(version: LoadedVersion) -> bool:
    """Score made-up rows; whether each gets the same bits together with others as alone.

    The engine may add numbers up in another order when there are more rows (its matrix products do, its tree ensembles
    do not).

    Raises
    ------
    IntegrityError
        The model does not take its own inputs, or does not give one score a row.
    """
    name = f"{version.model}:{version.number}"
    numbers, categories = _made_up(version, _ROWS_ALONE)
    alone: list[NDArray[np.float64]] = []
    began_s = time.perf_counter()
    try:
        while len(alone) < _WARM_UP_ROWS[-1] or (len(alone) < _ROWS_ALONE and time.perf_counter() - began_s < _ALONE_S):
            row = slice(len(alone), len(alone) + 1)
            alone.append(version.session.score(numbers[row], categories[row]))
        sizes = (*_WARM_UP_ROWS, len(alone))
        together = [version.session.score(numbers[:rows], categories[:rows]) for rows in sizes]
    except Exception as error:  # the engine raises its own unrelated types
        message = f"the model of {name} does not take its own inputs: {error}"
        raise IntegrityError(message, hint="convert the run again") from error
    shape = (1, len(version.outputs.names)) if version.outputs.of_classes else (1,)
    if any(scores.shape != shape for scores in alone) or tuple(map(len, together)) != sizes:
        message = f"the model of {name} does not give one score a row"
        raise IntegrityError(message, hint="convert the run again")
    expected = np.concatenate(alone).tobytes()
    return all(expected.startswith(scores.tobytes()) for scores in together)
