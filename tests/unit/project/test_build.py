import pytest

from seakeep.clock import FixedClock, parse_moment
from seakeep.errors import ConversionError, NotFoundError, TrainingError
from seakeep.project import open_project

NOW = FixedClock(parse_moment("2024-04-09"))


def test_a_trainer_that_is_not_there_is_told_before_the_data_are_read(shop):
    loader = "def load():\n    raise OSError('the data were read')\n\n\ntables = {"
    project = open_project(shop(("tables = {", loader), ('orders: "orders.csv"', "orders: load")), clock=NOW)
    with pytest.raises(NotFoundError, match=r"no function 'train_badly' in project\.py"):
        project.train(trainer="train_badly")
    assert project.stores.datasets.manifests() == []


@pytest.mark.slow
def test_a_training_that_is_killed_is_told_and_leaves_nothing(shop):
    learn = "import os, signal\n\n\ndef train(frame): os.kill(os.getpid(), signal.SIGKILL)\n\n\ntrain_hastily = train\n"
    project = open_project(shop(learn=learn), clock=NOW)
    with pytest.raises(TrainingError, match="ended by signal 9"):
        project.train()
    assert project.stores.runs.list() == project.stores.audit.list() == []
    assert not project.home.artefacts.exists()


@pytest.mark.slow
def test_an_estimator_that_cannot_be_converted_is_told_and_registers_nothing(shop):
    learn = (
        "from sklearn.compose import ColumnTransformer\nfrom sklearn.gaussian_process import GaussianProcessClassifier\n"
        "from sklearn.pipeline import Pipeline\nfrom sklearn.impute import SimpleImputer\n\n\n"
        "def train(frame):\n"
        "    columns = ColumnTransformer([('price', SimpleImputer(), ['price'])])\n"
        "    model = Pipeline([('columns', columns), ('model', GaussianProcessClassifier(optimizer=None))])\n"
        "    return model.fit(frame.to_pandas()[:100], frame.label[:100])\n\n\ntrain_hastily = train\n"
    )
    project = open_project(shop(learn=learn), clock=NOW)
    run = project.train()
    with pytest.raises(ConversionError, match="GaussianProcessClassifier has no exact emitter") as caught:
        project.convert(run.id)
    assert caught.value.hint
    assert project.stores.versions.list("returned") == []
    assert not project.home.bundles.exists()
    assert [entry.action for entry in project.stores.audit.list()] == ["train"]
