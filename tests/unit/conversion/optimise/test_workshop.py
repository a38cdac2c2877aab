"""The process that makes candidates: in the cage as it is, and what it tells of those that cannot be made."""

import hashlib
import pickle  # noqa: TID251 -- of what this test wrote

import msgspec
import numpy as np
import pytest

from seakeep.conversion.emit.model import emit
from seakeep.conversion.enginesettings import EngineSettings, executed
from seakeep.conversion.optimise import workshop
from seakeep.conversion.optimise.maker import make
from seakeep.conversion.optimise.workshop import Request, Told
from seakeep.errors import ConversionError
from seakeep.records.optimise import Recipe
from seakeep.training.artefact import to_bytes
from seakeep.training.fit import predict
from seakeep.training.frames import write_frame

from .conftest import material

HALF = Recipe(by="trees", told="6 of 12 trees", settings={"trees": 6})
THREADS = Recipe(by="engine", told="2 threads", settings={"threads": 2})


def request(source, **changes):
    return Request(artefact_sha256=hashlib.sha256(source).hexdigest(), **changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A request's folder for a call in this process, whose limits stay."""
    monkeypatch.setattr(workshop, "limit", lambda *_: None)

    def written(about, **changes):
        source = to_bytes(about.source)
        (tmp_path / workshop.SOURCE).write_bytes(source)
        write_frame(tmp_path / workshop.LEARN, about.learn)
        write_frame(tmp_path / workshop.CALIBRATE, about.calibrate)
        asked = request(source, outputs=about.outputs, **changes)
        (tmp_path / workshop.REQUEST).write_bytes(msgspec.json.encode(asked))
        return tmp_path

    return written


def told(folder):
    workshop.run(folder)
    return msgspec.json.decode((folder / workshop.MADE).read_bytes(), type=list[Told])


def test_each_recipe_has_its_estimator_and_its_model_or_a_reason(folder):
    about = material("histogram")
    place = folder(about, recipes=(HALF, THREADS, Recipe(by="magic", told="magic")))
    assert [one.fault for one in told(place)] == ["", "", "not made: nothing makes 'magic'"]
    made = make(HALF, about)
    half = pickle.loads((place / "0.pkl").read_bytes())
    np.testing.assert_array_equal(predict(half, about.calibrate), predict(made, about.calibrate))
    assert (place / "0.onnx").read_bytes() == emit(made, about.learn.columns).model
    plain = emit(about.source, about.learn.columns).model
    assert (place / "1.onnx").read_bytes() == executed(plain, EngineSettings(threads=2))
    assert not (place / "2.onnx").exists()


def test_what_the_makers_propose_is_made_if_nothing_else_is_asked(folder):
    made = told(folder(material("forest"), budget_s=60.0))
    assert [one.fault for one in made] == [""] * len(made)
    assert {one.recipe.by for one in made} == {"engine", "trees", "distil", "perceptron"}


def test_nothing_is_begun_once_the_time_is_up(folder):
    made = told(folder(material("boosting"), budget_s=0.0))
    assert {one.fault for one in made} == {"not made: no time was left"}


def test_what_a_framework_raises_is_one_candidate_the_less(folder, monkeypatch):
    def broken(recipe, material):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("seakeep.conversion.optimise.maker.make", broken)
    (one,) = told(folder(material("forest"), recipes=(HALF,)))
    assert one.fault == "not made: ZeroDivisionError: by nothing"


def test_a_source_that_is_not_the_recorded_one_is_refused(folder):
    place = folder(material("forest"))
    (place / workshop.SOURCE).write_bytes(b"another")
    with pytest.raises(ConversionError, match="not the one the run recorded"):
        workshop.run(place)
