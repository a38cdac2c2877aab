"""A project whose model is a network: trained, trained again to the same bytes, converted in the cage and proved."""

import hashlib

import msgspec
import numpy as np
import pytest

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.clock import parse_moment
from seakeep.conversion.convert import convert
from seakeep.conversion.session import ScoringSession
from seakeep.project.jobs import TrainRequest, rerun, take_dataset, train
from seakeep.project.load import load_project

pytestmark = pytest.mark.slow
LEARN = '''
import torch
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import seakeep as sk


class Net(nn.Module):
    """Of a class that only this project knows, with weights drawn by chance and dropout in training."""

    def __init__(self, inputs):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, rows):
        return self.body(rows).squeeze(1)


def train(frame):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    names = [column.name for column in frame.columns if column.kind == "number"]
    prepare = make_column_transformer((texts, ["shop"]), (numbers, names))
    rows = torch.from_numpy(prepare.fit_transform(frame.to_pandas())).float()
    labels = torch.from_numpy(frame.label).float()
    net = Net(rows.shape[1])
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(rows), labels).backward()
        optimiser.step()
    return make_pipeline(prepare, sk.Network(net, gives="logits", inputs=rows.shape[1]))


train_hastily = train
'''


def test_a_network_is_trained_again_to_the_same_bytes_and_proved_without_the_projects_classes(shop, tmp_path):
    pytest.importorskip("torch", reason="needs the extra `torch`")
    pytest.importorskip("onnxscript", reason="needs the extra `torch`")
    folder, data = shop(learn=LEARN), tmp_path / "data"
    project = load_project(folder)
    version = take_dataset(project, project.model(), as_of_us=parse_moment("2024-04-09"), store=FileDatasetStore(data))
    request = TrainRequest(
        run="r-000000000001", model="returned", folder=str(folder), data=str(data), dataset=version.id, started_us=1
    )
    first = train(request, into=tmp_path / "first")
    assert first.run.metrics["roc_auc"].value > 0.6
    assert first.run.environment.packages["torch"]
    again = rerun(first.run, msgspec.structs.replace(request, run="r-2"), into=tmp_path / "second")
    assert again.artefact == first.artefact
    converted = convert(
        first.artefact,
        first.validate,
        threshold=first.run.threshold,
        artefact_sha256=hashlib.sha256(first.artefact).hexdigest(),
    )
    assert converted.proof.passed
    assert converted.proof.versions["torch"]
    assert converted.proof.mutants_caught == converted.proof.mutants > 0
    rows = first.validate
    told = ScoringSession(converted.model).score(rows.numbers(), rows.categories())
    assert np.isfinite(told).all()
