import hashlib
import os
import pickle  # noqa: TID251 -- artefacts are pickles; the converter is tested with hostile ones
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tests.flights import wait_for

from seakeep.conversion import convert as module
from seakeep.conversion import exchange
from seakeep.conversion.child import main
from seakeep.conversion.convert import convert
from seakeep.conversion.enginesettings import EngineSettings
from seakeep.conversion.native import frame_of
from seakeep.conversion.providers import providers
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError, ParityError
from seakeep.records.feature import FeatureColumn
from seakeep.training.artefact import to_bytes


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Payload:
    """Unpickles to the result of ``eval(code)``."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self):
        return eval, (self.code,)


@pytest.fixture
def frame(held_out, columns):
    return frame_of(held_out, columns)


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.glob("seakeep-convert-*"))


@pytest.mark.slow
def test_a_converted_estimator_answers_alike_and_carries_its_proof(fit, frame, held_out, to_pandas):
    model = fit("hgb")
    artefact = pickle.dumps(model)
    converted = convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))
    served = ScoringSession(converted.model).score(held_out.numbers, held_out.categories)
    assert np.abs(served - model.predict_proba(to_pandas(held_out))[:, 1]).max() <= 1e-15
    assert converted.proof.passed
    assert converted.proof.model_sha256 == sha256(converted.model)
    assert converted.proof.artefact_sha256 == sha256(artefact)
    assert converted.proof.cases["validation"] == len(held_out)
    assert convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact)) == converted


def test_an_estimator_other_than_the_recorded_one_is_not_even_sent(fit, frame):
    artefact = pickle.dumps(fit("hgb"))
    with pytest.raises(ConversionError, match="SHA-256 differs"):
        convert(artefact + b" ", frame, threshold=0.5, artefact_sha256=sha256(artefact))


def test_the_child_checks_the_digest_before_it_unpickles(tmp_path, frame, held_out):
    request = exchange.Request(columns=frame.columns, threshold=0.5, artefact_sha256="0" * 64, cpu_s=60)
    touched = tmp_path / "touched"
    (tmp_path / exchange.ESTIMATOR).write_bytes(pickle.dumps(Payload(f"open({str(touched)!r}, 'w')")))
    exchange.write_rows(tmp_path / exchange.FRAME, held_out)
    import msgspec

    (tmp_path / exchange.REQUEST).write_bytes(msgspec.json.encode(request))
    subprocess.run(
        [sys.executable, "-m", "seakeep.conversion.child", str(tmp_path)],
        env={"PYTHONPATH": "src"},
        check=False,
        capture_output=True,
    )
    assert not touched.exists()
    failure = msgspec.json.decode((tmp_path / exchange.ERROR).read_bytes(), type=exchange.Failure)
    assert "not the one the run recorded" in failure.message
    assert not (tmp_path / exchange.MODEL).exists()
    assert callable(main)


def test_what_has_no_emitter_is_told_by_step(frame, held_out, to_pandas):
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    model = make_pipeline(OrdinalEncoder(), GaussianProcessClassifier())
    data = to_pandas(held_out).fillna(0.0)[:100]
    artefact = pickle.dumps(model.fit(data, np.arange(len(data)) % 2))
    with pytest.raises(
        ConversionError, match=r"Pipeline\.gaussianprocessclassifier: GaussianProcessClassifier has no exact emitter"
    ) as refusal:
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))
    assert "HistGradientBoostingClassifier" in refusal.value.hint


@pytest.mark.slow
def test_what_is_no_probability_is_converted_but_not_served(frame, held_out):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline

    data = frame.to_pandas()
    numbers = ColumnTransformer([("numbers", "passthrough", ["hour", "share"])])
    model = make_pipeline(numbers, HistGradientBoostingRegressor(max_iter=2)).fit(data, np.arange(len(data)) * 1.0)
    artefact = pickle.dumps(model)
    with pytest.raises(ConversionError, match="Pipeline gives value; what is served is the probability") as refusal:
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))
    assert "binary classifier" in refusal.value.hint


def attempt(frame, code: str) -> str:
    """What the converter says about a payload, whose result is no estimator."""
    artefact = pickle.dumps(Payload(code))
    with pytest.raises(ConversionError) as refusal:
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))
    return str(refusal.value)


@pytest.mark.slow
def test_a_pickle_that_is_no_estimator_is_refused(frame):
    assert "dict is not a fitted classifier" in attempt(frame, "{}")
    assert "cannot be loaded: ZeroDivisionError" in attempt(frame, "1 / 0")
    artefact = b"not a pickle"
    with pytest.raises(ConversionError, match="cannot be loaded"):
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))


def test_a_pickle_sees_no_secret_of_the_parents_environment(frame, monkeypatch):
    monkeypatch.setenv("SEAKEEP_SECRET", "hunter2")
    assert "None" in attempt(
        frame, "__import__('builtins').exec('raise ValueError(__import__(\"os\").environ.get(\"SEAKEEP_SECRET\"))')"
    )


@pytest.mark.slow
def test_a_pickle_cannot_fill_the_disk_or_the_memory(frame):
    assert "MemoryError" in attempt(frame, "bytearray(9 * 1024**3)")
    told = attempt(frame, "open('big', 'wb').truncate(3 * 1024**3)")
    assert "File too large" in told or "signal" in told


@pytest.mark.slow
def test_a_crash_is_told(frame):
    assert "by signal" in attempt(frame, "__import__('os').abort()")
    assert "with status 7" in attempt(frame, "__import__('os')._exit(7)")


@pytest.mark.slow
def test_a_converter_that_hangs_is_ended_with_all_it_started(frame, tmp_path, monkeypatch):
    mark = tmp_path / "pid"

    class Process(subprocess.Popen):
        def wait(self, timeout=None):
            if timeout is None:
                return super().wait()
            wait_for(lambda: mark.exists() and mark.read_text(), process=self)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Process)
    code = (
        f"open({str(mark)!r}, 'w').write(str(__import__('subprocess').Popen(['sleep', '600']).pid))"
        " and __import__('time').sleep(600)"
    )
    artefact = pickle.dumps(Payload(code))
    with pytest.raises(ConversionError, match="not done after 600 s"):
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))
    monkeypatch.undo()
    state = Path(f"/proc/{mark.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def _namespaces_allowed() -> bool:
    code = "from seakeep.conversion import child; import os; a = os.readlink('/proc/self/ns/net'); child.enter_cage(); print(a != os.readlink('/proc/self/ns/net'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


def test_a_pickle_cannot_reach_the_network(frame):
    if not _namespaces_allowed():
        pytest.skip("this system does not let a process leave the network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = attempt(frame, f"__import__('socket').create_connection(('127.0.0.1', {port}), 2)")
    assert "unreachable" in told
    assert "OSError" in told


def test_a_failed_proof_shows_the_row(fit, frame, monkeypatch):
    """The parent refuses whatever proof did not pass; the proof's own failures are tested with it."""
    import msgspec

    artefact = pickle.dumps(fit("hgb"))
    decode = msgspec.json.decode

    def failed(content, **kind):
        found = decode(content, **kind)
        return msgspec.structs.replace(found, passed=False, flips=2) if hasattr(found, "passed") else found

    monkeypatch.setattr(msgspec.json, "decode", failed)
    with pytest.raises(ParityError, match=r"2 flips.*worst row: .*dest="):
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact))


def test_rows_travel_without_pickle(tmp_path, held_out):
    path = tmp_path / exchange.FRAME
    exchange.write_rows(path, held_out)
    with np.load(path, allow_pickle=False) as arrays:
        assert {array.dtype.kind for array in arrays.values()} == {"f", "U"}
    found = exchange.read_rows(path)
    assert np.array_equal(found.numbers, held_out.numbers, equal_nan=True)
    assert found.categories.tolist() == held_out.categories.tolist()
    none = Rows(np.empty((3, 0)), np.empty((3, 0), dtype=object))
    exchange.write_rows(path, none)
    assert exchange.read_rows(path).categories.shape == (3, 0)


@pytest.mark.parametrize("odd", ["ends in NUL\0", None, 1.5])
def test_categories_that_cannot_travel_are_refused(tmp_path, odd):
    rows = Rows(np.zeros((1, 0)), np.array([[odd]], dtype=object))
    with pytest.raises(ConversionError, match="NUL"):
        exchange.write_rows(tmp_path / exchange.FRAME, rows)


@pytest.mark.parametrize("module", ["session", "convert"])
def test_serving_and_the_parent_load_no_training_library(module):
    code = f"import sys, seakeep.conversion.{module}; print(sorted({{'onnx', 'sklearn', 'pandas', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": "src", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_proof_on_an_accelerator_that_is_not_here_is_refused_by_the_converter_itself(monkeypatch):
    if providers()[1].usable:
        pytest.skip("CUDA is usable here")
    told, real = [], module.run_caged

    def run_caged(*given, arguments, **named):
        told.extend(arguments)
        real(*given, arguments=arguments, **named)

    monkeypatch.setattr(module, "run_caged", run_caged)
    numbers = np.random.default_rng(0).normal(size=(50, 2))
    artefact = to_bytes(LogisticRegression().fit(numbers, numbers[:, 0] > 0))
    frame = frame_of(
        Rows(numbers, np.empty((50, 0), dtype=object)), [FeatureColumn(name=n, kind="number") for n in "ab"]
    )
    with pytest.raises(ConversionError, match="cuda is not usable here") as caught:
        convert(
            artefact, frame, threshold=0.5, artefact_sha256=sha256(artefact), engine=EngineSettings(accelerator="cuda")
        )
    assert caught.value.hint
    assert told == ["", "gpu"]
