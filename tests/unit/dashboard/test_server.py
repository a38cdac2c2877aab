"""The dashboard's server over a real project: where it listens, what it refuses, and that it ends."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading

import msgspec
import pytest
from tests.simulated_shop import IDLE, MODEL, write_project

from seakeep.clock import FixedClock, parse_moment
from seakeep.dashboard.listening import listen, url_of
from seakeep.dashboard.server import DashboardServer, main
from seakeep.errors import PlatformError
from seakeep.project import open_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "shop"
    write_project(folder)
    return open_project(folder)


@pytest.fixture
def listening(project):
    """The project with other settings of its dashboard."""

    def change(**settings):
        changed = msgspec.structs.replace(project.settings.dashboard, **settings)
        project.settings = msgspec.structs.replace(before, dashboard=changed)
        return project

    before = project.settings
    yield change
    project.settings = before


def get(url, path="/", *, host=""):
    address = url.removeprefix("http://").rstrip("/")
    name, _, port = address.rpartition(":")
    link = http.client.HTTPConnection(name.strip("[]"), int(port), timeout=30)
    try:
        link.request("GET", path, headers={"Host": host} if host else {})
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        link.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_serves_the_project_on_a_free_port_of_this_machine(listening, host):
    with DashboardServer(listening(host=host, port=0)) as server:
        assert server.url.startswith(f"http://{host}:")
        status, headers, text = get(server.url)
        assert status == 200
        assert "shop (simulated)" in text
        assert "server" not in {name.lower() for name in headers}
        assert get(server.url, f"/models/{MODEL}")[0] == 200
        assert get(server.url, "/models/nobody")[0] == 404


def test_it_listens_on_the_loopback_of_ipv6_where_there_is_one(listening):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with DashboardServer(listening(host="::1", port=0)) as server:
        assert server.url.startswith("http://[::1]:")
        assert get(server.url)[0] == 200


def test_its_clock_is_the_one_it_is_given(listening):
    with DashboardServer(listening(port=0), clock=FixedClock(parse_moment("2031-05-05"))) as server:
        page = json.loads(get(server.url, "/now.json")[2])
    assert page["now_us"] == parse_moment("2031-05-05")
    assert [row["name"] for row in page["models"]] == sorted((MODEL, IDLE))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.invalid", "", "127.0.0.1.example.invalid"])
def test_it_listens_to_nobody_else_for_it_asks_nobody_who_they_are(listening, host):
    with pytest.raises(PlatformError, match="does not listen on") as caught, DashboardServer(listening(host=host)):
        pass
    assert "SSH tunnel" in caught.value.hint


def test_a_port_in_use_is_told_with_what_to_do(listening):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"127.0.0.1:{port}") as caught, DashboardServer(listening(port=port)):
            pass
    assert "dashboard.port" in caught.value.hint


def test_after_the_end_nobody_listens_and_no_thread_is_left(listening):
    with DashboardServer(listening(port=0)) as server:
        assert "dashboard" in {thread.name for thread in threading.enumerate()}
        assert get(server.url)[0] == 200
    assert "dashboard" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError):
        get(server.url)


def test_a_port_can_be_taken_again_at_once(listening):
    with DashboardServer(listening(port=0)) as server:
        assert get(server.url)[0] == 200
        port = int(server.url.rstrip("/").rpartition(":")[2])
    with DashboardServer(listening(port=port)) as again:
        assert get(again.url)[0] == 200


def test_it_ends_although_a_browser_keeps_its_connection_open(listening):
    with DashboardServer(listening(port=0)) as server:
        address = server.url.removeprefix("http://").rstrip("/").split(":")
        link = http.client.HTTPConnection(address[0], int(address[1]), timeout=30)
        link.request("GET", "/")
        link.getresponse().read()
    link.close()
    assert "dashboard" not in {thread.name for thread in threading.enumerate()}


def test_a_page_of_another_name_is_not_told_anything(listening):
    with DashboardServer(listening(port=0)) as server:
        status, _, text = get(server.url, host="evil.example")
    assert status == 421
    assert "shop" not in text


def test_two_dashboards_of_one_project_stand_side_by_side(listening):
    with DashboardServer(listening(port=0)) as one, DashboardServer(listening(port=0)) as two:
        assert one.url != two.url
        assert get(one.url, "/now.json")[0] == get(two.url, "/now.json")[0] == 200


def test_a_project_of_the_past_says_so_on_its_pages(listening):
    with DashboardServer(listening(port=0)) as server:
        assert "dated by the clock" in get(server.url)[2]


def test_a_process_of_its_own_serves_on_the_socket_that_it_is_handed(project):
    settings = msgspec.structs.replace(project.settings.dashboard, port=0)
    with listen(settings) as door:
        url = url_of(settings, door)
        command = [sys.executable, "-P", "-m", "seakeep.dashboard.server", str(project.folder), str(door.fileno())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[door.fileno()]) as process:
            assert "shop (simulated)" in get(url)[2]
            process.stdin.close()
            assert process.wait(60) == 0
    with pytest.raises(ConnectionRefusedError):
        get(url)


def test_a_fault_of_the_project_is_told_in_a_line_and_wrong_arguments_are_a_usage_error(tmp_path, capsys):
    assert main([str(tmp_path), "0"]) == 1
    assert f"dashboard: error: cannot read {tmp_path}" in capsys.readouterr().err
    assert main([]) == 2
