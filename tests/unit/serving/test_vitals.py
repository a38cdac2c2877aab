import os
import subprocess
import sys
import time

import pytest

from seakeep.serving import vitals


def test_processor_time_of_the_main_thread_grows_with_what_it_does():
    before = vitals.main_thread(os.getpid())
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    after = vitals.main_thread(os.getpid())
    assert after.ran_s - before.ran_s > 0.03
    assert after.waited_s >= before.waited_s


def test_without_the_kernels_statistics_it_is_known_to_a_tick(monkeypatch):
    real = vitals.Path.read_text

    def refused(path, *arguments):
        if path.name in {"schedstat", "smaps_rollup"}:
            raise PermissionError
        return real(path, *arguments)

    fine = vitals.main_thread(os.getpid()).ran_s
    monkeypatch.setattr(vitals.Path, "read_text", refused)
    assert abs(vitals.main_thread(os.getpid()).ran_s - fine) < 0.5
    assert vitals.main_thread(os.getpid()).waited_s == 0
    assert vitals.own_bytes(os.getpid()) == pytest.approx(vitals.resident_bytes(os.getpid()), rel=0.2)


def test_memory_of_another_process_is_seen_to_grow():
    code = "import sys\nprint(flush=True)\nsys.stdin.readline()\nheld = b'x' * 30_000_000\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        before = vitals.resident_bytes(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert vitals.resident_bytes(child.pid) - before > 25_000_000
        assert vitals.own_bytes(child.pid) > 30_000_000
        child.stdin.close()


def test_a_process_that_is_gone_is_an_error():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    for ask in (vitals.main_thread, vitals.resident_bytes, vitals.own_bytes):
        with pytest.raises(OSError):
            ask(child.pid)
