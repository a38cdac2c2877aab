"""Makes candidates in the cage: ``python -m seakeep.conversion.optimise.workshop FOLDER``.

Beside the converter the one process that unpickles an estimator, under the same bars. It writes each candidate's
estimator and model, and nothing is believed of them: the parent scores and times the models itself, and the converter
proves the chosen one against its own estimator.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seakeep.conversion.child import enter_cage, limit, load
from seakeep.conversion.packed import CodeFile, OwnCode
from seakeep.errors import SeakeepError
from seakeep.records.optimise import Recipe
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.training.lifeline import hold_to_lifeline

if TYPE_CHECKING:
    from seakeep.conversion.optimise.maker import Material
    from seakeep.features.frame import Frame

REQUEST, SOURCE, LEARN, CALIBRATE, MADE, ERROR = (
    "request.json",
    "source.pkl",
    "learn.npz",
    "calibrate.npz",
    "made.json",
    "error.json",
)
BUDGET_S = 60.0
"""Seconds after which no further candidate is begun."""
_GRACE_S = 120


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to make: these recipes, or what the makers propose if there are none.

    Attributes
    ----------
    code
        The project's own modules that the source may be built from, by name.
    """

    artefact_sha256: str
    outputs: Outputs = PROBABILITY
    recipes: tuple[Recipe, ...] = ()
    seed: int = 0
    budget_s: float = BUDGET_S
    code: dict[str, CodeFile] = {}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recipe; ``fault`` says why nothing did."""

    recipe: Recipe
    fault: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A candidate: its estimator and its model as bytes, both empty if there is a ``fault``."""

    recipe: Recipe
    artefact: bytes = b""
    model: bytes = b""
    fault: str = ""


def make_all(request: Request, source: bytes, learn: Frame, calibrate: Frame) -> list[Made]:
    """Make candidates of a source in a process of their own.

    Parameters
    ----------
    source
        The estimator's bytes.
    learn, calibrate
        Labelled training rows, and rows to choose by, both of the model's columns.

    Raises
    ------
    ConversionError
        The source is not the recorded one or cannot be loaded, or the process failed.
    """
    from seakeep.conversion.convert import run_caged
    from seakeep.training.frames import write_frame

    with tempfile.TemporaryDirectory(prefix="seakeep-optimise-") as name:
        folder = Path(name)
        (folder / SOURCE).write_bytes(source)
        write_frame(folder / LEARN, learn)
        write_frame(folder / CALIBRATE, calibrate)
        (folder / REQUEST).write_bytes(msgspec.json.encode(request))
        run_caged(folder, "seakeep.conversion.optimise.workshop", timeout_s=int(request.budget_s) + _GRACE_S, threads=1)
        told = msgspec.json.decode((folder / MADE).read_bytes(), type=list[Told])
        return [
            Made(recipe=one.recipe, fault=one.fault)
            if one.fault
            else Made(
                recipe=one.recipe,
                artefact=(folder / f"{place}.pkl").read_bytes(),
                model=(folder / f"{place}.onnx").read_bytes(),
            )
            for place, one in enumerate(told)
        ]


def run(folder: Path) -> None:
    """Make what the folder asks for.

    Raises
    ------
    ConversionError
        The source is not the recorded one or cannot be loaded.
    """
    from seakeep.conversion.optimise.maker import Material, makers
    from seakeep.training.frames import read_frame

    until_s = time.monotonic()
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Request)
    until_s += request.budget_s
    limit(resource.RLIMIT_CPU, 2 * (int(request.budget_s) + _GRACE_S))
    if request.code:
        OwnCode(request.code).install()
    material = Material(
        source=load(folder / SOURCE, request.artefact_sha256),
        outputs=request.outputs,
        learn=read_frame(folder / LEARN),
        calibrate=read_frame(folder / CALIBRATE),
        seed=request.seed,
    )
    wanted = request.recipes or [recipe for one in makers().values() for recipe in one.proposals(material)]
    told = [
        Told(recipe=recipe, fault=_made(folder, place, recipe, material))
        if time.monotonic() < until_s
        else Told(recipe=recipe, fault="not made: no time was left")
        for place, recipe in enumerate(wanted)
    ]
    (folder / MADE).write_bytes(msgspec.json.encode(told))


def _made(folder: Path, place: int, recipe: Recipe, material: Material) -> str:
    """Write one candidate's files; why there are none, or ``""``."""
    from seakeep.conversion.emit.model import emit
    from seakeep.conversion.enginesettings import executed, settings_of
    from seakeep.conversion.optimise.maker import make
    from seakeep.conversion.outputs import require_served
    from seakeep.training.artefact import to_bytes

    try:
        estimator = make(recipe, material)
        emission = emit(estimator, material.learn.columns, material.outputs)
        require_served(emission.outputs, type(estimator).__name__, material.outputs)
        model = executed(emission.model, settings_of(recipe))
        artefact = to_bytes(estimator)
    except SeakeepError as fault:
        return f"not made: {fault.message}"
    except Exception as error:  # noqa: BLE001 -- the border to the frameworks: they raise what they like
        return f"not made: {type(error).__name__}: {error}"
    (folder / f"{place}.onnx").write_bytes(model)
    (folder / f"{place}.pkl").write_bytes(artefact)
    return ""


def main(folder: Path) -> int:
    """Run in the cage; returns the exit status. A fault becomes ``error.json``."""
    enter_cage()
    hold_to_lifeline()
    from seakeep.conversion.exchange import Failure

    try:
        run(folder)
    except SeakeepError as fault:
        (folder / ERROR).write_bytes(msgspec.json.encode(Failure(message=fault.message, hint=fault.hint)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
