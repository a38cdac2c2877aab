"""A bundle that is damaged, forged or gone is refused by name, and the old version goes on answering."""

import hashlib
import shutil

import pytest
from tests.serving_rig import Rig, definition, onnx_model
from tests.serving_runs import run, serving, until

from seakeep.backends.files.sealed import SealedFolders
from seakeep.records.release import Route
from seakeep.records.run import Environment, Run
from seakeep.records.version import ParityProof
from seakeep.registry.bundle import Bundles
from seakeep.security.signing import Signer, Verifier

OURS, THEIRS = Signer(b"k" * 32), Signer(b"x" * 32)


def sealed(rig, signer=OURS):
    return SealedFolders(rig.folder / "sealed", signer=signer, verifier=Verifier(OURS.public))


def put(rig, number, *, signer=OURS, name="late"):
    """A version in a real signed bundle; its champion's route."""
    model, artefact = onnx_model(bias=number / 8), hashlib.sha256(b"estimator").hexdigest()
    trained = Run(
        id=f"r-{number:012x}", model=name, started_us=0, seconds=1.0, seed=0, as_of_us=0, validate_from_us=0,
        dataset="d", code={}, definition=definition(name), definition_digest="", artefact=artefact,
        environment=Environment(python="3", platform="linux", cpu="", packages={}), rows_trained=1, rows_validated=1,
        threshold=0.5, metrics={}, baselines={}, paired={}, slices={},
    )  # fmt: skip
    proof = ParityProof(
        passed=True, cases={}, max_difference=0.0, flips=0, nan_mismatches=0, error_mismatches=0, tolerance=0.0,
        batch_sizes=(1,), worst={}, versions={}, model_sha256=hashlib.sha256(model).hexdigest(),
        artefact_sha256=artefact, digest="",
    )  # fmt: skip
    digest = Bundles(sealed(rig, signer)).put(trained, model, proof, created_us=number)
    return Route(model="late", version=number, bundle=digest, role="champion", weight=1.0)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(bytes(content))


def damage(what, rig, route):
    folder = rig.folder / "sealed" / route.bundle
    match what.split():
        case ["flip", name, place]:
            flip(folder / name, float(place))
        case ["cut", name]:
            (folder / name).write_bytes((folder / name).read_bytes()[:-1])
        case ["remove", name]:
            (folder / name).unlink()
        case ["add"]:
            (folder / "extra.onnx").write_bytes(b"")
        case ["link"]:
            shutil.move(folder / "model.onnx", rig.folder / "elsewhere.onnx")
            (folder / "model.onnx").symlink_to(rig.folder / "elsewhere.onnx")
        case ["swap", name]:
            other = put(rig, 77)
            shutil.copy(rig.folder / "sealed" / other.bundle / name, folder / name)
        case ["gone"]:
            shutil.rmtree(folder)


DAMAGES = [
    "flip model.onnx 0", "flip model.onnx 0.5", "flip model.onnx 1", "flip definition.json 0.5", "flip run.json 0.3",
    "flip parity.json 0.1", "flip manifest.json 0.5", "flip manifest.sig 0", "cut model.onnx", "cut manifest.sig",
    "remove model.onnx", "remove manifest.json", "remove manifest.sig", "add", "link", "swap model.onnx",
    "swap manifest.json", "swap manifest.sig", "gone",
]  # fmt: skip


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


@pytest.fixture(autouse=True)
def silent(caplog):
    caplog.set_level("CRITICAL", "seakeep.serving")


async def refused_while_the_old_one_answers(rig, first, second):
    async with serving(rig, bundles=Bundles(sealed(rig))) as service:
        before = await service.predict()
        rig.releases.put(second)
        await until(lambda: service.worker._loader.state.failures)
        after = [await service.predict() for _ in range(20)]
        return before, after, service.worker._loader.state


@pytest.mark.parametrize("what", DAMAGES)
def test_a_version_whose_bundle_was_changed_never_answers_and_the_old_one_does(rig, what):
    first, second = put(rig, 1), put(rig, 2)
    rig.releases.put(first)
    damage(what, rig, second)
    before, after, state = run(refused_while_the_old_one_answers(rig, first, second))
    assert {answer["model_version"] for answer in (before, *after)} == {"1"}
    (failure,) = state.failures
    assert (failure.model, failure.version) == ("late", 2)
    assert failure.code == ("not-found" if what == "gone" else "integrity")
    assert state.ready


def test_a_bundle_signed_by_somebody_else_never_answers(rig):
    first = put(rig, 1)
    rig.releases.put(first)
    before, after, state = run(refused_while_the_old_one_answers(rig, first, put(rig, 2, signer=THEIRS)))
    assert {answer["model_version"] for answer in (before, *after)} == {"1"}
    assert [failure.code for failure in state.failures] == ["integrity"]


def test_a_bundle_of_another_model_never_answers_for_this_one(rig):
    first = put(rig, 1)
    rig.releases.put(first)
    _, after, state = run(refused_while_the_old_one_answers(rig, first, put(rig, 2, name="other")))
    assert {answer["model_version"] for answer in after} == {"1"}
    assert [failure.code for failure in state.failures] == ["integrity"]


def test_a_bundle_that_is_restored_is_loaded_at_the_next_try(rig, monkeypatch):
    monkeypatch.setattr("seakeep.serving.loader.RETRY_S", 0.05)
    first, second = put(rig, 1), put(rig, 2)
    path = rig.folder / "sealed" / second.bundle / "model.onnx"
    content = path.read_bytes()
    damage("flip model.onnx 0.5", rig, second)
    rig.releases.put(first)

    async def scenario():
        async with serving(rig, bundles=Bundles(sealed(rig))) as service:
            rig.releases.put(second)
            await until(lambda: service.worker._loader.state.failures)
            path.write_bytes(content)
            await until(lambda: not service.worker._loader.state.failures)
            return await service.predict()

    assert run(scenario())["model_version"] == "2"


def test_a_bundle_that_is_damaged_after_it_was_loaded_is_not_read_again(rig):
    first = put(rig, 1)
    rig.releases.put(first)

    async def scenario():
        async with serving(rig, bundles=Bundles(sealed(rig))) as service:
            damage("gone", rig, first)
            return await service.predict()

    assert run(scenario())["model_version"] == "1"
