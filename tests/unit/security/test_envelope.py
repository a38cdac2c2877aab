import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from seakeep.errors import IntegrityError
from seakeep.security.envelope import TAG_BYTES, DataKey, WrappingKey

KEY, OTHER = DataKey(b"k" * 32), DataKey(b"o" * 32)


def test_a_piece_is_aes_256_gcm_under_its_number():
    sealed = KEY.seal(7, b"plain", b"bound")
    assert AESGCM(b"k" * 32).decrypt((7).to_bytes(12, "big"), sealed, b"bound") == b"plain"
    assert len(sealed) == len(b"plain") + TAG_BYTES
    assert KEY.open(7, memoryview(sealed), b"bound") == b"plain"


@pytest.mark.parametrize(
    ("key", "number", "bound"), [(OTHER, 7, b"bound"), (KEY, 8, b"bound"), (KEY, 7, b""), (KEY, 7, b"bounD")]
)
def test_a_piece_opens_only_as_it_was_sealed(key, number, bound):
    with pytest.raises(IntegrityError, match="changed"):
        key.open(number, KEY.seal(7, b"plain", b"bound"), bound)


def test_every_bit_of_a_piece_counts():
    sealed = KEY.seal(1, b"plain text")
    for place in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(IntegrityError):
            KEY.open(1, bytes(changed))
    with pytest.raises(IntegrityError):
        KEY.open(1, sealed[:-1])


def test_a_wrapped_key_is_of_one_file_and_one_wrapping_key():
    wrapping = WrappingKey(b"w" * 32)
    wrapped = wrapping.wrap(KEY, "worker-0-00000001")
    assert wrapping.unwrap(wrapped, "worker-0-00000001").secret == KEY.secret
    assert wrapping.wrap(KEY, "worker-0-00000001") != wrapped, "the nonce is random"
    for key, name in ((wrapping, "worker-0-00000002"), (WrappingKey(b"v" * 32), "worker-0-00000001")):
        with pytest.raises(IntegrityError):
            key.unwrap(wrapped, name)


def test_the_id_names_a_wrapping_key():
    assert WrappingKey(b"w" * 32).id == WrappingKey(b"w" * 32).id
    assert WrappingKey(b"w" * 32).id != WrappingKey(b"v" * 32).id
    assert len(WrappingKey(b"w" * 32).id) == 16
