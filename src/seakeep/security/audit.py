"""The audit log's chain: every entry carries the digest of the one before it, so that no change goes unseen.

References
----------
Haber and Stornetta (1991), How to time-stamp a digital document, Journal of Cryptology 3, section 5.1 (linking).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from seakeep.errors import IntegrityError
from seakeep.records.release import AuditEntry

GENESIS = "0" * 64
"""What stands for the digest before the first entry."""
RECORD = "record"
"""The detail that holds the SHA-256 of the record an entry tells of."""

_HINT = "keep the file as it is and compare it with a backup"


def follow(
    last: AuditEntry | None, *, time_us: int, actor: str, action: str, subject: str, details: Mapping[str, str]
) -> AuditEntry:
    """The entry that follows ``last`` (None: the first entry)."""
    entry = AuditEntry(
        number=last.number + 1 if last else 1,
        time_us=time_us,
        actor=actor,
        action=action,
        subject=subject,
        details=dict(details),
        previous=last.digest if last else GENESIS,
        digest="",
    )
    return msgspec.structs.replace(entry, digest=digest_of(entry))


def digest_of(entry: AuditEntry) -> str:
    """SHA-256 over the previous digest and the canonical JSON (sorted keys, no spaces) of everything but the digest."""
    fields = msgspec.structs.asdict(entry)
    del fields["digest"]
    canonical = msgspec.json.encode(fields, order="sorted")
    return hashlib.sha256(entry.previous.encode() + canonical).hexdigest()


def verify(entries: Sequence[AuditEntry]) -> int:
    """Check a whole chain, oldest first.

    Returns
    -------
    int
        How many entries it has.

    Raises
    ------
    IntegrityError
        An entry was changed, removed, inserted or moved; the message names the first.
    """
    previous = GENESIS
    for number, entry in enumerate(entries, 1):
        if entry.number != number:
            fault = f"entry {number} of the audit log is missing: {entry.number} stands in its place"
        elif entry.previous != previous:
            fault = f"entry {number} of the audit log does not follow the one before it"
        elif entry.digest != digest_of(entry):
            fault = f"entry {number} of the audit log was changed"
        else:
            previous = entry.digest
            continue
        raise IntegrityError(fault, hint=_HINT)
    return len(entries)


def verify_records(entries: Sequence[AuditEntry], records: Iterable[str]) -> None:
    """Check that a log and the state it stands beside tell the same: a log that was cut at its end is a whole chain too.

    Parameters
    ----------
    records
        SHA-256 of every record of the state.

    Raises
    ------
    IntegrityError
        A record was changed or removed, or the log does not tell of it.
    """
    unheard = Counter(records)
    for entry in entries:
        record = entry.details.get(RECORD, "")
        if not unheard[record]:
            fault = f"entry {entry.number} of the audit log tells of {entry.action} {entry.subject}, which was changed"
            raise IntegrityError(fault, hint=_HINT)
        unheard[record] -= 1
    if count := unheard.total():
        raise IntegrityError(f"the audit log does not tell of {count} records of the state", hint=_HINT)
