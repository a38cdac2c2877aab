"""The cage of a process without rights, the filter of system calls, and what happens where there is none."""

import errno
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from seakeep.conversion import cage, child, convert, exchange, syscalls
from seakeep.errors import InputsError

ORDINARY = """
import ctypes, json, os, socket, sys
from pathlib import Path
from seakeep.conversion.cage import confine
folder = Path(sys.argv[1])
(folder / "scratch").mkdir()
(folder / "kept").touch()
if os.geteuid() == 0:
    for path in (folder, *folder.iterdir()):
        os.chown(path, 64321, 64321)
    os.setgroups([])
    os.setresgid(64321, 64321, 64321)
    os.setresuid(64321, 64321, 64321)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a program that this user started is
missing = confine(folder, writable=["kept"], scratch="scratch")
if missing:
    sys.exit(missing)
found = {"user": os.getuid()}
def say(name, act):
    try: act()
    except OSError as error: found[name] = error.errno
    else: found[name] = 0
say("kept", lambda: (folder / "kept").write_text("kept"))
say("scratch", lambda: (folder / "scratch" / "x").write_text("x"))
say("other", lambda: (folder / "other").write_text("x"))
say("unix", lambda: socket.socket(socket.AF_UNIX))
say("net", lambda: socket.socket().connect(("127.0.0.1", 9)))
def swarm():
    for _ in range(200):
        if os.fork() == 0:
            __import__("time").sleep(60)
            os._exit(0)
say("swarm", swarm)
print(json.dumps(found), flush=True)
os._exit(7)
"""


def test_an_ordinary_users_cage_holds_and_ends_as_a_whole():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        done = subprocess.run([sys.executable, "-c", ORDINARY, folder], check=False, capture_output=True, text=True)
        if "namespaces" in done.stderr or "filter" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 7, done.stderr
        found = json.loads(done.stdout)
        assert found.pop("user") == (os.getuid() or 64321)
        assert found == {
            "kept": 0, "scratch": 0, "other": errno.EROFS, "unix": errno.EACCES, "net": errno.ENETUNREACH, "swarm": errno.EAGAIN,
        }  # fmt: skip
        assert Path(folder, "kept").read_text() == "kept"
        assert list(Path(folder, "scratch").iterdir()) == []


def verdict(program, machine, number, *arguments):
    """Runs a filter as the kernel does: what it returns for one call."""
    data = {0: number, 4: machine, **{16 + 8 * i: value for i, value in enumerate(arguments)}}
    held = at = 0
    while True:
        code, if_so, if_not, value = struct.unpack("=HBBI", program[at])
        at += 1
        if code == 0x20:
            held = data.get(value, 0)
        elif code == 0x54:
            held &= value
        elif code == 0x06:
            return value
        else:
            at += if_so if (held == value if code == 0x15 else held >= value) else if_not


@pytest.mark.parametrize("name", syscalls._NUMBERS)
def test_the_filter_refuses_sockets_that_lead_out(name):
    machine, call, pair = syscalls._NUMBERS[name]
    program = syscalls._program(machine, call, pair)
    allowed, refused = 0x7FFF0000, 0x50000 | errno.EACCES

    def asked(number, *arguments):
        return verdict(program, machine, number, *arguments)

    assert [asked(call, family, 1) for family in (2, 10)] == [allowed] * 2
    assert {asked(call, family, 1) for family in range(46) if family not in {2, 10}} == {refused}
    assert [asked(pair, 1, kind) for kind in (1, 5, 1 | 0o2000000)] == [allowed] * 3
    assert [asked(pair, 1, kind) for kind in (2, 2 | 0o4000)] == [refused] * 2
    assert asked(425, 8) == refused
    assert asked(0x40000000 + call, 2, 1) == refused  # the other table of the same machine
    assert {asked(number) for number in range(450) if number not in {call, pair, 425}} == {allowed}
    assert verdict(program, machine ^ 1, call, 2, 1) == 0x80000000


def test_a_machine_whose_calls_are_not_known_has_no_cage(monkeypatch, tmp_path):
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    assert (
        cage.confine(tmp_path, writable=[], scratch="scratch")
        == "the numbers of system calls of a abacus are not known"
    )


def test_folders_that_only_their_owner_enters_are_found():
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # itself private
        inner = Path(name, "private", "work")
        inner.mkdir(parents=True)
        assert cage._private(inner) == Path(name)
        Path(name).chmod(0o755)
        assert cage._private(inner) is None
        inner.parent.chmod(0o700)
        assert cage._private(inner) == inner.parent
        needed = cage._needed(inner)
    assert inner in needed
    assert not any(one != other and one.is_relative_to(other) for one in needed for other in needed)


@pytest.mark.parametrize("without", [False, True])
def test_a_pickle_is_read_without_a_cage_only_if_that_is_said(monkeypatch, tmp_path, without):
    monkeypatch.setattr(child, "_confine", lambda folder: "this system has none")
    monkeypatch.setattr(child, "enter_cage", lambda **_: None)
    monkeypatch.setattr(child, "hold_to_lifeline", lambda: None)
    ran = []
    monkeypatch.setattr(child, "run", ran.append)
    assert child.main(tmp_path, "pickle", without_cage=without) == (0 if without else 1)
    assert ran == [tmp_path] * without
    if not without:
        told = msgspec.json.decode((tmp_path / exchange.ERROR).read_bytes(), type=exchange.Failure)
        assert told.message == "there is no cage to read a pickle in: this system has none"
        assert "another format" in told.hint

    def other_inputs(_folder):
        raise InputsError("other inputs", hint="declare them", names=("a", "b"))

    monkeypatch.setattr(child, "run", other_inputs)
    assert child.main(tmp_path, "onnx") == 1
    # Which inputs the file has is known in the cage alone: its parent learns them.
    with pytest.raises(InputsError, match="other inputs") as differing:
        convert.run_caged(tmp_path, "keyword", timeout_s=60)
    assert (differing.value.names, differing.value.hint) == (("a", "b"), "declare them")
    monkeypatch.setattr(child, "run", ran.append)
    ran.clear()
    assert child.main(tmp_path, "onnx") == 0
    assert ran == [tmp_path]


@pytest.mark.parametrize("gpu", [False, True])
def test_where_a_gpu_is_asked_for_what_can_be_written_is_limited_in_place_of_addresses(gpu):
    code = (
        "import resource, sys; from seakeep.conversion.child import enter_cage; "
        f"enter_cage(leave_network=False, gpu={gpu}); "
        "print(*(resource.getrlimit(one)[0] == 8 * 1024**3 for one in (resource.RLIMIT_AS, resource.RLIMIT_DATA)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(not gpu), str(gpu)]
