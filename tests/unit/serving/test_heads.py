"""Which heads are kept, and when a request is recognised by one."""

import pytest

from seakeep.serving.exchange import Exchange
from seakeep.serving.heads import KEPT, Heads

HEAD = b"POST /a HTTP/1.1\r\nhost: b\r\ncontent-length: 4\r\n\r\n"
HEADERS = {b"host": b"b", b"content-length": b"4"}


def exchange(**headers):
    return Exchange(None, b"POST", b"/a", HEADERS | {name.replace("_", "-").encode(): b"x" for name in headers})


def kept(data, body, made=None):
    heads = Heads()
    heads.keep(data, made or exchange(), body)
    return heads


def test_the_same_head_is_recognised_whatever_the_body():
    head, body = kept(HEAD + b"body", b"body").find(HEAD + b"else")
    assert (head.method, head.path, head.headers, body) == (b"POST", b"/a", HEADERS, b"else")


@pytest.mark.parametrize(
    "data",
    [b"", b"P", HEAD[:-1], HEAD, HEAD + b"bod", HEAD + b"body!", HEAD.replace(b"/a", b"/c") + b"body", b"\r\n" + HEAD + b"body"],
    ids=["nothing", "a byte", "no end", "no body", "less", "more", "another", "after an empty line"],
)  # fmt: skip
def test_anything_else_is_parsed(data):
    assert kept(HEAD + b"body", b"body").find(data) is None


@pytest.mark.parametrize(
    ("data", "body", "made"),
    [
        (b"\r\n" + HEAD + b"body", b"body", None),
        (HEAD + b"body" + HEAD, b"body", None),
        (HEAD.replace(b"\r\n", b"\n") + b"body", b"body", None),
        (HEAD + b"4\r\nbody\r\n0\r\n\r\n", b"body", exchange(transfer_encoding=True)),
        (HEAD + b"body", b"body", exchange(transfer_encoding=True)),
        (HEAD + b"body", b"body", exchange(expect=True)),
        (HEAD + b"body", b"body", exchange(upgrade=True)),
        (HEAD + b"bod", b"bod", None),
    ],
    ids=["an empty line first", "two", "bare line feeds", "chunks", "chunked", "expects", "upgrades", "length"],
)
def test_what_is_not_one_whole_request_in_the_common_form_is_not_kept(data, body, made):
    heads = kept(data, body, made)
    assert not heads._kept


def test_nor_is_the_last_one_of_a_connection():
    last = exchange()
    last.close = True
    assert not kept(HEAD + b"body", b"body", last)._kept


def test_no_more_than_so_many_are_kept():
    heads = Heads()
    for number in range(3 * KEPT):
        heads.keep(b"POST /%d HTTP/1.1\r\nhost: b\r\ncontent-length: 4\r\n\r\nbody" % number, exchange(), b"body")
        assert len(heads._kept) <= KEPT
    assert heads.find(b"POST /%d HTTP/1.1\r\nhost: b\r\ncontent-length: 4\r\n\r\nbody" % (3 * KEPT - 1))
