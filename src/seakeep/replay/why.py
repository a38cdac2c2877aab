"""One recorded prediction, executed again: the same inputs through the same bundle must give the same bits."""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from seakeep.errors import DataError, IntegrityError, RecorderError
from seakeep.features.rows import RequestDecoder
from seakeep.features.transform import compiled
from seakeep.records.expression import columns_of
from seakeep.records.feature import FeatureKind
from seakeep.records.model import ModelDefinition
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.prediction import Prediction
from seakeep.records.version import ParityProof
from seakeep.security.privacy import HASH

if TYPE_CHECKING:
    from numpy.typing import NDArray


HOST = "host"


class Scorer(Protocol):
    """A loaded model; :class:`seakeep.conversion.session.ScoringSession` is one."""

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """Scores, float64 ``(n,)``, of ``numbers`` ``(n, numbers)`` and ``categories`` ``(n, categories)``."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeatureValue:
    """One input of the model as it was.

    Attributes
    ----------
    value
        NaN or ``""`` when missing.
    view
        The view it came from; ``""`` if it came with the request.
    age_us
        From the moment the newest event in its view became known to the moment the prediction speaks for; None for
        what came with the request and for a view without events.
    event_us
        The moment the newest event in its view became known; None as ``age_us`` is.
    """

    name: str
    kind: FeatureKind
    value: float | str
    view: str
    age_us: int | None
    event_us: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Something the last bits depend on, when the version was proved and now; ``""`` where it is not known.

    Attributes
    ----------
    name
        ``host``: the class of host; else the interpreter or a library, by version.
    """

    name: str
    proved: str
    now: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reexecution:
    """What came out when a recorded prediction was executed again.

    Attributes
    ----------
    equal
        Whether both scores have the same 64 bits.
    recorded, recomputed
        The scores; of a model of classes, whose every probability is compared, those of the class it answered with.
    recorded_bits, recomputed_bits
        Their IEEE 754 binary64 patterns, as 16 hexadecimal digits.
    features
        The inputs, in the model's order.
    environment
        In which the version was proved, and which executed it again.
    outputs
        What the scores are.
    """

    prediction: Prediction
    equal: bool
    recorded: float
    recomputed: float
    recorded_bits: str
    recomputed_bits: str
    features: tuple[FeatureValue, ...]
    environment: tuple[Component, ...] = ()
    outputs: Outputs = PROBABILITY

    @property
    def other_host(self) -> bool:
        """Whether this host is known to be of another class than the one that proved the version."""
        return any(one.name == HOST and one.proved not in {"", one.now} for one in self.environment)


def environment_of(proof: ParityProof, *, host: str, versions: Mapping[str, str]) -> tuple[Component, ...]:
    """What a version was proved on, beside what there is now: the class of host first.

    Parameters
    ----------
    host, versions
        Of this host: its class, and interpreter and libraries by name.
    """
    libraries = (Component(name=name, proved=then, now=versions.get(name, "")) for name, then in proof.versions.items())
    return Component(name=HOST, proved=proof.host, now=host), *libraries


def reexecute(
    prediction: Prediction,
    definition: ModelDefinition,
    bundle: str,
    session: Scorer,
    *,
    environment: tuple[Component, ...] = (),
) -> Reexecution:
    """Execute a recorded prediction again.

    Bits are promised on one class of host: another processor may round otherwise. What the version's rule answered is
    computed by its rule, from the recorded request.

    Parameters
    ----------
    definition, bundle, session
        Of the version that made it: its resolved definition, its digest and its loaded model.
    environment
        For the answer; see :func:`environment_of`.

    Raises
    ------
    IntegrityError
        This is not the bundle that made the prediction, or the recorded inputs do not fit its definition.
    RecorderError
        The request had failed: there is no score to compare with.
    """
    if prediction.bundle != bundle:
        message = f"prediction {prediction.id} was made by bundle {prediction.bundle[:12]}, not by {bundle[:12]}"
        raise IntegrityError(message, hint=f"load version {prediction.version} of {prediction.model}")
    if prediction.error:
        message = f"prediction {prediction.id} failed with {prediction.error!r}; there is no score to execute again"
        raise RecorderError(message, hint="ask for a prediction that was answered")
    if prediction.role == "rule":
        ruled = np.float64(_ruled(prediction, definition))
        return _compared(prediction, ruled, (), environment, definition.label.outputs)
    features = named_features(prediction, definition)
    numbers = np.array([prediction.numbers], dtype=np.float64)
    categories = np.array([prediction.categories], dtype=object).reshape(1, len(prediction.categories))
    again = session.score(numbers, categories)[0]
    return _compared(prediction, again, features, environment, definition.label.outputs)


def _ruled(prediction: Prediction, definition: ModelDefinition) -> float:
    """The score of the version's rule for the recorded request.

    Raises
    ------
    IntegrityError
        The version has no rule.
    RecorderError
        A column that the rule reads was not kept.
    """
    if definition.rule is None:
        message = f"prediction {prediction.id} is a rule's, but version {prediction.version} has none"
        raise IntegrityError(message, hint="load the version that made it")
    read = set(columns_of(definition.rule)) - {definition.request.time}
    lost = sorted(name for name in read if str(prediction.request.get(name, HASH)).startswith(HASH))
    try:
        table = RequestDecoder(definition).decode(msgspec.json.encode([prediction.request])).table
        table[definition.request.time] = np.array([prediction.time_us]).view("datetime64[us]")
        score = float(np.broadcast_to(np.asarray(compiled(definition.rule)(table), dtype=np.float64), (1,))[0])
    except DataError:
        score = math.nan
    if bits(score) != bits(prediction.score) and (lost or math.isnan(score)):
        what = ", ".join(lost) or "the request"
        message = f"the rule that gave prediction {prediction.id} cannot be executed again: {what} was not kept"
        raise RecorderError(message, hint="the recorder's settings hash or drop it")
    return score


def _compared(
    prediction: Prediction,
    again: NDArray[np.float64] | np.float64,
    features: tuple[FeatureValue, ...],
    environment: tuple[Component, ...],
    outputs: Outputs,
) -> Reexecution:
    if outputs.of_classes:
        place = outputs.names.index(prediction.answer)
        recorded, told = np.array(prediction.scores), np.asarray(again)
        equal, score = recorded.tobytes() == told.tobytes(), float(told[place])
    else:
        score = float(again)
        equal = bits(prediction.score) == bits(score)
    return Reexecution(
        prediction=prediction,
        equal=equal,
        recorded=prediction.score,
        recomputed=score,
        recorded_bits=bits(prediction.score),
        recomputed_bits=bits(score),
        features=features,
        environment=environment,
        outputs=outputs,
    )


def named_features(prediction: Prediction, definition: ModelDefinition) -> tuple[FeatureValue, ...]:
    """The recorded inputs by name, in the model's order, each with its age.

    Raises
    ------
    IntegrityError
        The recorded inputs do not fit the definition.
    """
    counts = {kind: sum(column.kind == kind for column in definition.columns) for kind in ("number", "category")}
    recorded = {"number": len(prediction.numbers), "category": len(prediction.categories)}
    # A client that sent the inputs themselves had none looked up.
    views = [view.name for view in definition.views] if prediction.feature_times_us else []
    if counts != recorded or len(views) != len(prediction.feature_times_us):
        message = f"prediction {prediction.id} has inputs {recorded}, version {prediction.version} takes {counts}"
        raise IntegrityError(message, hint="load the version that made it")
    newest_us = dict(zip(views, prediction.feature_times_us, strict=True))
    remaining: dict[str, Iterator[float | str]] = {
        "number": iter(prediction.numbers),
        "category": iter(prediction.categories),
    }
    return tuple(
        FeatureValue(
            name=column.name,
            kind=column.kind,
            value=next(remaining[column.kind]),
            view=column.view if column.view in newest_us else "",
            age_us=prediction.time_us - newest_us[column.view] if newest_us.get(column.view) else None,
            event_us=newest_us.get(column.view) or None,
        )
        for column in definition.columns
    )


def bits(score: float) -> str:
    """The IEEE 754 binary64 pattern of a number, as 16 hexadecimal digits: equal only if every bit is."""
    return struct.pack(">d", score).hex()
