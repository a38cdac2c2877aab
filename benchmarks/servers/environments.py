"""A peer's own environment, made on first use in the cache."""

import subprocess
import sys
import venv
from importlib import metadata

from servers.subject import CACHE


def interpreter(name, requirements):
    """Python of the environment of a peer.

    Raises
    ------
    RuntimeError
        It cannot be installed; with the last line that pip said.
    """
    folder = CACHE / "environments" / name.lower().replace(" ", "-")
    python, stamp = folder / "bin" / "python", folder / "filled"
    engine = [f"{package}=={metadata.version(package)}" for package in ("numpy", "onnxruntime")]
    wanted = "\n".join([*requirements, *engine])
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        print(f"making the environment of {name} (once)", file=sys.stderr)
        if not python.exists():
            venv.create(folder, with_pip=True)
        words = [str(python), "-m", "pip", "install", "-q", "--no-cache-dir", "--disable-pip-version-check"]
        # With our engine, so that the same model runs on the same engine; if the peer refuses that, with its own.
        for chosen in ([*requirements, *engine], [*requirements, "onnxruntime"]):
            done = subprocess.run([*words, *chosen], capture_output=True, text=True, check=False)
            if not done.returncode:
                break
        else:
            raise RuntimeError(f"it cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}")
        stamp.write_text(wanted, "utf-8")
    return str(python)


def installed(python, package):
    """The version of a package in an environment."""
    command = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return subprocess.run([python, "-c", command, package], capture_output=True, text=True, check=False).stdout.strip()
