import numpy as np
import pytest

from seakeep.errors import IntegrityError
from seakeep.training.frames import read_frame, write_frame


def test_a_frame_comes_back_as_it_was(make_frame, tmp_path):
    frame = make_frame(rows=200)
    frame.values["kind"][:5] = ["", "naïve", "ends in NUL\0", "雪", "\ud800"]
    frame.label[3] = np.nan
    write_frame(tmp_path / "f.npz", frame)
    back = read_frame(tmp_path / "f.npz")
    assert back.columns == frame.columns
    assert back.key.tolist() == frame.key.tolist()
    for name, values in frame.values.items():
        np.testing.assert_array_equal(back.values[name], values)
        assert back.values[name].dtype == values.dtype
    for name in ("time_us", "label", "label_known_us"):
        np.testing.assert_array_equal(getattr(back, name), getattr(frame, name))


def test_an_empty_frame_comes_back(make_frame, tmp_path):
    write_frame(tmp_path / "f.npz", make_frame(rows=9).select(np.zeros(9, dtype=bool)))
    assert len(read_frame(tmp_path / "f.npz")) == 0


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_torn_file_is_refused(make_frame, tmp_path, keep):
    path = tmp_path / "f.npz"
    write_frame(path, make_frame(rows=50))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(IntegrityError, match="is not whole"):
        read_frame(path)


def test_a_flipped_byte_is_noticed(make_frame, tmp_path):
    path = tmp_path / "f.npz"
    write_frame(path, make_frame(rows=50))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        read_frame(path)


def test_a_file_with_code_in_it_is_refused(tmp_path):
    path = tmp_path / "f.npz"
    np.savez(path, columns=np.array([object()], dtype=object))
    with pytest.raises(IntegrityError):
        read_frame(path)
