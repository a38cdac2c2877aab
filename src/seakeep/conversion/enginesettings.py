"""How the inference engine is to execute a model; the model's metadata say so themselves."""

from __future__ import annotations

from typing import Annotated
from typing import Literal as OneOf

import msgspec

from seakeep.records.optimise import Recipe
from seakeep.records.run import Run

SETTINGS = "seakeep.engine"
"""The entry of a model's metadata that tells how the engine is to execute it; models that say nothing get the defaults."""

Level = OneOf["basic", "extended", "all"]
Kind = OneOf["cpu", "cuda", "tensorrt"]
"""What computes a model."""
_Rows = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the engine executes a model.

    Attributes
    ----------
    threads
        Of one call. One is fastest for small tabular models and gives the same bits for a row in any batch.
    level
        How far the engine rewrites the graph when it loads it.
    accelerator
        What computes it. A machine that has no such thing does not load the model: never is another one taken in silence.
    half
        Whether TensorRT may compute in half precision where it finds that faster.
    usual_rows, most_rows
        Rows of a batch that TensorRT makes its engine fast for, and that it makes it for at all; a larger batch is parted.
    """

    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    level: Level = "all"
    accelerator: Kind = "cpu"
    half: bool = False
    usual_rows: _Rows = 64
    most_rows: _Rows = 1024


def settings_of(recipe: Recipe) -> EngineSettings:
    """How the engine is to execute what a recipe makes."""
    return msgspec.convert(recipe.settings if recipe.by == "engine" else {}, EngineSettings)


def settings_of_run(run: Run) -> EngineSettings:
    """The same of a run's model: what was trained is executed as usual."""
    return EngineSettings() if run.origin is msgspec.UNSET else settings_of(run.origin.recipe)


def executed(model: bytes, settings: EngineSettings) -> bytes:
    """The model, with settings in its metadata; the same bytes where they are the defaults."""
    from onnx import helper, load_from_string

    if settings == EngineSettings():
        return model
    told = load_from_string(model)
    about = {entry.key: entry.value for entry in told.metadata_props}
    helper.set_model_props(told, about | {SETTINGS: msgspec.json.encode(settings).decode()})
    serialised: bytes = told.SerializeToString(deterministic=True)
    return serialised
