import contextlib
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from seakeep.backends.files import sealed
from seakeep.backends.files.sealed import MANIFEST, SIGNATURE, SealedFolders
from seakeep.errors import IntegrityError, PlatformError
from seakeep.security.signing import Signer, Verifier

SIGNER = Signer(b"k" * 32)
FILES = {"model.onnx": bytes(range(256)), "run.json": b'{"id": 1}', "empty": b""}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "bundles"


@pytest.fixture
def folders(root):
    return SealedFolders(root, signer=SIGNER, verifier=Verifier(SIGNER.public))


def put(folders, files=FILES):
    return folders.put(files, model="late", run="r-1", created_us=5)


@pytest.fixture
def folder(folders, root):
    return root / put(folders)


def reads(folders, name):
    return [
        lambda: folders.read(name),
        lambda: folders.manifest(name),
        lambda: [folders.read_file(name, one) for one in FILES],
    ]


def refused(folders, name):
    """Whether at least the reading of all files is refused, and nothing but a fault of the store is raised."""
    outcomes = []
    for read in reads(folders, name):
        try:
            read()
            outcomes.append(False)
        except IntegrityError:
            outcomes.append(True)
    return outcomes[0] and (outcomes[1] or outcomes[2])


def test_only_the_owner_can_read_a_folder(folder, root):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, folder, *folder.iterdir())}
    assert modes.pop(root.name) == modes.pop(folder.name) == 0o700
    assert set(modes) == {*FILES, MANIFEST, SIGNATURE}
    assert set(modes.values()) == {0o600}


def test_nothing_is_left_beside_the_folders(folder, root):
    assert list(root.iterdir()) == [folder]


@pytest.mark.parametrize("name", [*FILES, MANIFEST, SIGNATURE])
def test_any_flipped_bit_is_found(folders, folder, name):
    path = folder / name
    content = path.read_bytes() or b""
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        assert refused(folders, folder.name), f"byte {place}"
    path.write_bytes(content)
    assert folders.read(folder.name) == FILES


@pytest.mark.parametrize("name", [*FILES, MANIFEST, SIGNATURE])
@pytest.mark.parametrize(
    "change", [lambda c: c + b"\0", lambda c: c[:-1] or b"\0", lambda c: b"\n" + c, lambda _: b"?"]
)
def test_a_file_of_another_length_is_found(folders, folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    assert refused(folders, folder.name)


@pytest.mark.parametrize("name", [*FILES, MANIFEST, SIGNATURE])
def test_a_file_that_was_removed_or_renamed_is_found(folders, folder, name):
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    assert refused(folders, folder.name)
    (folder / f"{name}2").write_bytes(content)
    assert refused(folders, folder.name)


@pytest.mark.parametrize("name", ["model.data", ".hidden", "run.json~", "Z", "é", "manifest.json.bak"])
def test_a_file_that_was_added_is_found(folders, folder, name):
    (folder / name).write_bytes(b"")
    assert refused(folders, folder.name)


def test_an_added_folder_and_an_added_link_are_found(folders, folder, tmp_path):
    (folder / "sub").mkdir()
    assert refused(folders, folder.name)
    (folder / "sub").rmdir()
    (folder / "link").symlink_to(tmp_path)
    assert refused(folders, folder.name)


def opened_in(folder):
    """What of a folder this process has open; other threads may open and close what they like."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(one.readlink()))
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.parametrize("name", [*FILES, MANIFEST, SIGNATURE])
@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe"])
def test_what_is_no_plain_file_is_found(folders, folder, tmp_path, name, kind):
    path = folder / name
    path.rename(tmp_path / "same")
    {
        "link": lambda: path.symlink_to(tmp_path / "same"),
        "dangling": lambda: path.symlink_to(tmp_path / "nothing"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    assert refused(folders, folder.name)
    assert not opened_in(folder)


def test_files_that_changed_places_are_found(folders, folder):
    a, b = folder / "model.onnx", folder / "run.json"
    a.rename(folder / "c")
    b.rename(a)
    (folder / "c").rename(b)
    assert refused(folders, folder.name)


def test_the_content_of_another_folder_is_found(folders, folder, root):
    other = root / put(folders, {"model.onnx": b"other"})
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    assert refused(folders, folder.name)


def test_a_manifest_that_was_made_for_changed_files_needs_the_key(folders, folder, root):
    files = {**FILES, "model.onnx": b"evil"}
    forger = SealedFolders(
        root.parent / "forged", signer=Signer(b"e" * 32), verifier=Verifier(Signer(b"e" * 32).public)
    )
    name = forger.put(files, model="late", run="r-1", created_us=5)
    shutil.copytree(root.parent / "forged" / name, root / name)
    assert refused(folders, name)
    shutil.copy(folder / SIGNATURE, root / name / SIGNATURE)
    assert refused(folders, name)


def test_another_way_to_write_the_same_manifest_is_another_manifest(folders, folder):
    content = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(content.replace(b",", b", ", 1))
    assert refused(folders, folder.name)


def test_what_is_damaged_is_not_mended_silently_by_putting_it_again(folders, folder):
    (folder / "run.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=r"run\.json of .* was changed"):
        put(folders)


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_makes_is_not(folders, root):
    root.mkdir()
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    dead, alive = root / f".putting-{process}-00ff", root / f".putting-{os.getppid()}-00ff"
    own, foreign = root / f".putting-{os.getpid()}-00ff", root / ".putting-by-hand"
    for left in (dead, alive, own, foreign):
        left.mkdir()
        (left / "model.onnx").write_bytes(b"half")
    name = put(folders)
    assert {path.name for path in root.iterdir()} == {name, alive.name, own.name, foreign.name}


def test_what_this_process_left_half_is_not_in_the_way(folders, root):
    """After a kill a container's next process has the same number."""
    root.mkdir()
    for name in (put(folders), put(folders, {"a": b"1"})):
        shutil.rmtree(root / name)
        (root / f".putting-{os.getpid()}-{name[:12]}").mkdir()
    assert folders.read(put(folders)) == FILES


def test_threads_that_put_the_same_at_once_all_succeed(folders, root):
    barrier, names, faults = threading.Barrier(6), [], []

    def race():
        barrier.wait()
        try:
            names.extend(put(folders, {"model.onnx": str(number).encode()}) for number in range(10))
        except BaseException as error:  # noqa: BLE001 -- told to the test
            faults.append(error)

    racers = [threading.Thread(target=race) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert faults == []
    assert len(set(names)) == 10
    assert {path.name for path in root.iterdir()} == set(names)
    assert {folders.read(name)["model.onnx"] for name in names} == {str(number).encode() for number in range(10)}


def test_who_comes_second_finds_what_the_first_put(folders, root, monkeypatch):
    """Another process puts the same in the moment before the folder is renamed into its place."""
    first = SealedFolders(root, signer=SIGNER, verifier=Verifier(SIGNER.public))
    sync = sealed._sync

    def overtaken(folder):
        monkeypatch.setattr(sealed, "_sync", sync)
        put(first)
        sync(folder)

    monkeypatch.setattr(sealed, "_sync", overtaken)
    name = put(folders)
    assert folders.read(name) == FILES
    assert [path.name for path in root.iterdir()] == [name]


def test_a_file_where_the_folders_should_be_is_told(tmp_path):
    (tmp_path / "bundles").write_text("")
    folders = SealedFolders(tmp_path / "bundles", signer=SIGNER, verifier=Verifier(SIGNER.public))
    with pytest.raises(PlatformError, match="cannot store") as raised:
        put(folders)
    assert "nothing was changed" in raised.value.hint
