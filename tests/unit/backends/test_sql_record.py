import math

import pytest
from tests.registering import PASSED, receipt

from seakeep.backends.sql.record import RecordFormat
from seakeep.errors import DataError, IntegrityError
from seakeep.records.gate import GateResult
from seakeep.records.release import Receipt

RECEIPT = RecordFormat(Receipt, "receipt")


def test_a_value_is_read_as_it_was_written():
    assert RECEIPT.decode(RECEIPT.encode(receipt(reason="«yavaş»"))) == receipt(reason="«yavaş»")
    results = RecordFormat(tuple[GateResult, ...], "evaluation")
    assert results.decode(results.encode(PASSED)) == PASSED


@pytest.mark.parametrize("changes", [{"detect_s": math.nan}, {"switch_s": math.inf}, {"outcome": "unknown"}])
def test_what_could_not_be_read_back_is_not_written(changes):
    with pytest.raises(DataError, match="the receipt cannot be kept"):
        RECEIPT.encode(receipt(**changes))


@pytest.mark.parametrize("record", [b"", b"{", b"null", b"[]", b"{}", b"\xff", 5, None, 0.5, "text"])
def test_what_is_no_such_value_was_changed(record):
    with pytest.raises(IntegrityError, match="it is no receipt") as raised:
        RECEIPT.decode(record)
    assert raised.value.hint == "restore state.db from a backup"
