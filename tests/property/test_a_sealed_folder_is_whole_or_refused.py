"""Whatever is done to the files of a sealed folder, it is read as it was put or it is refused."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.backends.files.sealed import MANIFEST, SIGNATURE, SealedFolders
from seakeep.errors import IntegrityError
from seakeep.security.signing import Signer, Verifier

SIGNER = Signer(b"k" * 32)
MEMORY = Path("/dev/shm")
PLACE = MEMORY if MEMORY.is_dir() else None
"""These laws are not about the disk."""
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True).filter(lambda one: one not in {MANIFEST, SIGNATURE})
FILES = st.dictionaries(NAMES, st.binary(max_size=60), max_size=5)


@contextlib.contextmanager
def sealed(files, **changes):
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        folders = SealedFolders(Path(place), signer=SIGNER, verifier=Verifier(SIGNER.public))
        digest = folders.put(files, **{"model": "m", "run": "r", "created_us": 5, **changes})
        yield folders, digest, Path(place) / digest


@settings(max_examples=25)
@given(FILES, st.text(max_size=10), st.text(max_size=10), st.integers(-(2**53), 2**53))
def test_what_was_put_is_read(files, model, run, created_us):
    with sealed(files, model=model, run=run, created_us=created_us) as (folders, digest, _):
        assert folders.read(digest) == files
        manifest = folders.manifest(digest)
        assert (manifest.model, manifest.run, manifest.created_us) == (model, run, created_us)


@settings(max_examples=25)
@given(FILES, FILES)
def test_two_folders_have_one_digest_only_if_they_hold_the_same(files, others):
    with sealed(files) as (_, digest, _), sealed(others) as (_, other, _):
        assert (digest == other) is (files == others)


def alter(folder, data):
    """One change of the files of a folder; returns whether it is another one than before."""
    name = data.draw(st.sampled_from(sorted(one.name for one in folder.iterdir())))
    path, content = folder / name, (folder / name).read_bytes()
    kind = data.draw(st.sampled_from(["write", "cut", "insert", "remove", "rename", "add", "swap"]))
    place, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(1, 4))
    match kind:
        case "write" | "insert":
            fresh = data.draw(st.binary(min_size=1, max_size=4))
            rest = content[place + (len(fresh) if kind == "write" else 0) :]
            path.write_bytes(content[:place] + fresh + rest)
            return path.read_bytes() != content
        case "cut":
            path.write_bytes(content[:place] + content[place + length :])
            return path.read_bytes() != content
        case "remove":
            path.unlink()
        case "rename" | "add":
            new = data.draw(NAMES.filter(lambda one: not (folder / one).exists()))
            path.rename(folder / new) if kind == "rename" else (folder / new).write_bytes(content)
        case "swap":
            other = folder / data.draw(st.sampled_from(sorted(one.name for one in folder.iterdir())))
            theirs = other.read_bytes()
            path.write_bytes(theirs)
            other.write_bytes(content)
            return theirs != content
    return True


@settings(max_examples=120)
@given(FILES, st.data())
def test_any_change_is_refused(files, data):
    with sealed(files) as (folders, digest, folder):
        if alter(folder, data):
            with pytest.raises(IntegrityError):
                folders.read(digest)
        else:
            assert folders.read(digest) == files


@settings(max_examples=25)
@given(FILES, FILES)
def test_one_folder_does_not_pass_for_another(files, others):
    with sealed(files) as (folders, digest, folder), sealed(others) as (_, other, theirs):
        shutil.copytree(theirs, folder, dirs_exist_ok=True)
        if digest == other:
            assert folders.read(digest) == files
        else:
            with pytest.raises(IntegrityError):
                folders.read(digest)
