"""The candidate's model in a sandboxed process (serve.py), as the trusted side sees it.

Tokens go in and logits come back in shared memory; they are copied before they are used. Their
cross-entropy is computed here, by numpy: its log-softmax is as fast as torch's on one core, and
not to import torch spares two seconds of start-up.

The reason of a crash goes into the record and from there into prompts, and whoever has seen the
rows could write them into its complaint. So a child is quoted only until it is sent the first one,
after a batch of random tokens, where most mistakes show; then it chooses from lists kept here.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import math
import os
import select
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit import sandbox
from autoresearch_kit.crash import KINDS, QUOTED, Crash, Tail, ended, printable
from autoresearch_kit.errors import ScorerError

# Logits of a batch. On a CPU larger ones cost page faults (16 % of the time at 32 MiB, nothing at
# 8), on a GPU small ones leave it idle; the latter was not measured.
LOGITS_BYTES = {"cpu": 8 << 20, "other": 512 << 20}
SLOTS = 2
OUTPUT_KEPT = 4096

# All that a child which has seen rows can say: which of these, and a line.
COMPLAINTS = {
    "no tensor": "the model returned no tensor, expected logits (B, T, V)",
    "shape": "the logits have a shape other than (B, T, V)",
    "no numbers": "the logits are not floating point numbers",
}
NAMED = {"OutOfMemoryError"} | KINDS
LAST_LINE = 9_999


class Framework(NamedTuple):
    """What candidates are written in: its name, and the file that serve.py imports for it."""

    name: str
    file: Path


TORCH = Framework("torch", Path(__file__).with_name("serve_torch.py"))


class Model:
    """The candidate's model in its own sandboxed process; every wait for it has a limit.

    The process starts at once and imports the framework; no line of the candidate's runs before
    `build`.
    """

    def __init__(
        self, code: Path, weights: Path, task: dict[str, Any], framework: Framework = TORCH
    ) -> None:
        options = task.get("options", {})
        self.setup_seconds = float(task.get("setup_seconds", 120))
        self.batch_seconds = float(options.get("score_batch_seconds", 60))
        self.deadline = time.monotonic() + float(task.get("timeout_seconds", 600))
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.memory = float(task.get("memory_gb", 0)) * 1e9 or 0.8 * total
        self.framework = framework.name
        self.hello = {"code": str(code), "weights": str(weights)}
        self.shared = _memory()
        self.replies, child_writes = os.pipe()
        child_reads, self.requests = os.pipe()
        inherited = (child_reads, child_writes, self.shared)
        script = Path(__file__).with_name("serve.py")
        self.process = sandbox.untrusted(
            [sys.executable, "-I", "-B", script, *map(str, inherited), framework.file],
            read=[code, weights, script, framework.file],
            cwd=code,
            env=_environment(code, task),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
        )
        os.close(child_reads)
        os.close(child_writes)
        assert self.process.stdout is not None
        self.output = Tail(self.process.stdout, OUTPUT_KEPT)
        self.received = b""
        self.sizes: set[int] = set()
        self.seen = False  # whether the child was sent a row that isn't made up

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for handle in (self.requests, self.replies, self.shared):
            os.close(handle)

    def end(self) -> None:
        """Kill the process and all that it started."""
        sandbox.kill(self.process)

    def build(self, vocab_size: int, length: int) -> None:
        """Let the child import train.py, build the model and load the weights."""
        try:
            said = self._reply(f"importing {self.framework}", self.setup_seconds)
        except Crash as crash:  # No line of the candidate's has run yet.
            raise ScorerError(f"the model's process did not start: {crash}") from crash
        self.device = str(said.get("device"))
        self.vocab_size, self.length = vocab_size, length
        room = LOGITS_BYTES["cpu" if self.device == "cpu" else "other"]
        self.batch = max(1, room // (4 * vocab_size * length))
        self.logits_at = -(-self.batch * length * 8 // 4096) * 4096
        self.slot_bytes = self.logits_at + -(-self.batch * length * vocab_size * 4 // 4096) * 4096
        os.ftruncate(self.shared, SLOTS * self.slot_bytes)
        self._send(
            **self.hello,
            vocab_size=vocab_size,
            sequence_len=length,
            slots=SLOTS,
            slot_bytes=self.slot_bytes,
            logits_at=self.logits_at,
        )
        self._reply("building the model", self.setup_seconds)

    def nats(
        self, inputs: NDArray[np.uint16], targets: NDArray[np.uint16], alone: int = 0
    ) -> NDArray[np.float64]:
        """Return the loss of each of `targets` (N, T) in nats, as the model sees `inputs` (N, T).

        The first `alone` rows are sent one by one, the others in batches. While the child computes
        one batch, this process takes the log-softmax of the one before. Before the first of all
        comes a batch of the same size that counts nowhere.
        """
        starts = [*range(alone), *range(alone, len(inputs), self.batch), len(inputs)]
        spans = list(itertools.pairwise(starts))
        workers = 1 if self.device == "cpu" else min(8, os.cpu_count() or 1)
        nats = np.empty(targets.shape)
        if not self.seen:
            self._rehearse(spans[0][1])
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            self._request(0, inputs[slice(*spans[0])])
            for index, (start, stop) in enumerate(spans):
                # The first batch of a size may compile.
                slack = 0 if stop - start in self.sizes else self.setup_seconds
                self.sizes.add(stop - start)
                self._reply(f"computing rows {start} to {stop - 1}", slack)
                if index + 1 < len(spans):
                    self._request((index + 1) % SLOTS, inputs[slice(*spans[index + 1])])
                offset = index % SLOTS * self.slot_bytes + self.logits_at
                nats[start:stop] = self._reduce(pool, offset, targets[start:stop], start)
        return nats

    def _rehearse(self, rows: int) -> None:
        """Let the child compute random tokens, the last time that its own words are quoted."""
        # Always the same, so that what a model may derive from its first batch is so as well.
        random = np.random.default_rng(0)
        tokens = random.integers(0, self.vocab_size - 1, (rows, self.length), dtype=np.uint16)
        tokens[:, 0] = self.vocab_size - 1  # begins a row, as everywhere
        self._request(0, tokens)
        self._reply("computing random tokens", self.setup_seconds)
        self.sizes.add(rows)
        self.seen = True

    def _reduce(
        self,
        pool: concurrent.futures.Executor,
        offset: int,
        targets: NDArray[np.uint16],
        first: int,
    ) -> NDArray[np.float64]:
        """Return the loss of `targets` (B, T) in nats under the logits that lie at `offset`."""
        flat, size = targets.reshape(-1), self.vocab_size
        block = max(1, (2 << 20) // (4 * size))  # 2 MiB stay in a core's own cache.

        def part(at: int) -> NDArray[np.float64]:
            picked = flat[at : at + block]
            own = np.empty((len(picked), size), np.float32)
            # Read, not mapped: what was checked can't be changed afterwards, nor taken away.
            if os.preadv(self.shared, [own.data], offset + at * size * 4) != own.nbytes:
                raise Crash("the model's process cut the shared memory short")
            top = own.max(axis=1)
            finite = np.isfinite(top) & np.isfinite(own.min(axis=1))
            if not finite.all():
                row, position = divmod(at + int(finite.argmin()), self.length)
                raise Crash(
                    f"the logits are not finite, first in row {first + row} at position "
                    f"{position}; to rule a token out use a large negative number"
                )
            chosen = own[np.arange(len(picked)), picked] - top
            own -= top[:, None]
            np.exp(own, out=own)
            nats: NDArray[np.float64] = (np.log(own.sum(axis=1)) - chosen).astype(np.float64)
            return nats

        parts = pool.map(part, range(0, flat.size, block))
        return np.concatenate(list(parts)).reshape(targets.shape)

    def _request(self, slot: int, inputs: NDArray[np.uint16]) -> None:
        """Ask for the logits of `inputs` (B, T) in `slot`."""
        tokens = np.ascontiguousarray(inputs, dtype=np.int64)
        os.pwrite(self.shared, tokens.data, slot * self.slot_bytes)
        self._send(slot=slot, rows=len(inputs))

    def _send(self, **fields: Any) -> None:
        # A child that is gone is noticed, with its reason, by the wait for its reply.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.requests, (json.dumps(fields) + "\n").encode())

    def _reply(self, doing: str, slack: float = 0) -> dict[str, Any]:
        """Wait for the child's next line, for `slack` seconds longer than for a batch."""
        limit = min(time.monotonic() + self.batch_seconds + slack, self.deadline)
        poll = select.poll()
        poll.register(self.replies, select.POLLIN)
        while b"\n" not in self.received:
            left = limit - time.monotonic()
            if left <= 0:
                raise Crash(f"hang: time ran out while {doing}{self._printed()}")
            if not poll.poll(min(left, 0.5) * 1000):
                self._check_memory(doing)
                continue
            some = os.read(self.replies, 1 << 16)
            self.received += some
            if not some:
                how = ended(self.process)
                raise Crash(f"the model's process {how} while {doing}{self._printed()}")
            if len(self.received) > 1 << 16:
                raise Crash(f"the model's process flooded its pipe while {doing}")
        line, _, self.received = self.received.partition(b"\n")
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise Crash(f"the model's process sent no JSON object while {doing}{self._printed()}")
        if "fault" in said:
            raise Crash(self._complaint(said, doing))
        return said

    def _complaint(self, said: dict[str, Any], doing: str) -> str:
        """Return what the child says is wrong: its own words only before it has seen rows."""
        if not self.seen:
            return printable(str(said["fault"]))[:QUOTED]
        kind, line = str(said.get("kind")), said.get("line")
        what = COMPLAINTS.get(kind) or f"forward failed: {kind if kind in NAMED else 'an error'}"
        if type(line) is int and 0 < line <= LAST_LINE:
            what += f" (train.py, line {line})"
        return (
            f"{what} while {doing}; with random tokens it did not fail, and what a model says "
            "after its first row is not quoted"
        )

    def _printed(self) -> str:
        return "" if self.seen else str(self.output)

    def _check_memory(self, doing: str) -> None:
        from autoresearch_kit.tree import Tree  # Only waits of half a second and more come here.

        used = Tree(self.process.pid).memory_bytes(self.memory)
        if used > self.memory:
            raise Crash(
                f"out of memory: the model's process used {used / 1e9:.1f} GB while {doing}, "
                f"the limit is {self.memory / 1e9:.1f} GB"
            )


def _memory() -> int:
    """Return the descriptor of an unnamed file that lies in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("logits")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _environment(code: Path, task: dict[str, Any]) -> dict[str, str]:
    passed = ("DEVICE", "CUDA_VISIBLE_DEVICES", *task.get("env", ()))
    given = {name: os.environ[name] for name in passed if name in os.environ}
    return {**given, "CODE_DIR": str(code), "OMP_NUM_THREADS": "1"}


def parameters(weights: Path) -> int:
    """Return how many numbers the weights file holds, after its header alone."""
    try:
        # In the run folder a link could point at anything, and the sandbox would then show it.
        if not stat.S_ISREG(weights.lstat().st_mode):
            raise Crash(f"{weights.name} is not a regular file")
    except FileNotFoundError:
        raise Crash(f"training ended without {weights.name}") from None
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size) if size < 1_000_000 else b"")
        header.pop("__metadata__", None)
        shapes = [tensor["shape"] for tensor in header.values()]
        if not all(isinstance(n, int) and 0 <= n < 1 << 40 for shape in shapes for n in shape):
            raise ValueError(shapes)
        return sum(math.prod(shape) for shape in shapes)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise Crash(f"{weights.name} is no safetensors file") from None
