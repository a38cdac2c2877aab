"""What an erasure did, and the proof that nothing is left."""

from __future__ import annotations

import msgspec


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out of the records and the online features for a subject.

    Attributes
    ----------
    subject
        Keyed hash of the subject's key: with the key, and the project's pepper, it can be told whom it was about.
    predictions, events, features
        How many predictions, events and states of online features were taken out or changed.
    files
        Files of records that were written anew.
    searched_files, searched_bytes
        What was searched, byte by byte and record by record, afterwards.
    left
        In how many places the subject was found then: 0 is the proof.
    unreadable
        Damaged files, which cannot be vouched for.
    datasets
        Dataset versions that hold the subject: training data, which an erasure of records does not change.
    """

    subject: str
    time_us: int
    predictions: int
    events: int
    features: int
    files: int
    searched_files: int
    searched_bytes: int
    left: int
    unreadable: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing of the subject is left in records and features."""
        return self.left == 0 and not self.unreadable
