"""A seccomp filter: what of the kernel's offers code in the sandbox can't use.

Namespaces hide files, processes and networks. Some things they don't hide: the user's keyrings,
sockets to the machine that runs this virtual one (vsock), performance counters, io_uring. The
filter is a few dozen instructions for the kernel's packet filter, written without a compiler; on
other processors than x86-64 and 64-bit ARM there is none.

Sources: linux/filter.h, linux/seccomp.h, and the tables of system calls (asm/unistd_64.h,
asm-generic/unistd.h) of Linux 6.1.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct

# AUDIT_ARCH, then the numbers of clone and socket, then of what is refused:
# ptrace, process_vm_readv, process_vm_writev, add_key, request_key, keyctl, perf_event_open, bpf,
# userfaultfd, unshare, setns.
_TABLES = {
    "x86_64": (0xC000003E, 56, 41, (101, 310, 311, 248, 249, 250, 298, 321, 323, 272, 308)),
    "aarch64": (0xC00000B7, 220, 198, (117, 270, 271, 217, 218, 219, 241, 280, 282, 97, 268)),
}
# sched_setaffinity, then fork and vfork, where clone isn't all there is.
_CONFINED = {"x86_64": (203, 57, 58), "aarch64": (122,)}
_IO_URING = (425, 426, 427)  # as everything since Linux 5.1 the same on all processors
_CLONE3 = 435
_CLONE_NEWUSER, _CLONE_THREAD = 0x10000000, 0x10000
_X32 = 0x40000000  # x86-64 answers to a second set of numbers from here on
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)  # 16: AF_NETLINK

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data (first argument, low half)
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000


def program(machine: str = platform.machine()) -> bytes | None:
    """Return the filter for bubblewrap's ``--seccomp``, or None for a processor without one."""
    if machine not in _TABLES:
        return None
    arch, clone, socket_call, refused = _TABLES[machine]
    code = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, arch, yes=1),
        _refuse(errno.ENOSYS),
        _step(_LOAD, _NUMBER),
        *_when(_AT_LEAST, _X32, errno.ENOSYS),
        *_when(_EQUAL, _CLONE3, errno.ENOSYS),  # its flags can't be read here; libc takes clone
    ]
    for number in (*refused, *_IO_URING):
        code += _when(_EQUAL, number, errno.EPERM)
    families = [_step(_EQUAL, family, yes=len(_FAMILIES) - i) for i, family in enumerate(_FAMILIES)]
    return b"".join(
        [
            *code,
            _step(_EQUAL, clone, no=4),
            _step(_LOAD, _ARGUMENT),
            *_when(_ANY_BIT, _CLONE_NEWUSER, errno.EPERM),
            _step(_RETURN, _ALLOW),
            _step(_EQUAL, socket_call, no=len(_FAMILIES) + 2),
            _step(_LOAD, _ARGUMENT),
            *families,
            _refuse(errno.EAFNOSUPPORT),
            _step(_RETURN, _ALLOW),
        ]
    )


def confined(machine: str = platform.machine()) -> bytes | None:
    """Return a filter that keeps who installs it to its cores, and asks before a process is born.

    A call for a new process, not for a thread, is held until it is answered through the handle that
    installing gives (SECCOMP_FILTER_FLAG_NEW_LISTENER). None for a processor without a filter.
    """
    if machine not in _TABLES:
        return None
    clone, (affinity, *forks) = _TABLES[machine][1], _CONFINED[machine]
    code = [_step(_LOAD, _NUMBER), *_when(_EQUAL, _CLONE3, errno.ENOSYS)]
    code += _when(_EQUAL, affinity, errno.EPERM)
    for number in forks:
        code += [_step(_EQUAL, number, no=1), _step(_RETURN, _ASK)]
    code += [_step(_EQUAL, clone, no=3), _step(_LOAD, _ARGUMENT)]
    code += [_step(_ANY_BIT, _CLONE_THREAD, yes=1), _step(_RETURN, _ASK), _step(_RETURN, _ALLOW)]
    return b"".join(code)


def readable(code: bytes) -> int:
    """Return a handle that a child can read `code` from, and that the caller closes."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as file:
        file.write(code)  # far less than a pipe holds
    return read


def _step(operation: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; a comparison skips `yes` or `no` of those that follow."""
    return struct.pack("=HBBI", operation, yes, no, value)


def _when(operation: int, value: int, error: int) -> tuple[bytes, bytes]:
    return _step(operation, value, no=1), _refuse(error)


def _refuse(error: int) -> bytes:
    return _step(_RETURN, 0x00050000 | error)
