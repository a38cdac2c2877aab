"""A cage for code that nobody vouches for: a pickle runs what it likes when it is read.

Linux namespaces (``namespaces(7)``, ``user_namespaces(7)``, ``mount_setattr(2)``) that a process without rights may make
for itself: no network, all files read-only but a few that are named, and a process tree that ends as a whole.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE, _NO_SUID, _NO_DEVICES = 4096, 16384, 1 << 18, 2, 4  # sys/mount.h
_MOUNT_SETATTR, _AT_RECURSIVE, _READ_ONLY, _HERE = 442, 0x8000, 1, -100  # sys/mount.h, fcntl.h
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38  # sys/prctl.h
_CAPABILITIES = 0x20080522  # linux/capability.h, version 3
_SCRATCH_BYTES = 256 * 1024**2
PROCESSES = 64
"""Processes and threads in the cage."""


def confine(writable: Sequence[Path], scratch: Path) -> str:
    """Go on in a cage, in a child of this process, which waits for it and ends as it ends.

    Parameters
    ----------
    writable
        Existing files, all that can be written outside of ``scratch``.
    scratch
        An existing empty folder; it becomes one in memory, of 256 MiB at most, that ends with the cage.

    Returns
    -------
    str
        What is missing, in words, and then nothing was changed but the namespaces; ``""``: the cage is closed.
    """
    missing = _leave(writable, scratch)
    if missing:
        return missing
    _call("prctl", _DUMPABLE, 0, 0, 0, 0)  # what is in the cage cannot look into those who watch over it
    watcher, guard = os.getpid(), os.fork()
    if guard:
        _end_as(guard)
    # The first process of the tree: the kernel ends all others with it, and it ends with its parent.
    _call("prctl", _DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() not in {0, watcher}:
        os._exit(1)
    caged = os.fork()
    if caged:
        _reap(caged)
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    _disarm()
    return ""


def _leave(writable: Sequence[Path], scratch: Path) -> str:
    user, group = os.getuid(), os.getgid()
    if user == 0:
        return "the limit on processes does not bind the superuser"
    try:
        _call("unshare", _NEW_USER | _NEW_NETWORK | _NEW_PROCESSES | _NEW_MOUNTS | _NEW_IPC)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text, "ascii")
    except (OSError, AttributeError) as error:
        return f"this system gives a process no namespaces of its own, so no barrier to network and processes ({error})"
    try:
        _mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
        for path in writable:
            _mount(os.fsencode(path), os.fsencode(path), None, _BIND, None)
        _set_read_only("/", on=True, flags=_AT_RECURSIVE)
        for path in writable:
            _set_read_only(str(path), on=False)
        size = f"size={_SCRATCH_BYTES},nr_inodes=4096,mode=0700".encode()
        _mount(b"scratch", os.fsencode(scratch), b"tmpfs", _NO_SUID | _NO_DEVICES, size)
    except OSError as error:
        return f"this system does not let a process make its files read-only ({error})"
    return ""


def _disarm() -> None:
    """Give up the rights over the new namespaces, which would open them again."""
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call("capset", struct.pack("=Ii", _CAPABILITIES, 0), bytes(24))
    _call("prctl", _DUMPABLE, 1, 0, 0, 0)


def _reap(caged: int) -> None:
    while True:
        process, status = os.wait()  # orphans in the cage become children of its first process
        if process == caged:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _end_as(guard: int) -> None:
    # A thread cannot be started once children are to have a process tree of their own: the lifeline is watched here.
    ended = os.pidfd_open(guard)
    ready, _, _ = select.select([ended, *[0] * stat.S_ISFIFO(os.fstat(0).st_mode)], [], [])
    if ended not in ready:
        os.kill(guard, signal.SIGKILL)
    _, status = os.waitpid(guard, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.stderr.flush()
    if code > 128:
        os.kill(os.getpid(), code - 128)
    os._exit(code if code >= 0 else 1)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None) -> None:
    _call("mount", source, target, kind, ctypes.c_ulong(flags), data)


def _set_read_only(path: str, *, on: bool, flags: int = 0) -> None:
    attributes = struct.pack("=QQQQ", _READ_ONLY if on else 0, 0 if on else _READ_ONLY, 0, 0)
    _call("syscall", _MOUNT_SETATTR, _HERE, os.fsencode(path), flags, attributes, ctypes.c_size_t(len(attributes)))


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
