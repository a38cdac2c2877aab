import gzip

import pytest

from seakeep.serving.errors import RequestError
from seakeep.serving.exchange import COMPRESSED_BYTES, Exchange, Limits, accepts_gzip, check_head, decompress

LIMITS = Limits(body_bytes=100)
LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Line:
    def __init__(self) -> None:
        self.flushed = 0

    @staticmethod
    def lines() -> bytes:
        return b"\r\ndate: today"

    def flush(self) -> None:
        self.flushed += 1


def exchange(method: bytes = b"POST", **headers: bytes) -> Exchange:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Exchange(Line(), method, b"/", {b"host": b"localhost:80"} | named)


def refusal(one: Exchange, version: str = "1.1", hosts: frozenset[bytes] = LOOPBACK) -> int:
    """The status with which a head is refused; 0 if it is not."""
    try:
        check_head(one, version, LIMITS, hosts)
    except RequestError as error:
        return error.status
    return 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 0), (b"localhost:8080", 0), (b"LocalHost:8080", 0), (b"127.0.0.1:1", 0), (b"[::1]", 0),
        (b"[::1]:8080", 0), (b"evil.example", 421), (b"evil.example:8080", 421), (b"localhost.evil.example", 421),
        (b"evil.example:localhost", 421), (b"8080", 421), (b"::1", 421), (b"", 400),
    ],
)  # fmt: skip
def test_on_loopback_only_its_own_names_are_answered(host, status):
    assert refusal(exchange(b"GET", host=host)) == status
    assert refusal(exchange(b"GET", host=host), hosts=frozenset()) == (400 if not host else 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": b"http://localhost:80"}, 0),
        ({"origin": b"https://localhost:80"}, 0),
        ({"origin": b"http://localhost:81"}, 403),
        ({"origin": b"http://evil.example"}, 403),
        ({"origin": b"null"}, 403),
        ({"content_type": b"application/json; charset=utf-8"}, 0),
        ({"content_type": b"application/octet-stream"}, 0),
        ({"content_type": b"text/plain"}, 415),
        ({"content_type": b"Text/Plain;charset=utf-8"}, 415),
        ({"content_type": b"application/x-www-form-urlencoded"}, 415),
        ({"content_type": b"multipart/form-data; boundary=x"}, 415),
    ],
)
def test_what_a_foreign_page_can_make_a_browser_send_is_refused(headers, status):
    assert refusal(exchange(**headers)) == status
    assert refusal(exchange(b"GET", **headers)) == 0


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        ("1.0", {"host": b""}, 0),
        ("1.1", {"transfer_encoding": b"chunked"}, 0),
        ("1.1", {"transfer_encoding": b"CHUNKED"}, 0),
        ("1.0", {"transfer_encoding": b"chunked"}, 501),
        ("1.1", {"transfer_encoding": b"gzip"}, 501),
        ("1.1", {"transfer_encoding": b""}, 501),
        ("1.1", {"content_length": b"100"}, 0),
        ("1.1", {"content_length": b"101"}, 413),
        ("1.1", {"expect": b"100-CONTINUE"}, 0),
        ("1.1", {"expect": b"200-ok"}, 417),
        ("1.1", {"content_encoding": b"GZIP"}, 0),
        ("1.1", {"content_encoding": b"identity"}, 0),
        ("1.1", {"content_encoding": b"br"}, 415),
        ("0.9", {}, 505),
        ("2.0", {}, 505),
    ],
)
def test_a_head_that_cannot_be_served_is_refused(version, headers, status):
    assert refusal(exchange(**headers), version) == status


@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"get"])
def test_only_three_methods_are_answered(method):
    assert refusal(exchange(method)) == 405


def test_an_answer_is_written_once_and_whole():
    one = exchange()
    one.respond(503, b"later", b"text/plain", b"\r\nretry-after: 1")
    assert one.answer == (
        b"HTTP/1.1 503 Service Unavailable\r\nx-content-type-options: nosniff\r\ncontent-type: text/plain\r\n"
        b"content-length: 5\r\ndate: today\r\nretry-after: 1\r\n\r\nlater"
    )
    assert one._line.flushed == 1
    one.close = True
    one.respond(200, b"")
    assert one.answer.endswith(b"\r\ncontent-length: 0\r\ndate: today\r\nconnection: close\r\n\r\n")


def test_a_body_that_grows_beyond_the_limit_is_not_kept():
    import gzip

    one = exchange(content_encoding=b"gzip")
    assert decompress(one, gzip.compress(bytes(100)), LIMITS) == bytes(100)
    with pytest.raises(RequestError, match="larger than 100 bytes"):
        decompress(one, gzip.compress(bytes(101)), LIMITS)


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        (b"gzip", True), (b"GZIP", True), (b"deflate, gzip;q=0.5", True), (b"gzip; q=1.0", True), (b"*", True),
        (b"br, *;q=0.1", True), (b"", False), (b"identity", False), (b"gzip;q=0", False), (b"gzip;q=0, *", False),
        (b"*;q=0", False), (b"gzip;q=x", False), (b"gzipped", False), (b"deflate, br", False), (b";;,,", False),
    ],
)  # fmt: skip
def test_a_client_says_whether_it_takes_gzip(accepted, wanted):
    assert accepts_gzip(accepted) is wanted


def test_a_large_answer_is_compressed_for_who_takes_it():
    body = b'{"score":0.5}' * COMPRESSED_BYTES
    one, other = exchange(accept_encoding=b"gzip"), exchange()
    one.respond(200, body)
    other.respond(200, body)
    head, _, sent = one.answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-encoding: gzip" in head
    assert b"\r\ncontent-length: %d\r\n" % len(sent) in head
    assert gzip.decompress(sent) == body
    assert other.answer.endswith(body)
    assert b"content-encoding" not in other.answer
    for answer in (one.answer, other.answer):
        assert b"\r\nvary: accept-encoding" in answer


def test_a_small_answer_is_not_worth_it():
    one = exchange(accept_encoding=b"gzip")
    one.respond(200, bytes(COMPRESSED_BYTES - 1))
    assert b"content-encoding" not in one.answer
