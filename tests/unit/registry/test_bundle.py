import msgspec
import pytest
from tests.registering import ONNX, definition, digest, proof, run, written

from seakeep.backends.files.sealed import SealedFolders
from seakeep.errors import IntegrityError, NotFoundError
from seakeep.registry.bundle import (
    DEFINITION,
    ENVIRONMENT,
    MODEL,
    NATIVE,
    PARITY,
    RUN,
    Bundles,
    bundle_files,
    parse_bundle,
)
from seakeep.security.signing import Signer, Verifier

SIGNER = Signer(b"k" * 32)
FILES = bundle_files(run(), ONNX, proof())


@pytest.fixture
def folders(tmp_path):
    return SealedFolders(tmp_path / "bundles", signer=SIGNER, verifier=Verifier(SIGNER.public))


@pytest.fixture
def bundles(folders):
    return Bundles(folders)


def test_a_bundle_is_opened_as_it_was_put(bundles):
    name = bundles.put(run(threshold=0.25), ONNX, proof(), created_us=5)
    bundle = bundles.open(name)
    assert (bundle.digest, bundle.model, bundle.threshold) == (name, ONNX, 0.25)
    assert written(bundle.run) == written(run(threshold=0.25))
    assert written(bundle.definition) == written(definition())
    assert bundle.proof == proof()


def test_the_same_version_is_the_same_bundle(bundles):
    first = bundles.put(run(), ONNX, proof(), created_us=5)
    assert bundles.put(run(), ONNX, proof(), created_us=5) == first
    assert bundles.put(run(), ONNX, proof(), created_us=6) != first


def test_the_manifest_names_the_model_and_the_run(bundles, folders):
    manifest = folders.manifest(bundles.put(run(), ONNX, proof(), created_us=5))
    assert (manifest.model, manifest.run, manifest.created_us) == ("late", run().id, 5)
    assert {entry.path for entry in manifest.files} == {MODEL, DEFINITION, RUN, PARITY, ENVIRONMENT}


def test_a_natively_served_model_is_in_a_file_of_its_own_name(bundles, folders):
    packed = b"PK\x03\x04 a packed estimator"
    name = bundles.put(run(), packed, proof(packed), created_us=5)
    assert {entry.path for entry in folders.manifest(name).files} == {NATIVE, DEFINITION, RUN, PARITY, ENVIRONMENT}
    assert bundles.open(name).model == packed


def test_the_environment_is_as_pip_reads_it():
    assert FILES[ENVIRONMENT] == b"# Python 3.11.7 on linux\nnumpy==2.1.0\nonnx==1.18.0\n"


def test_the_texts_of_a_bundle_can_be_read_by_people():
    assert FILES[RUN].startswith(b'{\n "id": "r-000000000001",\n')


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({PARITY: written(proof(passed=False))}, "its parity proof failed"),
        ({MODEL: ONNX + b"\0"}, "its parity proof is of another model"),
        ({PARITY: written(proof(b"other"))}, "its parity proof is of another model"),
        ({PARITY: written(proof(artefact_sha256=digest("x")))}, "its parity proof is of another estimator"),
        ({RUN: written(run(artefact=digest("x")))}, "its parity proof is of another estimator"),
        ({DEFINITION: written(definition("fraud"))}, "its definition is not the one of its run"),
        ({RUN: written(run(definition=definition("fraud")))}, "its definition is not the one of its run"),
    ],
)
def test_parts_that_are_not_of_one_version_are_not_to_be_trusted(changes, fault):
    with pytest.raises(IntegrityError, match=f"not to be trusted: {fault}") as raised:
        parse_bundle("d" * 64, {**FILES, **changes})
    assert raised.value.hint == "convert the run again"


@pytest.mark.parametrize("name", [MODEL, DEFINITION, RUN, PARITY])
def test_a_part_that_is_missing_cannot_be_read(name):
    with pytest.raises(IntegrityError, match="cannot be read"):
        parse_bundle("d" * 64, {one: content for one, content in FILES.items() if one != name})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"name":"\xff"}'])
@pytest.mark.parametrize("name", [DEFINITION, RUN, PARITY])
def test_a_part_of_another_form_cannot_be_read(name, content):
    with pytest.raises(IntegrityError, match="cannot be read") as raised:
        parse_bundle("d" * 64, {**FILES, name: content})
    assert "another version of seakeep" in raised.value.hint


def test_what_is_not_to_be_trusted_is_not_put(bundles, tmp_path):
    for model, shown in ((ONNX, proof(passed=False)), (b"other", proof()), (ONNX, proof(artefact_sha256="0"))):
        with pytest.raises(IntegrityError, match="bundle new is not to be trusted"):
            bundles.put(run(), model, shown, created_us=5)
    assert not (tmp_path / "bundles").exists()


def test_a_bundle_is_verified_whenever_it_is_opened(bundles, tmp_path):
    name = bundles.put(run(), ONNX, proof(), created_us=5)
    bundles.open(name)
    path = tmp_path / "bundles" / name / MODEL
    path.write_bytes(ONNX[:-1] + b"L")
    with pytest.raises(IntegrityError, match=r"model\.onnx of .* was changed"):
        bundles.open(name)
    path.write_bytes(ONNX)
    bundles.open(name)


def test_a_bundle_that_is_not_there(bundles):
    with pytest.raises(NotFoundError):
        bundles.open(digest("nothing"))


def test_a_definition_survives_its_travel():
    bundle = parse_bundle("d" * 64, FILES)
    assert written(msgspec.json.decode(FILES[DEFINITION], type=type(bundle.definition))) == written(bundle.definition)
    assert bundle.definition.request_features.keys() == {"distance"}
