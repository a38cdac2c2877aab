"""Model files that mean harm: each ends in a clear error, in bounded time and memory, and leaves nothing behind."""

import io
import os
import pickle  # noqa: TID251 -- hostile ones
import socket
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from seakeep.conversion import child, exchange
from seakeep.conversion.convert import convert_file
from seakeep.conversion.formats.registry import FORMATS
from seakeep.conversion.modelfile import ModelFile, read_model_file
from seakeep.conversion.native import frame_of
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import Threshold

COLUMNS = (FeatureColumn(name="a", kind="number"), FeatureColumn(name="b", kind="number"))
CAGE = """
import sys, tempfile
from pathlib import Path
from seakeep.conversion.cage import confine
folder = Path(tempfile.mkdtemp())
(folder / "scratch").mkdir()
sys.exit(confine(folder, writable=[], scratch="scratch") or 0)
"""


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.glob("seakeep-convert-*"))


@pytest.fixture(scope="module")
def frame():
    return frame_of(Rows(np.random.default_rng(0).normal(size=(40, 2)), np.empty((40, 0), dtype=object)), COLUMNS)


@pytest.fixture(scope="module")
def caged():
    done = subprocess.run([sys.executable, "-c", CAGE], env={"PYTHONPATH": "src"}, check=False, capture_output=True)
    if done.returncode:
        pytest.skip(done.stderr.decode()[-300:])


class Payload:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


def attempt(frame, code, timeout_s=60):
    file = ModelFile("hostile.pkl", pickle.dumps(Payload(code)), FORMATS["pickle"])
    with pytest.raises(ConversionError) as refusal:
        convert_file(file, frame, decision=Threshold(), timeout_s=timeout_s)
    assert refusal.value.hint
    return str(refusal.value)


def lives_with(mark):
    """Processes of this machine that carry a mark in their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.usefixtures("caged")
class TestPickles:
    def test_none_reaches_the_network(self, frame):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            told = attempt(frame, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()
        assert "unreachable" in told

    @pytest.mark.slow
    def test_none_writes_a_file_or_opens_the_cage_again(self, frame, tmp_path):
        target = tmp_path / "written"
        assert "Read-only file system" in attempt(frame, f"open({str(target)!r}, 'w')")
        remount = (
            "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
            "c.mount(b'none', b'/', None, ctypes.c_ulong(4096 | 32), None)\n"
            "raise ValueError('mount', ctypes.get_errno())"
        )
        assert "('mount', 1)" in attempt(frame, remount)
        assert not target.exists()

    @pytest.mark.slow
    def test_a_fork_bomb_ends_with_the_cage(self, frame):
        mark = f"mark-{os.getpid()}-{os.urandom(4).hex()}"
        bomb = (
            "import os, subprocess, sys\n"
            f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'], start_new_session=True)\n"
            "for _ in range(1000): os.fork() or __import__('time').sleep(600)"
        )
        told = attempt(frame, bomb)
        assert "BlockingIOError" in told
        assert not lives_with(mark)

    @pytest.mark.slow
    def test_memory_disk_and_time_are_bounded(self, frame):
        assert "MemoryError" in attempt(frame, "bytearray(9 * 1024**3)")
        assert "No space left" in attempt(
            frame, "f = open('big', 'wb')\nwhile True: f.write(bytes(1 << 24)); f.flush()"
        )
        assert "not done after 4 s" in attempt(frame, "while True: pass", timeout_s=4)

    @pytest.mark.slow
    def test_a_forged_result_is_not_believed(self, frame):
        forge = (
            "import os\n"
            "open('../model.onnx', 'wb').write(b'not a model')\n"
            "open('../parity.json', 'wb').write(b'{}')\n"
            "os._exit(0)"
        )
        assert "no proof" in attempt(frame, forge)
        assert "failed" in attempt(frame, "import os; open('../error.json', 'w').write('['); os._exit(0)")
        assert "Read-only" in attempt(frame, "import os; os.symlink('/etc/passwd', '../planted')")


def test_the_cage_writes_what_the_parent_reads():
    assert child.RESULTS == (exchange.MODEL, exchange.PROOF, exchange.ERROR)


class TestFiles:
    """Refused before any library sees them."""

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("model.onnx", pickle.dumps({}), r"model\.onnx is named \.onnx, but its content is a pickle"),
            ("model", pickle.dumps({}), "runs whatever code"),
            ("model", pickle.dumps({}, protocol=0), "runs whatever code"),
            ("model.bin", zlib.compress(pickle.dumps({})), "runs whatever code"),
            ("model", b"", "no format that is taken"),
            ("model.onnx", b"\x08\x08\x3a\xff\xff\xff\xff\x0f", "no format that is taken"),
            ("model.json", b'{"learner": ' + b"[" * 100_000, "nested more than 200"),
            ("model.json", b'{"learner": {"a": 1', "may be cut off"),
            ("model.txt", b"tree\nversion=v4\n" + b"Tree=0\n", "ends before its last tree"),
            ("model.skops", b"PK\x03\x04" + bytes(40), "damaged zip"),
        ],
    )
    def test_what_is_not_what_it_says_is_refused(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConversionError, match=message) as refusal:
            read_model_file(tmp_path / name)
        assert refusal.value.hint

    def test_a_zip_bomb_is_refused_unopened(self, tmp_path):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for i in range(20_001):
                archive.writestr(f"{i}", b"")
        (tmp_path / "model.skops").write_bytes(packed.getvalue())
        with pytest.raises(ConversionError, match=r"in 20,001 files"):
            read_model_file(tmp_path / "model.skops")

    def test_links_pipes_folders_and_what_is_too_large_are_refused(self, tmp_path):
        (tmp_path / "link").symlink_to("/etc/passwd")
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        with (tmp_path / "large").open("wb") as file:
            file.truncate(513 * 1024**2)
        wrong = {"link": "is a link", "pipe": "no regular file", "folder": "no regular file", "large": "more than"}
        for name, message in wrong.items():
            with pytest.raises(ConversionError, match=message):
                read_model_file(tmp_path / name)
        with pytest.raises(ConversionError, match="cannot be read"):
            read_model_file(tmp_path / "nothing")
