"""Bundles: everything a version is made of, in one signed folder.

============================  =====================================================================
``model.onnx``                the converted model; ``model.native`` in its place, if the version is served natively
``definition.json``           what it needs of the world: sources, views, label, inputs in order
``run.json``                  where it came from: data, code, environment, metrics, threshold
``parity.json``               the proof that it answers as the trained estimator does
``environment.txt``           the packages it was trained with, as pip reads them
============================  =====================================================================
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Protocol

import msgspec

from seakeep.conversion.packed import engine_of
from seakeep.errors import IntegrityError
from seakeep.records.model import ModelDefinition
from seakeep.records.run import Environment, Run
from seakeep.records.version import ParityProof

MODEL, NATIVE, DEFINITION, RUN, PARITY, ENVIRONMENT = (
    "model.onnx",
    "model.native",
    "definition.json",
    "run.json",
    "parity.json",
    "environment.txt",
)


class Folders(Protocol):
    """Where bundles are sealed; :class:`seakeep.backends.files.sealed.SealedFolders` is one."""

    def put(self, files: Mapping[str, bytes], *, model: str, run: str, created_us: int) -> str:
        """Seal files; the digest of their signed manifest."""
        ...

    def read(self, digest: str) -> dict[str, bytes]:
        """All files, verified; NotFoundError or IntegrityError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The verified content of a version.

    Attributes
    ----------
    digest
        SHA-256 of the signed manifest.
    model
        The converted model, ONNX; or the packed estimator (:mod:`seakeep.conversion.packed`).
    definition
        The resolved definition.
    """

    digest: str
    model: bytes
    definition: ModelDefinition
    run: Run
    proof: ParityProof

    @property
    def threshold(self) -> float:
        """Score from which the decision is "yes"."""
        return self.run.threshold


class Bundles:
    """Puts bundles into sealed folders and opens them."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def put(self, run: Run, model: bytes, proof: ParityProof, *, created_us: int) -> str:
        """Seal a version's files; the bundle's digest.

        Raises
        ------
        IntegrityError
            The proof failed, or is not of this model.
        """
        files = bundle_files(run, model, proof)
        parse_bundle("new", files)
        return self._folders.put(files, model=run.model, run=run.id, created_us=created_us)

    def open(self, digest: str) -> Bundle:
        """Read and verify a bundle.

        Raises
        ------
        NotFoundError
            There is no such bundle.
        IntegrityError
            A byte of it was changed, or its parts are not of one version.
        """
        return parse_bundle(digest, self._folders.read(digest))


def bundle_files(run: Run, model: bytes, proof: ParityProof) -> dict[str, bytes]:
    """The files of a bundle, by name."""
    return {
        NATIVE if engine_of(model) == "native" else MODEL: model,
        DEFINITION: _readable(run.definition),
        RUN: _readable(run),
        PARITY: _readable(proof),
        ENVIRONMENT: _requirements(run.environment).encode(),
    }


def parse_bundle(digest: str, files: Mapping[str, bytes]) -> Bundle:
    """The bundle in some verified files.

    Raises
    ------
    IntegrityError
        Its parts are not of one version, or nothing proves that it answers as the trained estimator.
    """
    try:
        bundle = Bundle(
            digest=digest,
            model=files[NATIVE if NATIVE in files else MODEL],
            definition=msgspec.json.decode(files[DEFINITION], type=ModelDefinition),
            run=msgspec.json.decode(files[RUN], type=Run),
            proof=msgspec.json.decode(files[PARITY], type=ParityProof),
        )
    except (KeyError, ValueError) as error:  # missing, malformed, or not UTF-8
        message = f"bundle {digest[:12]} cannot be read: {error}"
        raise IntegrityError(
            message, hint="it was made by another version of seakeep: convert the run again"
        ) from error
    if msgspec.json.encode(bundle.definition) != msgspec.json.encode(bundle.run.definition):
        fault = "its definition is not the one of its run"
    elif not bundle.proof.passed:
        fault = "its parity proof failed"
    elif bundle.proof.model_sha256 != hashlib.sha256(bundle.model).hexdigest():
        fault = "its parity proof is of another model"
    elif bundle.proof.artefact_sha256 != bundle.run.artefact:
        fault = "its parity proof is of another estimator"
    else:
        return bundle
    raise IntegrityError(f"bundle {digest[:12]} is not to be trusted: {fault}", hint="convert the run again")


def _readable(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def _requirements(environment: Environment) -> str:
    lines = [f"# Python {environment.python} on {environment.platform}"]
    lines += [f"{name}=={version}" for name, version in sorted(environment.packages.items())]
    return "\n".join(lines) + "\n"
