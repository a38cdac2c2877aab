"""Training in fresh processes; each takes seconds, so one snapshot serves all."""

import hashlib
import shutil
import subprocess

import msgspec
import pytest
from tests.flights import wait_for

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.clock import parse_moment
from seakeep.errors import ConfigError, NotFoundError, RerunMismatch, TrainingError
from seakeep.project.jobs import LOG, RUN, VALIDATION, TrainRequest, main, rerun, run_training, take_dataset, train
from seakeep.project.load import load_project
from seakeep.records.run import Run
from seakeep.training.frames import read_frame
from seakeep.training.run import definition_digest

pytestmark = pytest.mark.slow


@pytest.fixture
def request_for(tmp_path):
    def make(folder, **changes):
        project = load_project(folder)
        data = tmp_path / "data"
        version = take_dataset(
            project, project.model(), as_of_us=parse_moment("2024-04-09"), store=FileDatasetStore(data)
        )
        base = TrainRequest(
            run="r-000000000001", model="returned", folder=str(folder), data=str(data), dataset=version.id, started_us=1
        )
        return msgspec.structs.replace(base, **changes)

    return make


def test_two_processes_and_two_folders_give_the_same_bytes(shop, request_for, tmp_path):
    folder = shop(folder="one")
    request = request_for(folder)
    first = train(request, into=tmp_path / "first")
    moved = tmp_path / "quite" / "another" / "place"
    shutil.copytree(folder, moved, ignore=shutil.ignore_patterns("__pycache__"))
    second = rerun(first.run, msgspec.structs.replace(request, run="r-2", folder=str(moved)), into=tmp_path / "second")
    assert second.artefact == first.artefact
    assert hashlib.sha256(first.artefact).hexdigest() == first.run.artefact
    assert second.run.metrics == first.run.metrics
    assert second.run.code == first.run.code


def test_the_record_holds_every_input(shop, request_for, tmp_path):
    request = request_for(shop(), seed=3)
    trained = train(request, into=tmp_path / "out")
    run = trained.run
    assert (run.id, run.model, run.dataset, run.seed) == ("r-000000000001", "returned", request.dataset, 3)
    assert run.as_of_us == parse_moment("2024-04-09")
    assert list(run.code) == ["learn.py", "project.py", "seakeep.toml"]
    assert run.environment.packages["scikit-learn"]
    assert run.definition.schemas.keys() == {"orders", "returns"}
    assert [column.name for column in run.definition.columns][:2] == ["recent.rate_24h", "recent.rate_7d"]
    assert run.definition_digest == definition_digest(run.definition)
    assert run.rows_validated == len(trained.validate)
    assert run.metrics["roc_auc"].value > 0.6


def test_another_trainer_is_recorded_and_used_again_by_a_rerun(shop, request_for, tmp_path):
    folder = shop()
    request = request_for(folder)
    hasty = train(msgspec.structs.replace(request, trainer="train_hastily"), into=tmp_path / "hasty")
    assert hasty.run.trainer == "train_hastily"
    assert rerun(hasty.run, request, into=tmp_path / "again").artefact == hasty.artefact


def test_the_number_of_threads_is_recorded_and_kept_by_a_rerun(shop, request_for, tmp_path):
    learn = (
        "from sklearn.dummy import DummyClassifier\nfrom threadpoolctl import threadpool_info\n\n\n"
        "def train(frame):\n"
        "    model = DummyClassifier().fit(frame.to_pandas(), frame.label)\n"
        "    model.threads = sorted({one['num_threads'] for one in threadpool_info()})\n"
        "    return model\n\n\n"
        "train_hastily = train\n"
    )
    request = request_for(shop(learn=learn))
    two = train(msgspec.structs.replace(request, threads=2), into=tmp_path / "two")
    assert two.run.threads == 2
    assert rerun(two.run, request, into=tmp_path / "again").artefact == two.artefact
    assert train(request, into=tmp_path / "one").artefact != two.artefact


def test_a_changed_code_file_is_named_by_the_rerun(shop, request_for, tmp_path):
    folder = shop()
    request = request_for(folder)
    first = train(request, into=tmp_path / "first")
    text = (folder / "learn.py").read_text()
    (folder / "learn.py").write_text(text.replace("build(15)", "build(16)"))
    with pytest.raises(RerunMismatch, match=r"code file learn.py \w+ -> \w+") as caught:
        rerun(first.run, request, into=tmp_path / "second")
    assert len(caught.value.differences) == 1


def test_a_training_that_is_not_deterministic_is_called_so(shop, request_for, tmp_path):
    learn = (
        "import os\nfrom sklearn.dummy import DummyClassifier\n\n\n"
        "def train(frame):\n"
        "    model = DummyClassifier().fit(frame.to_pandas(), frame.label)\n"
        "    model.made_by = os.urandom(8)\n"
        "    return model\n\n\n"
        "train_hastily = train\n"
    )
    request = request_for(shop(learn=learn))
    first = train(request, into=tmp_path / "first")
    with pytest.raises(RerunMismatch, match="not deterministic") as caught:
        rerun(first.run, request, into=tmp_path / "second")
    assert caught.value.differences == ()


def test_global_random_state_and_the_order_of_sets_repeat(shop, request_for, tmp_path):
    learn = (
        "import random\nimport numpy as np\nfrom sklearn.dummy import DummyClassifier\n\n\n"
        "def train(frame):\n"
        "    model = DummyClassifier().fit(frame.to_pandas(), frame.label)\n"
        "    model.drawn = [random.random(), float(np.random.rand()), list({'a', 'b', 'c', 'd'})]\n"
        "    return model\n\n\n"
        "train_hastily = train\n"
    )
    request = request_for(shop(learn=learn))
    first = train(request, into=tmp_path / "first")
    assert rerun(first.run, request, into=tmp_path / "second").artefact == first.artefact


def test_the_users_exception_comes_back_with_its_line(shop, request_for, tmp_path):
    learn = "def train(frame):\n    print('about to fail')\n    return frame.nothing\n\n\ntrain_hastily = train\n"
    with pytest.raises(TrainingError, match=r"train failed: learn.py:3: AttributeError") as caught:
        train(request_for(shop(learn=learn)), into=tmp_path / "out")
    assert caught.value.hint
    assert "about to fail" in (tmp_path / "out" / LOG).read_text()
    assert not (tmp_path / "out" / RUN).exists()


def test_a_training_that_dies_says_so_with_its_last_words(shop, request_for, tmp_path):
    learn = (
        "import os, signal, sys\n\n\ndef train(frame):\n    sys.stderr.write('so it ends')\n    sys.stderr.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n\n\ntrain_hastily = train\n"
    )
    with pytest.raises(TrainingError, match=r"ended by signal 9: so it ends"):
        train(request_for(shop(learn=learn)), into=tmp_path / "out")


def test_a_training_that_does_not_end_is_ended(shop, request_for, tmp_path, monkeypatch):
    mark = tmp_path / "begun"
    learn = (
        f"import pathlib, time\n\n\ndef train(frame):\n    pathlib.Path({str(mark)!r}).touch()\n    time.sleep(600)\n\n\n"
        "train_hastily = train\n"
    )

    class Process(subprocess.Popen):
        def wait(self, timeout=None):
            if timeout is None:
                return super().wait()
            wait_for(mark.exists, process=self)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Process)
    with pytest.raises(TrainingError, match="not done after 5 s"):
        train(request_for(shop(learn=learn)), into=tmp_path / "out", timeout_s=5)


def test_the_training_sees_nothing_of_this_environment(shop, request_for, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    learn = "import os\n\n\ndef train(frame):\n    raise ValueError(sorted(os.environ))\n\n\ntrain_hastily = train\n"
    with pytest.raises(TrainingError) as caught:
        train(request_for(shop(learn=learn)), into=tmp_path / "out")
    assert "PYTHONHASHSEED" in caught.value.message
    assert "SECRET_OF_THE_SHELL" not in caught.value.message


def test_an_unknown_dataset_or_a_broken_project_is_its_own_error(shop, request_for, tmp_path):
    folder = shop()
    request = request_for(folder)
    with pytest.raises(NotFoundError, match="no dataset version"):
        train(msgspec.structs.replace(request, dataset="0" * 64), into=tmp_path / "one")
    (folder / "project.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match=r"project.py:1: ZeroDivisionError"):
        train(request, into=tmp_path / "two")


def test_a_wrong_call_of_the_child_is_a_usage_error(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_a_run_without_some_inputs_learns_and_is_judged_without_them(shop, request_for, tmp_path):
    learn = (
        "from sklearn.dummy import DummyClassifier\n\n\n"
        "def train(frame): return DummyClassifier().fit(frame.to_pandas(), frame.label)\n\n\ntrain_hastily = train\n"
    )
    run_training(request_for(shop(learn=learn), without=("recent.rate_24h", "recent.rate_7d", "hour")), tmp_path)
    run = msgspec.json.decode((tmp_path / RUN).read_bytes(), type=Run)
    assert [column.name for column in run.definition.columns] == ["price", "shop"]
    assert run.definition.views == ()
    assert read_frame(tmp_path / VALIDATION).columns == run.definition.columns
