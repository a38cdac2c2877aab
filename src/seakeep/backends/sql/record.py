"""Records as JSON: how values stand in the state."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from seakeep.errors import DataError, IntegrityError

T = TypeVar("T")


class RecordFormat(Generic[T]):
    """Writes values of one kind and reads them back.

    Parameters
    ----------
    kind
        The type of the values.
    name
        What a value is called in errors.
    """

    def __init__(self, kind: type[T], name: str) -> None:
        self._decoder, self._name = msgspec.json.Decoder(kind), name

    def encode(self, value: T) -> bytes:
        """The value's JSON.

        Raises
        ------
        DataError
            It could not be read back; what is written is never changed, so it must not be written.
        """
        record = msgspec.json.encode(value)
        try:
            self._decoder.decode(record)
        except msgspec.ValidationError as error:
            message = f"the {self._name} cannot be kept: {error}"
            raise DataError(message, hint="NaN and infinity cannot be kept") from error
        return record

    def decode(self, record: bytes) -> T:
        """The value in a record.

        Raises
        ------
        IntegrityError
            The record was changed: it is no such value any more.
        """
        try:
            return self._decoder.decode(record)
        except (ValueError, TypeError) as error:  # malformed, not UTF-8, of another type
            message = f"a record of the state was changed, it is no {self._name}: {error}"
            raise IntegrityError(message, hint="restore state.db from a backup") from error
