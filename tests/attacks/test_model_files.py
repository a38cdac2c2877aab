"""Model files that mean harm: each ends in a clear error, in bounded time and memory, and leaves nothing behind."""

import ast
import errno
import io
import os
import pickle  # noqa: TID251 -- hostile ones
import re
import socket
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from seakeep.conversion import cage, child, exchange
from seakeep.conversion.convert import convert_file
from seakeep.conversion.formats import registry
from seakeep.conversion.formats.registry import FORMATS
from seakeep.conversion.modelfile import ModelFile, read_model_file
from seakeep.conversion.native import frame_of
from seakeep.conversion.reading import Reading
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
        return exec, (self.code, {})


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


ESCAPES = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
inet, six, unix, vsock = 2, 10, 1, 40
def remount():
    libc.mount(b"none", b"/", None, ctypes.c_ulong(4096 | 32), None)
    raise OSError(ctypes.get_errno(), "")
def ring():
    libc.syscall(425, 8, ctypes.create_string_buffer(120))
    raise OSError(ctypes.get_errno(), "")
def fill():
    with open("big", "wb") as file:
        while True: file.write(bytes(1 << 24)); file.flush()
ways = {
    "net": lambda: socket.create_connection(("127.0.0.1", PORT), 2),
    "unix": lambda: socket.socket(unix).connect(SOCKET),
    "vsock": lambda: socket.socket(vsock, 1),
    "pair": lambda: socket.socketpair(unix, socket.SOCK_DGRAM),
    "ring": ring,
    "write": lambda: open(TARGET, "w"),
    "plant": lambda: os.symlink("/etc/passwd", "../planted"),
    "request": lambda: open("../request.json", "w"),
    "remount": remount,
    "neighbour": lambda: open(f"/proc/{OUTSIDE}/environ").read(),
    "memory": lambda: bytearray(9 * 1024**3),
    "disk": fill,
}
found = {}
for name, way in ways.items():
    try: way()
    except MemoryError: found[name] = "full"
    except OSError as error: found[name] = error.errno
    else: found[name] = "open"
socket.socketpair()[0].close()  # what harms nobody works
raise ValueError(found)
"""
REFUSED = {
    "net": errno.ENETUNREACH,
    **dict.fromkeys(("unix", "vsock", "pair", "ring"), errno.EACCES),
    **dict.fromkeys(("write", "plant", "request"), errno.EROFS),
    "remount": errno.EPERM,
    "neighbour": errno.EACCES,
    "memory": "full",
    "disk": errno.ENOSPC,
}


@pytest.mark.usefixtures("caged")
class TestPickles:
    def test_every_way_out_is_closed(self, frame, tmp_path):
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.socket(socket.AF_UNIX) as local,
            tempfile.TemporaryDirectory(dir="/tmp") as short,
        ):
            local.bind(f"{short}/socket")
            Path(f"{short}/socket").chmod(0o777)
            Path(short).chmod(0o755)
            local.listen()
            told = {
                "PORT": server.getsockname()[1],
                "SOCKET": f"{short}/socket",
                "TARGET": str(tmp_path / "written"),
                "OUTSIDE": os.getpid(),
            }
            said = attempt(frame, "".join(f"{name} = {value!r}\n" for name, value in told.items()) + ESCAPES)
            for listening in (server, local):
                listening.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listening.accept()
        assert ast.literal_eval(said[said.index("{") : said.index("}") + 1]) == REFUSED
        assert not (tmp_path / "written").exists()

    def test_a_fork_bomb_ends_with_the_cage(self, frame):
        mark = f"mark-{os.getpid()}-{os.urandom(4).hex()}"
        bomb = (
            "import os, subprocess, sys\n"
            f"subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)', '{mark}'], start_new_session=True)\n"
            "for _ in range(1000): os.fork() or __import__('time').sleep(600)"
        )
        told = attempt(frame, bomb)
        assert "BlockingIOError" in told
        assert not lives_with(mark)

    @pytest.mark.slow
    def test_one_that_never_ends_is_ended(self, frame):
        assert "not done after 2 s" in attempt(frame, "while True: pass", timeout_s=2)

    def test_a_forged_result_is_not_believed(self, frame):
        forge = (
            "import os\n"
            "for name in ('../model.onnx', '../notes.json', '../parity.json'): open(name, 'wb').write(b'{}')\n"
            "os._exit(0)"
        )
        assert "no proof" in attempt(frame, forge)
        assert "nothing readable" in attempt(frame, "import os; open('../error.json', 'w').write('['); os._exit(0)")

    def test_a_model_that_raises_or_kills_its_process_is_told(self, frame):
        assert "an estimator that fails" in attempt(frame, "raise RuntimeError('an estimator that fails')")
        assert "ended by signal 11" in attempt(frame, "import os; os.kill(os.getpid(), 11)")

    @pytest.mark.skipif(os.geteuid() != 0, reason="of the superuser's cage")
    def test_the_superusers_cage_reads_as_one_who_owns_nothing(self, frame):
        look = "import os\nraise ValueError(os.getresuid(), os.getgroups(), os.access('/etc/shadow', os.R_OK))"
        told = attempt(frame, look)
        found = re.search(r"\(\((\d+), (\d+), (\d+)\), \[\], False\)", told)
        assert found, told
        assert len(set(found.groups())) == 1
        assert int(found[1]) in cage.STRANGERS


def test_the_cage_writes_what_the_parent_reads():
    assert child.RESULTS == (exchange.MODEL, exchange.NOTES, exchange.PROOF, exchange.ERROR)
    assert child.SCRATCH == exchange.SCRATCH


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

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("model.skops", ("schema.json",)),
            ("model.keras", ("config.json", "metadata.json", "model.weights.h5")),
            ("model.pt2", ("archive/archive_format", "archive/models/model.json")),
        ],
    )
    def test_a_zip_bomb_is_refused_unopened(self, tmp_path, name, parts):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for part in parts:
                archive.writestr(part, bytes(12_345 if part == parts[-1] else 0))
        entry = packed.getvalue().rindex(struct.pack("<L", 12_345))  # in the directory at the end
        lie = packed.getvalue()[:entry] + struct.pack("<L", 2**31) + packed.getvalue()[entry + 4 :]
        (tmp_path / name).write_bytes(lie)
        with pytest.raises(ConversionError, match=rf"would unpack to 2,147,483,648 bytes in {len(parts)} files"):
            read_model_file(tmp_path / name, Reading(gives="logits"))

    def test_an_archive_that_libraries_would_read_differently_is_refused(self, tmp_path):
        with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            warnings.simplefilter("ignore")
            for part in ("config.json", "metadata.json", "model.weights.h5", "config.json"):
                archive.writestr(part, "{}")
        with pytest.raises(ConversionError, match="two parts of one name"):
            read_model_file(tmp_path / "model.keras", Reading(gives="logits"))

    def test_a_program_with_pickled_parts_runs_none_of_them(self, tmp_path):
        """In this very process: no cage would hide that something ran."""
        torch = pytest.importorskip("torch", reason="needs the extra `torch`")
        mark = tmp_path / "ran"
        harm = pickle.dumps(Payload(f"open({str(mark)!r}, 'w').close()"))
        with io.BytesIO() as into:
            torch.save(Payload(f"open({str(mark)!r}, 'w').close()"), into)
            saved = into.getvalue()
        pickled = b'{"config": {"w": {"path_name": "weight_0", "use_pickle": true}}}'
        for number, (part, content) in enumerate(
            [
                ("data/sample_inputs/model.pt", saved),
                ("data/sample_inputs/model.pt", harm),
                ("data/constants/opaque_obj_0", harm),
                ("data/weights/model_weights_config.json", pickled),
                ("models/model.json", b"[" * 100_000),
            ]
        ):
            with zipfile.ZipFile(tmp_path / f"{number}.pt2", "w") as archive:
                archive.writestr("archive/archive_format", "pt2")
                archive.writestr(f"archive/{part}", content)
                archive.writestr("archive/data/weights/weight_0", saved)
            file = read_model_file(tmp_path / f"{number}.pt2", Reading(gives="logits"))
            with pytest.raises(ConversionError, match=r"holds|cannot be read") as refusal:
                registry.take("pt2", file.content, COLUMNS, file.reading)
            assert refusal.value.hint
            assert not mark.exists()

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
