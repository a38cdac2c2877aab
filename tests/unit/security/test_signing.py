import msgspec
import pytest

from seakeep.errors import IntegrityError
from seakeep.records.version import FileEntry, Manifest
from seakeep.security.signing import Signer, Verifier, canonical

# RFC 8032, section 7.1, test 2.
PRIVATE = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_signatures_are_those_of_the_specification():
    assert Signer(PRIVATE).public == PUBLIC
    assert Signer(PRIVATE).sign(b"\x72") == SIGNATURE
    Verifier(PUBLIC).verify(b"\x72", SIGNATURE)


@pytest.mark.parametrize("content", [b"", b"\x73", b"\x72\x00", b"\x00\x72"])
def test_another_content_does_not_verify(content):
    with pytest.raises(IntegrityError, match="does not verify"):
        Verifier(PUBLIC).verify(content, SIGNATURE)


@pytest.mark.parametrize(
    "signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\0", bytes(64), SIGNATURE[32:] + SIGNATURE[:32]]
)
def test_a_signature_of_another_form_does_not_verify(signature):
    with pytest.raises(IntegrityError, match="does not verify"):
        Verifier(PUBLIC).verify(b"\x72", signature)


def test_no_flipped_bit_of_a_signature_verifies():
    for place in range(len(SIGNATURE) * 8):
        flipped = bytearray(SIGNATURE)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(IntegrityError):
            Verifier(PUBLIC).verify(b"\x72", bytes(flipped))


def test_another_key_does_not_verify():
    with pytest.raises(IntegrityError):
        Verifier(Signer(b"e" * 32).public).verify(b"\x72", SIGNATURE)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size):
    for kind in (Signer, Verifier):
        with pytest.raises(ValueError):
            kind(bytes(size))


def test_canonical_json_has_sorted_keys_no_spaces_and_utf_8():
    assert canonical({"b": 1, "a": {"d": [1.5, None], "ç": True}}) == '{"a":{"d":[1.5,null],"ç":true},"b":1}'.encode()


def test_records_are_canonical_by_the_names_of_their_fields():
    manifest = Manifest(model="m", run="r", created_us=5, files=(FileEntry(path="a", size=1, sha256="0"),))
    assert canonical(manifest) == b'{"created_us":5,"files":[{"path":"a","sha256":"0","size":1}],"model":"m","run":"r"}'
    assert msgspec.json.decode(canonical(manifest), type=Manifest) == manifest
