from __future__ import annotations

import pytest
from tests.unit.dashboard.conftest import ask

from seakeep.dashboard.app import create_app
from seakeep.dashboard.border import SECURITY_HEADERS


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8081", "localhost:1", "LOCALHOST", "[::1]", "[::1]:8081"])
def test_this_machines_own_names_are_answered(app, host):
    assert ask(app, "/", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8081",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1:80@evil",
        "::1",
        "",
        "[::1",
        "0.0.0.0",
    ],
)
def test_a_rebound_name_is_refused_everywhere(app, host):
    for address in ("/", "/now.json", "/static/dashboard.css", "/models/late-arrival"):
        answer = ask(app, address, host=host)
        assert answer.status == 421, host
        assert b"late-arrival" not in answer.body


def test_other_names_can_be_allowed(source):
    app = create_app(source, name="x", hosts=("seakeep.example",))
    assert ask(app, "/", host="seakeep.example").status == 200
    assert ask(app, "/", host="127.0.0.1").status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"])
def test_nothing_can_be_changed(app, method):
    for address in ("/", "/models/late-arrival", "/static/dashboard.css", "/nowhere"):
        answer = ask(app, address, method=method)
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_answered_without_a_body(app):
    answer = ask(app, "/", method="HEAD")
    assert answer.status == 200


def test_every_answer_carries_the_headers(app):
    for address in (
        "/",
        "/now.json",
        "/models/nobody",
        "/nowhere",
        "/models/late-arrival?from=x",
        "/static/dashboard.js",
    ):
        headers = ask(app, address).headers
        for name, value in SECURITY_HEADERS.items():
            assert headers[name.lower()] == value, (address, name)
    refused = ask(app, "/", host="evil.example").headers
    assert refused["x-frame-options"] == "DENY"


def test_no_other_origin_is_ever_let_in(app):
    answer = ask(app, "/now.json", origin="https://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_the_policy_lets_only_our_own_files_run(app):
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    for needed in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert needed in policy


def test_a_static_file_is_kept_only_under_its_digest(app):
    page = ask(app, "/").text
    address = page[page.index("/static/dashboard.css") :].partition('"')[0]
    assert "immutable" in ask(app, address).headers["cache-control"]
    assert ask(app, "/static/dashboard.css").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%252e%252e/app.py",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "/static/%00",
        "/static/vendor",
        "/static/vendor/../../values.py",
    ],
)
def test_static_paths_do_not_leave_their_folder(app, path):
    answer = ask(app, path)
    assert answer.status in {400, 404}
    assert b"import" not in answer.body
