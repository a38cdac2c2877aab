"""What the converter is asked for, and what it answers."""

import hashlib

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from seakeep.conversion import convert as module
from seakeep.conversion.convert import convert
from seakeep.conversion.enginesettings import EngineSettings
from seakeep.conversion.native import frame_of
from seakeep.conversion.providers import providers
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn
from seakeep.training.artefact import to_bytes


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
    sha256 = hashlib.sha256(artefact).hexdigest()
    with pytest.raises(ConversionError, match="cuda is not usable here") as caught:
        convert(artefact, frame, threshold=0.5, artefact_sha256=sha256, engine=EngineSettings(accelerator="cuda"))
    assert caught.value.hint
    assert told == ["", "gpu"]
