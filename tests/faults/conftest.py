import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def fill(small_disk):
    """Takes all the room there is; returns what gives it back."""

    def filled():
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (65_536, 4_096):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue
        return ballast.unlink

    return filled


@pytest.fixture
def read_only(small_disk):
    """Lets nobody write to the disk any more."""

    def remounted():
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    return remounted
