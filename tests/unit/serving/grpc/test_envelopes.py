import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.errors import RequestError
from seakeep.serving.grpc.envelopes import Envelopes, enveloped

PACKED = {b"identity": bytes, b"gzip": gzip.compress, b"deflate": zlib.compress}


@given(
    st.sampled_from(list(PACKED)),
    st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=6),
    st.integers(1, 9),
)
def test_messages_come_out_whole_however_they_are_cut(encoding, wanted, step):
    sent = b""
    for message, packed in wanted:
        body = PACKED[encoding](message) if packed else message
        sent += bytes([packed and encoding != b"identity"]) + enveloped(body)[1:]
    envelopes, found = Envelopes(encoding, 1000), []
    for at in range(0, len(sent), step):
        envelopes.feed(sent[at : at + step])
        while (message := envelopes.next()) is not None:
            found.append(message)
    assert found == [message for message, _ in wanted]
    assert len(envelopes) == 0


def test_a_message_that_is_too_large_is_refused_by_its_prefix():
    envelopes = Envelopes(b"identity", 10)
    envelopes.feed(enveloped(bytes(11))[:5])
    with pytest.raises(RequestError, match="larger than 10 bytes"):
        envelopes.next()


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_what_is_allowed_counts_after_decompression(encoding):
    for size in (20_000, 20_001, 10_000_000):
        envelopes = Envelopes(encoding, 20_000)
        envelopes.feed(b"\x01" + enveloped(PACKED[encoding](bytes(size)))[1:])
        if size == 20_000:
            assert envelopes.next() == bytes(size)
        else:
            with pytest.raises(RequestError, match="larger than 20000 bytes"):
                envelopes.next()


@pytest.mark.parametrize(("encoding", "flag"), [(b"identity", 1), (b"gzip", 2), (b"gzip", 255)])
def test_a_flag_that_means_nothing_is_refused(encoding, flag):
    envelopes = Envelopes(encoding, 10)
    envelopes.feed(bytes([flag]) + enveloped(b"x")[1:])
    with pytest.raises(RequestError, match="no 'grpc-encoding' tells how"):
        envelopes.next()
