"""A kernel in its own sandboxed process (serve.py), as the trusted side sees it.

Arrays lie in shared memory. The child can map the inputs for reading only, so they are the same
afterwards; both files are sealed, so that nobody can take memory away. A reply has to carry the
number of its request, which is secret until it is sent: nobody can answer in advance.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import mmap
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit import device, sandbox
from autoresearch_kit.crash import QUOTED, Tail, ended, printable
from autoresearch_kit.errors import ScorerError
from autoresearch_kit.tasks.kernel import draws
from autoresearch_kit.tasks.kernel.forks import Forks
from autoresearch_kit.tasks.kernel.layout import Layout
from autoresearch_kit.tree import Tree

ROOM = {"cpu": 160 << 20, "cuda": 1 << 30}
"""Bytes for the inputs of all slots, and as many for their outputs."""

SEAL_FUTURE_WRITE = 0x10  # F_SEAL_FUTURE_WRITE, linux/fcntl.h; not in Python's fcntl
LINE = 1 << 16
MEMORY_SHARE = 0.5  # of the machine's, where the task names no limit: torch's process needs some


STARTED = (
    "it started a process while it was timed; start what a kernel needs at the first call of a "
    "shape, and let it stay"
)


class Child:
    """A process that calls kernels; every wait for it has a limit.

    Parameters
    ----------
    name
        What to call it in messages.
    blame
        What its failure raises: `Crash` for the candidate's, `ScorerError` for torch's own.
    read
        Files and folders that its code may read.
    task
        ``task.toml``: ``timeout_seconds`` of its whole life, ``memory_gb``, ``options.threads``,
        ``env``.
    """

    def __init__(
        self, name: str, blame: type[Exception], read: Sequence[Path], task: dict[str, Any]
    ) -> None:
        self.name, self.blame = name, blame
        self.threads = _threads(task)
        self.whole = float(task.get("timeout_seconds", 600))
        self.deadline = time.monotonic() + self.whole
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.memory = float(task.get("memory_gb", 0)) * 1e9 or MEMORY_SHARE * total
        self.room = ROOM["cuda" if device.pick().startswith("cuda") else "cpu"]
        self.inputs, given = _shared(self.room, written_by_child=False)
        self.outputs, taken = _shared(self.room, written_by_child=True)
        self.replies, child_writes = os.pipe()
        child_reads, self.requests = os.pipe()
        # The child can open either pipe at its other end too, and fill it or empty it.
        os.set_blocking(self.replies, False)
        os.set_blocking(self.requests, False)
        self.forks = Forks()
        handles = (child_reads, child_writes, given, taken)
        inherited = (*handles, self.forks.theirs.fileno())
        argv = [*map(str, inherited), self.forks.filter.hex()]
        script = Path(__file__).with_name("serve.py")
        try:
            self.process = sandbox.untrusted(
                [sys.executable, "-I", "-B", script, *argv],
                read=[script, *read],
                env=_environment(task, self.threads),
                memory=int(self.memory),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
            )
        finally:
            self.forks.theirs.close()
            for handle in handles:
                os.close(handle)
        assert self.process.stdout is not None
        self.output = Tail(self.process.stdout, QUOTED)
        self.tree = Tree(self.process.pid)
        self.received = b""
        self.device = "cpu"  # until it says what it has
        self.known: set[int] | None = None
        self.layout: Layout | None = None
        self._send("start", threads=self.threads)  # importing torch takes seconds: begin now

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        sandbox.kill(self.process)
        self.forks.close()
        for handle in (self.requests, self.replies):
            os.close(handle)

    def started(self, seconds: float) -> str:
        """Wait until torch is imported; return the device, ``cpu`` or ``cuda``.

        Raises
        ------
        ScorerError
            When that fails, for no line of the candidate's has run yet.
        """
        self.forks.receive(seconds)
        blame, self.blame = self.blame, ScorerError
        said = self.wait("importing torch", seconds).get("device")
        self.blame, self.device = blame, "cuda" if said == "cuda" else "cpu"
        return self.device

    def spare(self) -> None:
        """Have the system end others first when memory runs out: it runs nobody else's code."""
        self.tree.find()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                own = Path("/proc/self/oom_score_adj").read_text(encoding="utf-8")
                Path(f"/proc/{pid}/oom_score_adj").write_text(own, encoding="utf-8")

    def load(self, file: Path, function: str, seconds: float, *, builtins: bool) -> list[str]:
        """Let it import a file; return the names of the kernels that it can call."""
        doing = f"importing {file.name}"
        said = self.ask(
            doing, seconds, "load", file=str(file), function=function, builtins=builtins
        )
        found = said.get("kernels")  # from where the file's own code runs, so it may be anything
        return [str(name) for name in found] if isinstance(found, list) else []

    def arrange(self, layout: Layout, slots: int, seconds: float) -> None:
        """Lay out the arrays of so many slots."""
        self.layout = layout
        if slots > layout.slots(self.room):
            raise ScorerError(
                f"{slots} slots of shape {layout.shape} don't fit in {self.room} bytes"
            )
        self.ask(
            f"laying out shape {layout.shape}",
            seconds,
            "arrange",
            arrays=layout.arrays,
            slots=slots,
            stride=layout.strides,
        )

    def fill(self, slot: int, inputs: Sequence[NDArray[Any]]) -> None:
        """Put inputs, as they are stored, into a slot, and NaN into its output."""
        for index, values in enumerate(inputs):
            self._view(index, slot)[...] = values
        # All bits set is NaN in every floating type.
        self._view(-1, slot).view(np.uint8).fill(0xFF)

    def taken(self, slot: int) -> NDArray[Any]:
        """Return the output of a slot as it lies in memory."""
        return self._view(-1, slot)

    def given(self, index: int, slot: int) -> NDArray[Any]:
        """Return an input of a slot as it lies in memory."""
        return self._view(index, slot)

    def _view(self, index: int, slot: int) -> NDArray[Any]:
        assert self.layout is not None
        dtype, shape, offset = self.layout.arrays[index]
        memory = self.outputs if index == -1 else self.inputs
        offset += slot * self.layout.strides[index]
        count = math.prod(shape)
        return np.frombuffer(memory, draws.kept_as(dtype), count, offset).reshape(shape)

    def ask(
        self, doing: str, seconds: float, do: str, *, watched: Child | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a request and wait for its reply; see `wait`."""
        self._send(do, **fields)
        return self.wait(doing, seconds, watched)

    def call(self, doing: str, seconds: float, kernel: str, slots: Sequence[int]) -> None:
        """Let it call a kernel for each slot, where need be on copies of the arrays."""
        self.move("upload", doing, seconds, slots)
        self.ask(doing, seconds, "call", kernel=kernel, slots=slots)
        self.move("download", doing, seconds, slots)

    def move(self, way: str, doing: str, seconds: float, slots: Sequence[int]) -> None:
        """Copy the arrays to the device (``upload``) or from it (``download``), if it has one."""
        if self.device != "cpu":
            self.ask(doing, seconds, way, slots=slots)

    def _send(self, do: str, **fields: Any) -> None:
        self.nonce = secrets.token_hex(8)
        message = json.dumps({"nonce": self.nonce, "do": do, **fields}) + "\n"
        # A child that is gone is noticed, with its reason, by the wait for its reply.
        with contextlib.suppress(BrokenPipeError):
            try:
                os.write(self.requests, message.encode())
            except BlockingIOError:
                raise self.blame(f"something filled the {self.name}'s pipe of requests") from None

    def wait(self, doing: str, seconds: float, watched: Child | None = None) -> dict[str, Any]:
        """Wait for the reply to the last request.

        Parameters
        ----------
        doing
            What it does meanwhile, for messages.
        seconds
            The limit.
        watched
            Another child that must keep to its memory and start no process meanwhile.
        """
        now = time.monotonic()
        limit, size_at = min(now + seconds, self.deadline), now + 0.5
        children = {self, watched or self}
        poll = select.poll()
        poll.register(self.replies, select.POLLIN)
        asking = {each.forks.register(poll): each for each in children}
        while b"\n" not in self.received:
            now = time.monotonic()
            if now >= limit:
                late = f"{seconds:.0f} s"
                if limit == self.deadline:
                    late = f"the {self.whole:.0f} s of the whole scoring (timeout_seconds)"
                raise self.blame(f"hang: {late} ran out while {doing}{self.output}")
            if now >= size_at:
                for each in children:
                    each.check(doing)
                size_at = now + 0.5
            ready = dict(poll.poll(max(0.0, min(limit, size_at) - now) * 1000))
            for handle in ready.keys() & asking.keys():
                if ready[handle] & select.POLLIN:
                    asking[handle].asked()
                else:  # all of it has ended
                    poll.unregister(handle)
            if self.replies not in ready:
                continue
            try:
                some = os.read(self.replies, LINE)
            except BlockingIOError:
                continue
            self.received += some
            if not some:
                raise self.blame(f"{self._ended()} while {doing}{self.output}")
            if len(self.received) > LINE:
                raise self.blame(f"the {self.name}'s process flooded its pipe while {doing}")
        line, _, self.received = self.received.partition(b"\n")
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if self.received or not isinstance(said, dict) or said.get("nonce") != self.nonce:
            raise self.blame(
                f"something wrote to the {self.name}'s pipe to the scorer while {doing}: "
                "expected one reply to each request"
            )
        if "fault" in said:
            raise self.blame(f"{printable(str(said['fault']))[:QUOTED]} while {doing}")
        return said

    def processes(self) -> set[int]:
        """Return the processes that were alive at the last look."""
        return set(self.tree._seen)

    def asked(self) -> None:
        """Let it start a process, unless all that it may have are `known`."""
        if self.known is not None:
            raise self.blame(STARTED)
        self.forks.allow()

    def look(self) -> None:
        """Look for processes that are not among the `known` ones, if there are such."""
        self.tree.find()
        if self.known is not None and (self.processes() - self.known or self.tree.unwaited):
            raise self.blame(STARTED)

    def _ended(self) -> str:
        hints = {11: "; the inputs are read-only, did it write into them?"}
        return f"the {self.name}'s process {ended(self.process, hints)}"

    def check(self, doing: str) -> None:
        """See that it is there and keeps to its memory and processes."""
        if self.process.poll() is not None:
            raise self.blame(f"{self._ended()} while {doing}{self.output}")
        self.look()
        used = self.tree.memory_bytes(self.memory)
        if used > self.memory:
            raise self.blame(
                f"out of memory: the {self.name}'s process used {used / 1e9:.1f} GB while {doing}, "
                f"the limit is {self.memory / 1e9:.1f} GB"
            )


def _shared(size: int, *, written_by_child: bool) -> tuple[mmap.mmap, int]:
    """Return memory that this process writes, and a descriptor of it for the child."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            mode = os.O_RDWR if written_by_child else os.O_RDONLY
            return mmap.mmap(file.fileno(), size), os.open(file.name, mode)
    handle = os.memfd_create("arrays", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(handle, size)
    memory = mmap.mmap(handle, size)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    if not written_by_child:
        seals |= SEAL_FUTURE_WRITE  # but for the mapping that was just made
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
    return memory, handle


def _threads(task: dict[str, Any]) -> int:
    threads = task.get("options", {}).get("threads", 1)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    if type(threads) is not int or not 1 <= threads <= cores:
        raise ScorerError(
            f"task.toml: options.threads = {threads!r}; expected 1 to {cores}, this machine's cores"
        )
    return threads


def _environment(task: dict[str, Any], threads: int) -> dict[str, str]:
    passed = ("CUDA_VISIBLE_DEVICES", *task.get("env", ()))
    given = {name: os.environ[name] for name in passed if name in os.environ}
    if not device.pick().startswith("cuda"):
        given["CUDA_VISIBLE_DEVICES"] = ""
    # Compilers find ninja there.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return given | {
        "PATH": path,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NUMBA_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "MAX_JOBS": "2",
    }
