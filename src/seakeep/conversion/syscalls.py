"""What a process in the cage may not ask of the kernel: namespaces do not close these ways out.

A socket's path is a file, and neither a network of one's own nor a read-only mount keeps a process from connecting to it
(``unix(7)``): behind one may be a service that does what it is told. Sockets between machine and host (``vsock(7)``) and
``io_uring(7)`` go past a network namespace or a filter of socket calls. A filter of system calls (``seccomp(2)``)
leaves the internet's families alone, of which an empty network has no peer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

_NUMBERS = {"x86_64": (0xC000003E, 41, 53), "aarch64": (0xC00000B7, 198, 199)}
"""By machine: its mark (linux/audit.h), and its numbers of ``socket`` and ``socketpair``."""
_IO_URING_SETUP, _OTHER_TABLE = 425, 0x40000000  # the same on all machines; x32's numbers begin there
_INTERNET, _INTERNET_6, _UNIX, _DATAGRAMS, _TYPE_MASK = 2, 10, 1, 2, 0xF
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # linux/bpf_common.h
_NUMBER_AT, _MACHINE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24  # struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x50000 | errno.EACCES, 0x80000000
_SET_FILTER, _FILTER_MODE = 22, 2  # prctl(2)


def filterable() -> str:
    """Why this system cannot filter calls, in words; ``""``: it can."""
    if platform.machine() not in _NUMBERS:
        return f"the numbers of system calls of a {platform.machine()} are not known"
    if not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        return "this system has no filter of system calls"
    return ""


def close_sockets() -> None:
    """Refuse this process and its children, for good, all sockets but the internet's and connected pairs.

    It must have given up new privileges (``PR_SET_NO_NEW_PRIVS``).

    Raises
    ------
    OSError
        The kernel does not take the filter.
    """
    program = _program(*_NUMBERS[platform.machine()])
    steps = ctypes.create_string_buffer(b"".join(program))
    whole = struct.pack("H6xP", len(program), ctypes.addressof(steps))
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_FILTER, _FILTER_MODE, whole, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _program(machine: int, socket: int, pair: int) -> list[bytes]:
    """Jumps count the steps that are skipped."""
    return [
        _step(_LOAD, _MACHINE_AT),
        _step(_EQUAL, machine, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_AT_LEAST, _OTHER_TABLE, 10, 0),
        _step(_EQUAL, _IO_URING_SETUP, 9, 0),
        _step(_EQUAL, socket, 2, 0),
        _step(_EQUAL, pair, 4, 0),
        _step(_RETURN, _ALLOW),
        _step(_LOAD, _FIRST_AT),
        _step(_EQUAL, _INTERNET, 5, 0),
        _step(_EQUAL, _INTERNET_6, 4, 3),
        _step(_LOAD, _SECOND_AT),
        _step(_AND, _TYPE_MASK),
        _step(_EQUAL, _DATAGRAMS, 0, 1),  # one of a pair that sends datagrams can be pointed at a path
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)
