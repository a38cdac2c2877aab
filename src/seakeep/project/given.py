"""Models that were trained elsewhere and come as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seakeep.conversion.reading import Reading
from seakeep.records.version import ParityProof, Version

if TYPE_CHECKING:
    from seakeep.project.build import Builder

_PLAIN = Reading()


class ModelFiles:
    """Takes model files into a project."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def register(
        self,
        path: Path | str,
        model: str = "",
        *,
        as_of_us: int | None = None,
        validate_from_us: int | None = None,
        reading: Reading = _PLAIN,
        actor: str = "",
    ) -> tuple[Version, ParityProof]:
        """Judge a model file on the project's own rows, prove what it was converted to, and register the version.

        Parameters
        ----------
        path
            A skops archive, an XGBoost model in JSON or UBJSON, a LightGBM model in text, a CatBoost model, a network as
            ``.pt2``, ``.keras`` or safetensors, an ONNX model of the served form, or a pickle. Its content decides which.
        model
            Which declared model it is: its inputs, in order, are those that the file must take.
        as_of_us, validate_from_us
            As in training: which rows judge it, and beside what baselines.
        reading
            What is said of the file beside its bytes: what its owner allows, and what a network gives.

        Raises
        ------
        ConversionError
            The file cannot be taken; the message says why.
        ParityError
            The converted model does not answer as the file's.
        """
        return self._builder.register(
            Path(path),
            model,
            as_of_us=as_of_us,
            validate_from_us=validate_from_us,
            reading=reading,
            actor=actor,
        )
