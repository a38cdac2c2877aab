"""What may be imported by what, and what start-up may cost."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import seakeep


def _modules_after(code):
    script = textwrap.dedent(code) + "\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_all_is_sorted_complete_and_importable():
    assert seakeep.__all__ == sorted(seakeep.__all__)
    assert len(seakeep.__all__) <= 25
    for name in seakeep.__all__:
        assert getattr(seakeep, name) is not None


def test_import_loads_no_engine():
    loaded = _modules_after("import seakeep")
    assert loaded.isdisjoint(
        {"duckdb", "onnxruntime", "onnx", "pandas", "sklearn", "starlette", "lmdb", "sqlite3", "grpc"}
    )


def test_help_loads_no_engine():
    loaded = _modules_after(
        """
        import contextlib, io
        from seakeep.cli import main
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main(["--help"])
        """
    )
    assert loaded.isdisjoint({"duckdb", "onnxruntime", "onnx", "pandas", "sklearn", "starlette", "lmdb", "numpy"})


def test_a_serving_worker_stays_light():
    loaded = _modules_after("import seakeep.project.worker")
    assert loaded.isdisjoint({"pandas", "sklearn", "torch", "onnx", "duckdb", "scipy", "starlette", "jinja2", "grpc"})


def test_grpc_is_served_without_its_library():
    pytest.importorskip("hpack", reason="gRPC is not installed")
    loaded = _modules_after("import seakeep.serving.grpc.server")
    assert {"hpack", "google.protobuf.message"} <= loaded
    assert loaded.isdisjoint({"grpc", "h2", "hyperframe"})


def test_layers_hold():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
