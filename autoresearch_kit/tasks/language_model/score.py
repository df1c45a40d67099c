"""Measure a trained model in bits per byte; nothing that the candidate says counts.

This process owns the rows, the targets, the byte counts and the cross-entropy. The candidate's
model runs in a sandboxed child (serve.py) that gets tokens and gives back logits in shared memory.

    python -m autoresearch_kit.tasks.language_model.score

takes CODE_DIR, RUN_DIR, DATA_DIR and SCORE_DIR from the environment and task.toml from the working
directory. It prints one JSON object, with the score or with ``{"crash": "why"}`` when the candidate
is at fault; on any trouble of its own it exits with status 1 and says why on stderr. It does not
import torch: numpy's log-softmax is as fast on one core and spares two seconds of start-up.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import math
import os
import select
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit import sandbox

# Logits of a batch. On a CPU larger ones cost page faults (16 % of the time at 32 MiB, nothing at
# 8), on a GPU small ones leave it idle; the latter was not measured.
LOGITS_BYTES = {"cpu": 8 << 20, "other": 512 << 20}
SLOTS = 2
OUTPUT_KEPT = 4096


class Crash(Exception):
    """The candidate is at fault; the text is the reason on its record."""


class Trouble(Exception):
    """The scorer can't do its work; says nothing about the candidate."""


def main() -> int:
    """Score the run that the environment names; return the exit status."""
    names = ("CODE_DIR", "RUN_DIR", "DATA_DIR", "SCORE_DIR")
    try:
        if unset := [name for name in names if name not in os.environ]:
            raise Trouble(f"{', '.join(unset)} not set; the kit sets what the module's text names")
        task = tomllib.loads(Path("task.toml").read_text(encoding="utf-8"))
        code, run, data, out = (Path(os.environ[name]).absolute() for name in names)
        result = score(code, run, data, out, task)
    except Crash as crash:
        result = {"crash": str(crash)}
    except (Trouble, OSError, ValueError) as error:
        print(f"score: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def score(code: Path, run: Path, data: Path, out: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Return the score of the weights in `run` under the code in `code`, and write ``rows.npz``.

    Parameters
    ----------
    code, run, data, out
        The candidate's files, its run folder, the whole data folder, and where ``rows.npz`` goes.
    task
        ``task.toml``: ``options.score_tokens`` (default: all rows), ``setup_seconds``,
        ``timeout_seconds``, ``memory_gb``, and ``options.score_batch_seconds`` (default 60).

    Raises
    ------
    Crash
        If the candidate is at fault.
    Trouble
        If the data are not as they have to be, or the child can't import torch.

    Notes
    -----
    Bits per byte after https://arxiv.org/abs/2101.00027 (section 3.1): the nats of all targets that
    stand for bytes, over ln 2 times those bytes; targets without bytes (specials) count nowhere.
    """
    began = time.monotonic()
    parameters = _parameters(run / "weights.safetensors")
    with Model(code, run / "weights.safetensors", task) as model:
        rows, token_bytes = _read(data, task)
        model.build(vocab_size=len(token_bytes), length=rows.shape[1] - 1)
        targets = rows[:, 1:]
        nats = np.concatenate(list(model.nats(rows)))
    counts = token_bytes[targets].astype(np.int64)
    row_nats = np.where(counts > 0, nats, 0.0).sum(axis=1)
    if not np.isfinite(row_nats).all():
        raise Crash("its logits are so far apart that the loss is infinite")
    row_bytes = counts.sum(axis=1)
    if not row_bytes.any():
        raise Trouble("the rows to score stand for no bytes at all: token_bytes.npy is wrong")
    with tempfile.NamedTemporaryFile(dir=out, suffix=".npz", delete=False) as file:
        np.savez(file, nats=row_nats, bytes=row_bytes)
    Path(file.name).replace(out / "rows.npz")
    return {
        "value": float(row_nats.sum() / (math.log(2) * row_bytes.sum())),
        "rows": "rows.npz",
        "scored_rows": len(rows),
        "tokens": targets.size,
        "bytes": int(row_bytes.sum()),
        "seconds": round(time.monotonic() - began, 3),
        "parameters": parameters,
        "sandboxed": sandbox.unavailable() is None,
        "device": model.device,
    }


class Model:
    """The candidate's model in its own sandboxed process; every wait for it has a limit."""

    def __init__(self, code: Path, weights: Path, task: dict[str, Any]) -> None:
        options = task.get("options", {})
        self.setup_seconds = float(task.get("setup_seconds", 120))
        self.batch_seconds = float(options.get("score_batch_seconds", 60))
        self.end = time.monotonic() + float(task.get("timeout_seconds", 600))
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.memory = float(task.get("memory_gb", 0)) * 1e9 or 0.8 * total
        self.hello = {"code": str(code), "weights": str(weights)}
        self.shared = _memory()
        self.replies, child_writes = os.pipe()
        child_reads, self.requests = os.pipe()
        inherited = (child_reads, child_writes, self.shared)
        script = Path(__file__).with_name("serve.py")
        self.process = sandbox.untrusted(
            [sys.executable, "-I", "-B", script, *map(str, inherited)],
            read=[code, weights, script],
            cwd=code,
            env=_environment(code, task),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
        )
        os.close(child_reads)
        os.close(child_writes)
        assert self.process.stdout is not None
        self.output = Tail(self.process.stdout)
        self.received = b""

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        sandbox.kill(self.process)
        for handle in (self.requests, self.replies, self.shared):
            os.close(handle)

    def build(self, vocab_size: int, length: int) -> None:
        """Let the child import train.py, build the model and load the weights."""
        try:
            said = self._reply("importing torch", self.setup_seconds)
        except Crash as crash:  # No line of the candidate's has run yet.
            raise Trouble(f"the model's process did not start: {crash}") from crash
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

    def nats(self, rows: NDArray[np.uint16]) -> Iterator[NDArray[np.float64]]:
        """Yield the loss of each target in nats, (B, T) a batch, in the order of `rows` (N, T + 1).

        While the child computes one batch, this process takes the log-softmax of the one before.
        """
        starts = range(0, len(rows), self.batch)
        workers = 1 if self.device == "cpu" else min(8, os.cpu_count() or 1)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            self._request(0, rows[: self.batch])
            for index, start in enumerate(starts):
                batch = rows[start : start + self.batch]
                # The first batch may compile.
                slack = self.setup_seconds if index == 0 else 0
                self._reply(f"computing rows {start} to {start + len(batch) - 1}", slack)
                if index + 1 < len(starts):
                    ahead = rows[start + self.batch : start + 2 * self.batch]
                    self._request((index + 1) % SLOTS, ahead)
                offset = index % SLOTS * self.slot_bytes + self.logits_at
                yield self._reduce(pool, offset, batch[:, 1:], start)

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

    def _request(self, slot: int, rows: NDArray[np.uint16]) -> None:
        """Ask for the logits of `rows` (B, T + 1) in `slot`; their last tokens stay here."""
        tokens = np.ascontiguousarray(rows[:, :-1], dtype=np.int64)
        os.pwrite(self.shared, tokens.data, slot * self.slot_bytes)
        self._send(slot=slot, rows=len(rows))

    def _send(self, **fields: Any) -> None:
        # A child that is gone is noticed, with its reason, by the wait for its reply.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.requests, (json.dumps(fields) + "\n").encode())

    def _reply(self, doing: str, slack: float = 0) -> dict[str, Any]:
        """Wait for the child's next line, for `slack` seconds longer than for a batch."""
        limit = min(time.monotonic() + self.batch_seconds + slack, self.end)
        poll = select.poll()
        poll.register(self.replies, select.POLLIN)
        while b"\n" not in self.received:
            left = limit - time.monotonic()
            if left <= 0:
                raise Crash(f"hang: time ran out while {doing}{self.output}")
            if not poll.poll(min(left, 0.5) * 1000):
                self._check_memory(doing)
                continue
            some = os.read(self.replies, 1 << 16)
            self.received += some
            if not some:
                raise Crash(f"{self._ended()} while {doing}{self.output}")
            if len(self.received) > 1 << 16:
                raise Crash(f"the model's process flooded its pipe while {doing}")
        line, _, self.received = self.received.partition(b"\n")
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise Crash(f"the model's process sent no JSON object while {doing}{self.output}")
        if "fault" in said:
            raise Crash(_printable(str(said["fault"]))[:1000])
        return said

    def _ended(self) -> str:
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "the model's process closed its pipe"
        if status > 128:
            memory = "; out of memory?" if status == 128 + 9 else ""
            return f"the model's process was killed by signal {status - 128}{memory}"
        return f"the model's process exited with status {status}"

    def _check_memory(self, doing: str) -> None:
        import psutil  # Only waits of half a second and more come here.

        used = 0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    used += process.memory_info().rss
        if used > self.memory:
            raise Crash(
                f"out of memory: the model's process used {used / 1e9:.1f} GB while {doing}, "
                f"the limit is {self.memory / 1e9:.1f} GB"
            )


class Tail:
    """The end of what the child printed, read as it comes so that the child never blocks on it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._kept = b""
        self._source = source
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while some := os.read(self._source.fileno(), 1 << 16):
            self._kept = (self._kept + some)[-OUTPUT_KEPT:]

    def __str__(self) -> str:
        """Return a line break and the text, or nothing when nothing was printed."""
        self._thread.join(0.2)
        text = _printable(self._kept.decode(errors="replace")).strip()
        return f"\nlast output:\n{text}" if text else ""


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable() or each in "\n\t")


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


def _parameters(weights: Path) -> int:
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


def _read(data: Path, task: dict[str, Any]) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Return the rows to score (N, T + 1) and the byte count of each token (V,)."""
    path = data / "val" / "meta.json"
    meta = json.loads(path.read_text(encoding="utf-8"))
    try:
        length, count, vocab_size = (int(meta[name]) for name in ("T", "rows", "vocab_size"))
    except (KeyError, TypeError) as error:
        raise Trouble(f"{path} lacks {error}; prepare the data again") from None
    path = data / "val" / "rows.bin"
    size, expected = path.stat().st_size, count * (length + 1) * 2
    if size != expected:
        raise Trouble(
            f"{path} has {size} bytes, but {count} rows of {length + 1} tokens are {expected}; "
            "remove the data folder and prepare the data again"
        )
    token_bytes: NDArray[np.int32] = np.load(data / "token_bytes.npy", allow_pickle=False)
    if token_bytes.shape != (vocab_size,):
        raise Trouble(f"token_bytes.npy has shape {token_bytes.shape}, expected ({vocab_size},)")
    wanted = task.get("options", {}).get("score_tokens", count * length) // length
    if not 0 < wanted <= count:
        raise Trouble(
            f"{path} has {count} rows of {length} tokens, expected {wanted} at least: options."
            "score_tokens in task.toml asks for them"
        )
    rows = np.fromfile(path, np.uint16, wanted * (length + 1)).reshape(wanted, length + 1)
    if rows.max() >= vocab_size:
        raise Trouble(f"{path} has token {rows.max()}, but the vocabulary ends at {vocab_size - 1}")
    return rows, token_bytes


if __name__ == "__main__":
    sys.exit(main())
