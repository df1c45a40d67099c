"""Whether a sandboxed process may start others: each try is held until the scorer has answered.

Before anybody's code runs in it, the process installs a filter of system calls on itself and all
that it will ever start, and hands the filter's other end to the scorer. Threads pass freely, but
stay on the cores that they are given. Needs Linux 5.5, on a processor that `sandbox.syscalls`
knows, and nobody else who listens already.

Source: seccomp_unotify(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import select
import socket
import struct

from autoresearch_kit.sandbox import syscalls

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND, linux/seccomp.h
_ASKED = struct.Struct("=Q72x")  # struct seccomp_notif: an id, and what isn't needed here
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_CONTINUE = 1
MOST_ANSWERS = 100  # at once: whoever asks without end must not keep the scorer from its limits


class Forks:
    """The scorer's end for one child.

    Attributes
    ----------
    filter
        What the child has to install; empty where that can't be.
    theirs
        The socket through which it hands over the listener.
    """

    def __init__(self) -> None:
        release = re.match(r"(\d+)\.(\d+)", platform.release())
        new = platform.system() == "Linux" and release and (*map(int, release.groups()),) >= (5, 5)
        self.filter = (syscalls.confined() if new else None) or b""
        self._ours, self.theirs = socket.socketpair()
        self._listener: int | None = None

    def receive(self, seconds: float) -> None:
        """Take the listener from the child, as soon as that has it."""
        self._ours.settimeout(seconds)
        with contextlib.suppress(OSError):  # It has ended or hangs, and who waits for it learns so.
            handles = socket.recv_fds(self._ours, 1, 1)[1]
            self._listener = handles[0] if handles else None

    def close(self) -> None:
        """Give up; who asks from now on is refused."""
        self._ours.close()
        if self._listener is not None:
            os.close(self._listener)
            self._listener = None

    def register(self, poll: select.poll) -> int | None:
        """Let `poll` wake up when somebody asks; return the handle that it tells then, if any."""
        if self._listener is not None:
            poll.register(self._listener, select.POLLIN)
        return self._listener

    def allow(self) -> None:
        """Let all go on who ask now."""
        poll = select.poll()
        if (listener := self.register(poll)) is None:
            return
        for _ in range(MOST_ANSWERS):
            if not any(event & select.POLLIN for _, event in poll.poll(0)):
                return
            asked = bytearray(_ASKED.size)
            with contextlib.suppress(FileNotFoundError):  # It was killed meanwhile.
                fcntl.ioctl(listener, _RECEIVE, asked)
                answer = _ANSWER.pack(*_ASKED.unpack(asked), 0, 0, _CONTINUE)
                fcntl.ioctl(listener, _SEND, bytearray(answer))
