"""Opens everything a project keeps in its home folder."""

from __future__ import annotations

import dataclasses

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.backends.files.keys import (
    load_or_create_pepper,
    load_or_create_protector,
    load_or_create_signer,
    load_verifier,
)
from seakeep.backends.files.sealed import SealedFolders
from seakeep.backends.sql import (
    Database,
    SqlAudit,
    SqlErasures,
    SqlGates,
    SqlKeys,
    SqlPages,
    SqlReceipts,
    SqlReleases,
    SqlRuns,
    SqlVersions,
)
from seakeep.clock import Clock
from seakeep.config import Home
from seakeep.registry.bundle import Bundles
from seakeep.registry.promotion import Promotion
from seakeep.security.keys import ApiKeys
from seakeep.security.privacy import Protector


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What a project keeps.

    Attributes
    ----------
    artefacts
        Signed folders with what trainings gave: estimator and validation rows.
    bundles
        The signed versions.
    promotion
        The only one who changes releases.
    protector
        Replaces personal values, and reads the tokens among what replaced them.
    """

    datasets: FileDatasetStore
    runs: SqlRuns
    versions: SqlVersions
    releases: SqlReleases
    gates: SqlGates
    receipts: SqlReceipts
    pages: SqlPages
    audit: SqlAudit
    erasures: SqlErasures
    keys: ApiKeys
    artefacts: SealedFolders
    bundles: Bundles
    promotion: Promotion
    protector: Protector


def open_stores(home: Home, clock: Clock) -> Stores:
    """Open, and on first use make, the stores of a home folder.

    Raises
    ------
    PlatformError
        The state cannot be opened: it is damaged, newer than this program, or the disk is full.
    """
    database = Database(home.database, clock=clock)
    signer = load_or_create_signer(home.keys)
    verifier = load_verifier(home.keys)
    versions, releases, gates = SqlVersions(database), SqlReleases(database), SqlGates(database)
    return Stores(
        datasets=FileDatasetStore(home.data),
        runs=SqlRuns(database),
        versions=versions,
        releases=releases,
        gates=gates,
        receipts=SqlReceipts(database),
        pages=SqlPages(database),
        audit=SqlAudit(database),
        erasures=SqlErasures(database),
        keys=ApiKeys(SqlKeys(database), load_or_create_pepper(home.keys), clock=clock),
        artefacts=SealedFolders(home.artefacts, signer=signer, verifier=verifier),
        bundles=Bundles(SealedFolders(home.bundles, signer=signer, verifier=verifier)),
        promotion=Promotion(releases, clock=clock),
        protector=load_or_create_protector(home.keys),
    )
