"""Scores rows with a converted model. The only door to the inference engine: serving, proofs, gates and re-execution
use it alike, so that equal inputs give equal bits everywhere on one class of host.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import onnxruntime

from seakeep.conversion.enginesettings import SETTINGS, EngineSettings
from seakeep.conversion.terms import Analyses, Terms
from seakeep.errors import IntegrityError
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

ENGINE = f"onnxruntime {onnxruntime.__version__}"
NUMBERS = "numbers"
CATEGORIES = "categories"
SCORE = "score"
TERMS = "terms"
OUTPUTS = "seakeep.outputs"
"""The entry of a model's metadata that tells what its answers are."""
TEXTS = "seakeep.texts"
"""The entry that tells how its texts become terms, if it has any: :class:`~seakeep.conversion.terms.Analyses`."""


class ScoringSession:
    """A loaded model.

    Parameters
    ----------
    model
        The ONNX model's bytes (bytes, not a path: a model loaded from bytes cannot pull in other files). Its inputs
        are ``numbers``, float64 ``(n, numbers)``, and ``categories``, string ``(n, categories)``; an input without
        columns is left out. A model of texts has a third one, ``terms``, which is made here of the categories that
        hold them. Its output is ``score``, float64 ``(n,)`` or ``(n, k)``: what :attr:`outputs` tells.
    engines
        Folder in which TensorRT keeps the engines that it builds; None: it keeps none.

    Attributes
    ----------
    outputs
        What the answers are.
    device
        What computes beside the processor, in words; ``""``: nothing.

    Raises
    ------
    IntegrityError
        The bytes are not a model of this form.
    PlatformError
        It is to be computed by what is not usable here.
    """

    apart = False
    """It does not wait for another process, so there is none to tell of, or to interrupt."""
    state = None

    def __init__(self, model: bytes, engines: Path | None = None) -> None:
        self._session, self.device, self._most = _opened(model, EngineSettings(), ["CPUExecutionProvider"]), "", 0
        about = self._session.get_modelmeta().custom_metadata_map
        settings = _told(about.get(SETTINGS, "{}"), EngineSettings)
        if settings.accelerator != "cpu":
            self._session, self.device = _accelerated(model, settings, self._session.get_inputs(), engines)
            self._most = settings.most_rows if settings.accelerator == "tensorrt" else 0
        elif settings != EngineSettings():
            self._session = _opened(model, settings, ["CPUExecutionProvider"])
        self._inputs = {value.name for value in self._session.get_inputs()}
        outputs = [value.name for value in self._session.get_outputs()]
        if outputs != [SCORE] or not self._inputs <= {NUMBERS, CATEGORIES, TERMS}:
            message = f"the model has inputs {sorted(self._inputs)} and outputs {outputs}"
            raise IntegrityError(message, hint="convert the run again")
        self.outputs = _told(about.get(OUTPUTS, "{}"), Outputs)
        self._terms = Terms(_told(about.get(TEXTS, ""), Analyses)) if TERMS in self._inputs else None

    @staticmethod
    def interrupt() -> bool:
        """What the engine is busy with cannot be interrupted."""
        return False

    @staticmethod
    def close() -> None:
        """Nothing of it goes on where it is let go."""

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """Scores, float64 ``(n,)``, of ``numbers`` ``(n, numbers)`` and ``categories`` ``(n, categories)``.

        A model of several answers a row gives ``(n, k)``.

        NaN is the score of a row that the trained estimator refuses with an error, such as an infinite number or a
        category its encoder does not allow.
        """
        if len(numbers) == 0:
            return np.empty(0 if self.outputs.single else (0, len(self.outputs.names)))
        if self._most and len(numbers) > self._most:
            parts = [slice(start, start + self._most) for start in range(0, len(numbers), self._most)]
            return np.concatenate([self.score(numbers[part], categories[part]) for part in parts])
        if self._terms is None:
            return self._run(numbers, categories)
        split = self._terms.parts(categories)
        return np.concatenate([self._run(numbers[part], categories[part], terms) for part, terms in split])

    def _run(
        self, numbers: NDArray[np.float64], categories: NDArray[np.object_], terms: NDArray[np.object_] | None = None
    ) -> NDArray[np.float64]:
        feeds: dict[str, Any] = {}
        if NUMBERS in self._inputs:
            feeds[NUMBERS] = numbers
        if CATEGORIES in self._inputs:
            feeds[CATEGORIES] = categories
        if terms is not None:
            feeds[TERMS] = terms
        scores: NDArray[np.float64] = self._session.run([SCORE], feeds)[0]
        return scores


def _accelerated(
    model: bytes, settings: EngineSettings, inputs: Sequence[Any], engines: Path | None
) -> tuple[Any, str]:
    """A session on the accelerator, and what it is in words."""
    from seakeep.conversion.providers import device, engine_folder, require_used, session_providers

    columns = {one.name: one.shape[1] for one in inputs if one.type != "tensor(string)"}
    with engine_folder(settings, engines, model) as folder:
        session = _opened(model, settings, session_providers(settings, folder, inputs=columns))
    require_used(settings, session.get_providers())
    return session, device(settings)


def _opened(model: bytes, settings: EngineSettings, providers: Sequence[Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{settings.level.upper()}"
    )
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # the engine raises its own unrelated types
        message = f"the model cannot be loaded: {error}"
        raise IntegrityError(message, hint="convert the run again") from error


def _told(about: str, kind: type[T]) -> T:
    """What a model tells of itself."""
    try:
        return msgspec.json.decode(about, type=kind)
    except msgspec.DecodeError as error:
        message = f"the model tells of itself what is not known: {about[:200]!r}"
        raise IntegrityError(message, hint="convert the run again") from error
