"""Versions: immutable, signed bundles of one model, and how people name them."""

from __future__ import annotations

import re
from typing import Literal as OneOf

import msgspec

from seakeep.errors import NotFoundError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Names of models, sources and views: lower-case ASCII, so that no two look alike and none is a path."""
_REFERENCE = re.compile(rf"({NAME.pattern})(?:@(champion|candidate)|:([1-9][0-9]{{0,9}}))?")


Engine = OneOf["onnx", "native"]
"""What executes a version: the inference engine, or the framework that trained it, in a process of its own."""


class ParityProof(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that the served model is the trained model.

    Attributes
    ----------
    cases
        Rows tried, by kind: ``validation``, ``boundaries``, ``categories``, ``missing``, ``unseen``, ``extremes``,
        ``threshold``; beside them ``refused``, rows the estimator refuses, ``boundaries-left-out``, rows at splits beyond
        what is tried, and ``splits-untraced``, splits on columns that mix inputs, for which no row is made.
    max_difference
        Largest absolute difference of scores.
    flips
        Rows whose decision differs at the deployed threshold, by more than the tolerance.
    near_ties
        Rows whose decision differs by no more than the tolerance, so that rounding may take either.
    nan_mismatches, error_mismatches
        Rows where only one side gave NaN; cases where only one side refused.
    batch_mismatches
        Rows whose score has other bits in another batch.
    mutants, mutants_caught
        Models in which one leaf was changed that were held against the trained one, and those that were told from it.
    tolerance
        Largest difference allowed.
    worst
        The row of the largest difference, by feature, as text; empty if every row is equal. With it ``(kind)``,
        ``(trained)`` and ``(served)``, and for a failure ``(matters)``: the features without which the sides agree.
    versions
        Of the interpreter and the libraries that took part, by name.
    digest
        SHA-256 over the inputs and both sides' outputs, and over the model's bytes.
    host
        The class of host that proved it, by which libraries choose their code and so the last bits; ``""`` in proofs
        of earlier releases.
    """

    passed: bool
    cases: dict[str, int]
    max_difference: float
    flips: int
    near_ties: int = 0
    nan_mismatches: int
    error_mismatches: int
    batch_mismatches: int = 0
    mutants: int = 0
    mutants_caught: int = 0
    tolerance: float
    batch_sizes: tuple[int, ...]
    worst: dict[str, str]
    versions: dict[str, str]
    model_sha256: str
    artefact_sha256: str
    digest: str
    host: str = ""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a bundle."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: every file of the bundle and where it came from."""

    model: str
    run: str
    created_us: int
    files: tuple[FileEntry, ...]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model in the registry.

    Attributes
    ----------
    number
        1, 2, 3 … within the model; 0 before the registry gave one.
    bundle
        SHA-256 of the canonical manifest: the identity of the bundle.
    author
        Who put it there.
    engine
        What executes it; versions of earlier releases say nothing and are ONNX.
    """

    model: str
    number: int
    bundle: str
    run: str
    created_us: int
    author: str
    threshold: float
    engine: Engine = "onnx"

    @property
    def ref(self) -> str:
        """How people write it: ``late-arrival:3``."""
        return f"{self.model}:{self.number}"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed reference: ``late`` (champion), ``late@candidate`` (newest not yet champion), ``late:7``."""

    model: str
    role: str = "champion"
    number: int = 0


def parse_reference(text: str) -> Reference:
    """Parse ``model``, ``model@candidate``, ``model@champion`` or ``model:number``.

    Raises
    ------
    NotFoundError
        The text is none of these.
    """
    parts = _REFERENCE.fullmatch(text)
    if parts is None:
        message = f"{text!r} is not a reference to a version"
        raise NotFoundError(message, hint="write 'late' (champion), 'late@candidate' or 'late:7'")
    return Reference(model=parts[1], role=parts[2] or "champion", number=int(parts[3] or 0))
