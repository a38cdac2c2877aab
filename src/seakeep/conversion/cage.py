"""A cage for code that nobody vouches for: a pickle runs what it likes when it is read.

Linux namespaces (``namespaces(7)``, ``user_namespaces(7)``, ``mount_setattr(2)``) that a process without rights may make
for itself: no network, all files read-only but a few that are named, and a process tree that ends as a whole. The
superuser makes them by right and gives itself up for a user that owns nothing, because no limit on processes binds it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import select
import signal
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from seakeep.conversion.syscalls import close_sockets, filterable

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE, _NO_SUID, _NO_DEVICES = 4096, 16384, 1 << 18, 2, 4  # sys/mount.h
_MOUNT_SETATTR, _AT_RECURSIVE, _READ_ONLY, _HERE = 442, 0x8000, 1, -100  # sys/mount.h, fcntl.h
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38  # sys/prctl.h
_CAPABILITIES = 0x20080522  # linux/capability.h, version 3
_SCRATCH_BYTES = 256 * 1024**2
STRANGERS = range(61184, 65520)
"""User ids that are nobody's, by the convention of https://systemd.io/UIDS-GIDS."""
PROCESSES = 64
"""Processes and threads in the cage."""


def confine(folder: Path, *, writable: Sequence[str], scratch: str) -> str:
    """Go on in a cage, in a child of this process, which waits for it and ends as it ends.

    Parameters
    ----------
    folder
        Holds what the cage works on, and nothing else: in the superuser's cage it belongs to the user within.
    writable
        Existing files of the folder, all that can be written outside of ``scratch``.
    scratch
        An existing empty folder in it; it becomes one in memory, of 256 MiB at most, that ends with the cage.

    Returns
    -------
    str
        What is missing, in words, and then nothing was changed but what this process sees; ``""``: the cage is closed.
    """
    missing = filterable()
    if missing:
        return missing
    inside = _stranger() if os.geteuid() == 0 else os.getuid()
    missing = _leave(folder, [folder / name for name in writable], folder / scratch, inside)
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
    _disarm(inside)
    return ""


def _stranger() -> int:
    """A user that owns no file and no process."""
    known = {one.pw_uid for one in pwd.getpwall()}
    first = os.getpid() % len(STRANGERS)  # two cages at once are two users
    free: list[int] = [user for user in (*STRANGERS[first:], *STRANGERS[:first]) if user not in known]
    return free[0]


def _leave(folder: Path, writable: Sequence[Path], scratch: Path, inside: int) -> str:
    user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", _NEW_USER * (user != 0) | _NEW_NETWORK | _NEW_MOUNTS | _NEW_IPC)
        own = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"} if user else {}
        for name, text in own.items():
            Path(f"/proc/self/{name}").write_bytes(text.encode())
    except (OSError, AttributeError) as error:
        return f"this system gives a process no namespaces of its own, so no barrier to network and processes ({error})"
    try:
        _mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
        if user == 0:
            _give(folder, inside)
        for path in writable:
            _mount(os.fsencode(path), os.fsencode(path), None, _BIND, None)
        _set_read_only("/", on=True, flags=_AT_RECURSIVE)
        for path in writable:
            _set_read_only(str(path), on=False)
        size = f"size={_SCRATCH_BYTES},nr_inodes=4096,mode=0700" + f",uid={inside},gid={inside}" * (user == 0)
        _mount(b"scratch", os.fsencode(scratch), b"tmpfs", _NO_SUID | _NO_DEVICES, size.encode())
    except OSError as error:
        return f"this system does not let a process make its files read-only ({error})"
    missing = _unreachable(folder, inside) if user == 0 else ""
    try:
        # Last: from here on this process cannot start a thread, which a converter without a cage needs.
        _call("unshare", 0 if missing else _NEW_PROCESSES)
    except OSError as error:
        return f"this system gives a process no process tree of its own ({error})"
    return missing


def _give(folder: Path, user: int) -> None:
    """Give a folder to a user who owns nothing else, and lay open in this process's view what it needs besides.

    Below folders that the superuser alone may enter, nothing but what is needed is left to be seen.
    """
    for path in (folder, *folder.iterdir()):
        os.chown(path, user, user)
    needed = _needed(folder)
    while hidden := {path: private for path in needed if (private := _private(path))}:
        private = next(iter(hidden.values()))
        kept = {path: os.open(path, os.O_PATH) for path in sorted(needed) if path.is_relative_to(private)}
        _mount(b"cover", os.fsencode(private), b"tmpfs", _NO_SUID | _NO_DEVICES, b"size=1m,mode=0755")
        for path, content in kept.items():
            path.mkdir(parents=True, exist_ok=True)
            _mount(os.fsencode(f"/proc/self/fd/{content}"), os.fsencode(path), None, _BIND | _RECURSIVE, None)
            os.close(content)


def _needed(folder: Path) -> set[Path]:
    """Folders of the interpreter, of what it imports, and of the work; none inside another."""
    named = {Path(one) for one in (sys.prefix, sys.base_prefix, *sys.path) if one and Path(one).is_dir()} | {folder}
    every = named | {path.resolve() for path in named}
    return {path for path in every if not any(path != other and path.is_relative_to(other) for other in every)}


def _private(path: Path) -> Path | None:
    """The outermost folder above a path that others than its owner may not enter."""
    return next((one for one in reversed(path.parents) if not one.stat().st_mode & stat.S_IXOTH), None)


def _unreachable(folder: Path, user: int) -> str:
    groups = os.getgroups()
    try:
        os.setgroups([])
        os.setegid(user)
        os.seteuid(user)
    except OSError as error:
        return f"this system has no other user for the superuser's cage ({error})"
    try:
        closed = [
            path for path in sorted(_needed(folder)) if not os.access(path, os.R_OK | os.X_OK, effective_ids=True)
        ]
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    return f"{closed[0]} can be read by the superuser alone" if closed else ""


def _disarm(user: int) -> None:
    """Give up the rights over the new namespaces, which would open them again."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call("capset", struct.pack("=Ii", _CAPABILITIES, 0), bytes(24))
    _call("prctl", _DUMPABLE, 1, 0, 0, 0)
    close_sockets()


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
