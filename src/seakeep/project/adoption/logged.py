"""Reads a model that MLflow logged: a folder with a file ``MLmodel`` (https://mlflow.org/docs/latest/ml/model/#storage-format)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from seakeep.conversion.formats.registry import format_of
from seakeep.conversion.modelfile import MOST_BYTES, read_bounded
from seakeep.conversion.reading import Reading
from seakeep.data.table import Table, as_table
from seakeep.errors import AdoptionError
from seakeep.project.adoption.given import Given
from seakeep.project.adoption.writefile import plain
from seakeep.records.feature import FeatureKind

_PLAIN = Reading()
MLMODEL = "MLmodel"
_URIS = ("runs:/", "models:/")
_MOST_TEXT = 64 * 1024**2
_FILES = {
    "sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "catboost": "data", "onnx": "data",
    "pytorch": "model_data",
}  # fmt: skip
"""The flavours that are read, and what each calls its file."""
_KINDS: dict[str, FeatureKind] = {
    **dict.fromkeys(("double", "float", "integer", "long", "boolean"), "number"), "string": "category",
}  # fmt: skip
_OWN_TAG = "mlflow."


class _Example(msgspec.Struct):
    artifact_path: str = ""


class _Signature(msgspec.Struct):
    inputs: str | None = None


class _MLmodel(msgspec.Struct):
    flavors: dict[str, dict[str, Any]]
    run_id: str | None = None
    signature: _Signature | None = None
    saved_input_example_info: _Example | None = None


class _Split(msgspec.Struct):
    columns: list[str]
    data: list[list[str | float | bool | None]]


class _Column(msgspec.Struct):
    type: str
    name: str = ""


def is_logged(source: str) -> bool:
    """Whether this is MLflow's: a URI of a run or a registered model, or a folder with an ``MLmodel``."""
    return source.startswith(_URIS) or (Path(source) / MLMODEL).is_file()


def read_logged(
    source: str, into: Path, *, data: Path | None = None, label: str = "", reading: Reading = _PLAIN
) -> Given:
    """The model file of what was logged, with the sample, the columns' types and what the run tells.

    Nothing of it is run or unpickled.

    Parameters
    ----------
    source
        ``runs:/ID/model``, ``models:/NAME/3``, which the package ``mlflow`` resolves by its own settings, or a folder.
    into
        An empty folder for what is fetched.
    reading
        As for :func:`~seakeep.project.adoption.modelfile.adopt_file`.
    data
        The sample; by default the example that was logged with the model.

    Raises
    ------
    AdoptionError
        It cannot be had or holds no file that is taken; or the model is a pickle, and that was not said to be trusted.
    ConversionError
        The file is in no format that is taken.
    """
    fetched = source.startswith(_URIS)
    folder = _fetched(source, into) if fetched else Path(source)
    about = _about(folder)
    flavour = next((one for one in _FILES if one in about.flavors), "")
    if not flavour:
        raise AdoptionError(
            f"{source} was logged as {', '.join(about.flavors) or 'nothing'}, which is code and no model file",
            hint=f"log the model itself: mlflow.sklearn.log_model, or that of {', '.join(list(_FILES)[1:])}",
        )
    path = _model_path(folder, about.flavors[flavour].get(_FILES[flavour]), source)
    form = format_of(read_bounded(path, MOST_BYTES), path.name)
    if form.runs_code and not reading.trust_pickle:
        raise AdoptionError(
            f"{source}, file {path.relative_to(folder)}: it is {form.told}, which runs whatever code is in it when it is read",
            hint=f"log it again with mlflow.{flavour}.log_model(..., serialization_format='skops'); if you know who made it: --trust-pickle",
        )
    return Given(
        path=path,
        data=as_table(data) if data else _example(folder, about, source),
        label=label,
        columns=_columns(about, source),
        source=plain(source if fetched else folder.resolve().name),
        notes=_notes(source, flavour, about, run=fetched),
    )


def _fetched(source: str, into: Path) -> Path:
    try:
        from mlflow.artifacts import download_artifacts
    except ImportError as error:
        raise AdoptionError(
            f"{source} is resolved by MLflow, which is not installed",
            hint="install seakeep[mlflow], or give the model's folder",
        ) from error
    try:
        return Path(download_artifacts(artifact_uri=source, dst_path=str(into)))
    except Exception as error:  # stores raise what they like
        raise AdoptionError(
            f"MLflow does not give {source}", hint="check the name, and MLFLOW_TRACKING_URI in the environment"
        ) from error


def _about(folder: Path) -> _MLmodel:
    content = read_bounded(folder / MLMODEL, _MOST_TEXT)
    try:
        return msgspec.yaml.decode(content, type=_MLmodel)
    except ImportError as error:
        raise AdoptionError(f"{MLMODEL} is YAML, and PyYAML is not installed", hint="install pyyaml") from error
    except msgspec.DecodeError as error:
        raise AdoptionError(f"{folder / MLMODEL} cannot be read: {error}", hint="log the model again") from error


def _model_path(folder: Path, name: Any, source: str) -> Path:
    path = folder / str(name)
    if path.is_dir():  # PyTorch's
        path = next((one for one in sorted(path.glob("model.*"))), path)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise AdoptionError(f"{source} holds no model file {name!r}", hint="log the model again")
    return path


def _example(folder: Path, about: _MLmodel, source: str) -> Table:
    """The input example, if it is a table."""
    info = about.saved_input_example_info
    hint = "give a sample of rows: --data sample.parquet; or log the model with input_example=, a data frame"
    if info is None or not info.artifact_path:
        raise AdoptionError(f"{source} was logged without an example of its input", hint=hint)
    path = folder / info.artifact_path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise AdoptionError(f"{source} names an example outside itself", hint=hint)
    try:
        found = msgspec.json.decode(read_bounded(path, _MOST_TEXT), type=_Split)
    except msgspec.DecodeError as error:
        raise AdoptionError(f"{source}, file {info.artifact_path}: it is no table with columns", hint=hint) from error
    columns = zip(*found.data, strict=True) if found.data else ([] for _ in found.columns)
    return as_table({name: list(values) for name, values in zip(found.columns, columns, strict=True)})


def _columns(about: _MLmodel, source: str) -> dict[str, FeatureKind]:
    """The signature's columns; none where it is of an array."""
    told = about.signature.inputs if about.signature else None
    try:
        columns = msgspec.json.decode(told, type=list[_Column]) if told else []
    except msgspec.DecodeError as error:
        raise AdoptionError(
            f"{source}: the signature in {MLMODEL} cannot be read: {error}", hint="log it again"
        ) from error
    named = [one for one in columns if one.name and one.type != "tensor"]
    odd = [f"{one.name} ({one.type})" for one in named if one.type not in _KINDS]
    if odd:
        raise AdoptionError(
            f"{source}: by its signature the model takes {', '.join(odd)}",
            hint="a model is asked with numbers and texts",
        )
    return {one.name: _KINDS[one.type] for one in named}


def _notes(source: str, flavour: str, about: _MLmodel, *, run: bool) -> str:
    """What is known of the model and its run, as the project's README."""
    known = {
        "flavour": flavour,
        **{key: one for key, one in about.flavors[flavour].items() if key.endswith("_version")},
    }
    if about.run_id:
        known["run"] = about.run_id
    if run and about.run_id:
        known |= _of_run(about.run_id)
    rows = "".join(f"| {plain(key)} | `{plain(str(one))}` |\n" for key, one in known.items())
    return f"# A model that MLflow logged\n\nAdopted from `{plain(source)}`.\n\n| what | is |\n|---|---|\n{rows}"


def _of_run(run_id: str) -> dict[str, Any]:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        data = MlflowClient().get_run(run_id).data
    except MlflowException as error:  # a model outlives its run
        return {"run's data": f"none: {error}"}
    tags = {name: one for name, one in data.tags.items() if not name.startswith(_OWN_TAG)}
    groups = {"parameter": data.params, "metric": data.metrics, "tag": tags}
    return {f"{kind} {name}": one for kind, group in groups.items() for name, one in sorted(group.items())}
