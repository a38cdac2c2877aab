"""What status tells of natively served versions."""

import msgspec
import pytest

from seakeep.cli.build import proof_line
from seakeep.cli.know import status_table
from seakeep.project.natives import NativeProcesses, processes_of
from seakeep.project.watch import VersionStatus
from seakeep.records.version import ParityProof, Version
from seakeep.serving.metrics import Meters


@pytest.fixture
def status():
    return VersionStatus(
        model="late",
        version=2,
        role="champion",
        requests=10,
        errors=0,
        refused=0,
        share=1.0,
        throughput_per_s=2.0,
        p50_ms=1.0,
        p99_ms=2.0,
        engine="native",
        processes=NativeProcesses(running=2, memory_bytes=400_000_000, start_s=2.0, restarts=1),
    )


def test_processes_are_those_that_all_workers_count(tmp_path):
    assert processes_of(tmp_path, "late", 2) is None
    for index, restarts in ((0, 0), (1, 1)):
        Meters(tmp_path, index).of("late", 2).native(1, 200_000_000, 2.0, restarts)
    assert processes_of(tmp_path, "late", 2) == NativeProcesses(
        running=2, memory_bytes=400_000_000, start_s=2.0, restarts=1
    )
    assert processes_of(tmp_path, "late", 1) is None


def test_status_says_that_a_version_is_native_and_how_its_processes_are(status):
    *_, line = status_table([status]).splitlines()
    assert line == "late:2  native: its own framework answers; 2 processes, 400 MB, started in 2.0 s, 1 restarts"
    *_, line = status_table([msgspec.structs.replace(status, processes=None)]).splitlines()
    assert line == "late:2  native: its own framework answers; no process runs now"
    assert "native" not in status_table([msgspec.structs.replace(status, engine="onnx")])


def test_the_proof_of_a_native_version_is_told_in_its_own_words():
    proof = ParityProof(
        passed=True,
        cases={"validation": 1000, "extremes": 50, "refused": 20},
        max_difference=0.0,
        flips=0,
        nan_mismatches=0,
        error_mismatches=0,
        tolerance=0.0,
        batch_sizes=(1, 2),
        worst={},
        versions={},
        model_sha256="",
        artefact_sha256="",
        digest="",
    )
    version = Version(
        model="late", number=3, bundle="", run="", created_us=0, author="", threshold=0.5, engine="native"
    )
    assert proof_line(version, proof) == (
        "late:3: native; 1,050 rows tried in a fresh process, every score equal, bit for bit"
    )
