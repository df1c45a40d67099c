"""Compare our training speed with the original's train.py, both on one CPU thread.

    git clone https://github.com/karpathy/autoresearch
    python benchmarks/peer_train.py autoresearch

The original's text is read from the clone and adapted in memory: device "cpu", FlashAttention 3
replaced by scaled_dot_product_attention with the same windows, its data module by ours. Model
size, batch, rows and step count are equal. The two take turns of a few steps, and each reports
the CPU time of its own turns, so that a neighbour disturbs both alike.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path

DEPTH, WIDTH, HEAD, ROWS, T, V = 4, 128, 32, 8, 256, 2048
PACKAGE = Path(__file__).parents[1] / "autoresearch_kit" / "tasks" / "language_model"


def take_turns() -> None:
    """Wait for the parent's go, once a batch: report the CPU time of the turn that ended."""
    state = take_turns.__dict__
    if not state.get("left"):
        if "began" in state:
            print(f"\nturn {time.process_time() - state['began']:.6f}", flush=True)
        state["left"] = int(sys.stdin.readline() or sys.exit(0))
        state["began"] = time.process_time()
    state["left"] -= 1


def ours(data: Path, _clone: Path, _dtype: str) -> None:
    """Run our train.py for ever, one turn after another."""
    from autoresearch_kit import source

    os.environ["DATA_DIR"] = str(data / "train")
    sys.path.insert(0, str(PACKAGE / "template"))
    import prepare

    class Endless:
        def start(self, model: object) -> float:
            return 0.0

        def tick(self, tokens: int, loss: float) -> float:
            return 0.3

    def batches(rows, device):  # type: ignore[no-untyped-def]
        for batch in original(rows, device):
            take_turns()
            yield batch

    original, prepare.loader, prepare.Clock = prepare.loader, batches, Endless
    sizes = {"DEPTH": DEPTH, "WIDTH": WIDTH, "HEAD": HEAD, "BATCH": ROWS * T, "MICRO_ROWS": ROWS}
    text = source.set_constants((PACKAGE / "template" / "train.py").read_text(), sizes)
    exec(compile(text, "ours/train.py", "exec"), {"__name__": "__main__"})


def theirs(data: Path, clone: Path, dtype: str) -> None:
    """Run the original's train.py for ever, one turn after another."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    def make_dataloader(_tokenizer, B, T, _split):  # type: ignore[no-untyped-def]
        rows = np.memmap(data / "train" / "rows.bin", np.uint16, "r").reshape(-1, T + 1)
        for i in range(10**9):
            take_turns()
            at = i * B % (len(rows) - B)
            block = torch.from_numpy(rows[at : at + B].astype(np.int64))
            yield block[:, :-1].contiguous(), block[:, 1:].contiguous(), 1

    def attention(q, k, v, causal, window_size):  # type: ignore[no-untyped-def]
        q, k, v = (x.transpose(1, 2).to(v.dtype) for x in (q, k, v))
        back = torch.arange(T)[:, None] - torch.arange(T)
        near = None if window_size[0] >= T else (back >= 0) & (back <= window_size[0])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=near, is_causal=near is None)
        return y.transpose(1, 2)

    tokenizer = types.SimpleNamespace(
        from_directory=lambda: types.SimpleNamespace(get_vocab_size=lambda: V)
    )
    modules = {
        "prepare": {
            "MAX_SEQ_LEN": T,
            "TIME_BUDGET": 10**9,
            "Tokenizer": tokenizer,
            "make_dataloader": make_dataloader,
            "evaluate_bpb": None,
        },
        "kernels": {
            "get_kernel": lambda _: types.SimpleNamespace(
                flash_attn_interface=types.SimpleNamespace(flash_attn_func=attention)
            )
        },
    }
    for name, members in modules.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(members)
    torch.cuda.get_device_capability = lambda *_: (9, 0)  # type: ignore[assignment]
    torch.cuda.synchronize = lambda *_: None  # type: ignore[assignment]
    torch.compile = lambda f=None, **_: f or (lambda g: g)  # type: ignore[assignment]

    text = (clone / "train.py").read_text().replace('"cuda"', '"cpu"')
    if dtype == "float32":
        text = text.replace(".bfloat16()", ".float()").replace("bfloat16", dtype)
        text = text.replace("torch.amp.autocast(", "torch.amp.autocast(enabled=False, ")
    for name, value in {
        "DEVICE_BATCH_SIZE": ROWS,
        "ASPECT_RATIO": WIDTH // DEPTH,
        "HEAD_DIM": HEAD,
        "TOTAL_BATCH_SIZE": ROWS * T,
        "DEPTH": DEPTH,
    }.items():
        text, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value} ", text)
        assert count == 1, f"{clone}/train.py sets {name} {count} times, expected once"
    exec(compile(text, "theirs/train.py", "exec"), {"__name__": "__main__"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="a clone of karpathy/autoresearch")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4, help="steps a turn")
    parser.add_argument("--dtype", default="bfloat16", help="theirs: bfloat16 (its own) or float32")
    parser.add_argument("--role", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        {"ours": ours, "theirs": theirs}[given.role](given.data, given.clone, given.dtype)
        return

    from autoresearch_kit.tasks.language_model import packing

    data = packing.prepare("classics", sequence_len=T, vocab_size=V)
    command = [sys.executable, __file__, str(given.clone), "--dtype", given.dtype]
    children = {
        role: subprocess.Popen(
            [*command, "--data", str(data), "--role", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        for role in ("ours", "theirs")
    }

    def turn(child: subprocess.Popen[str]) -> float:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # said below, with the status
            print(given.steps, file=child.stdin, flush=True)
        for line in child.stdout:
            if line.startswith("turn "):
                return float(line.split()[1])
        raise SystemExit(f"a trainer ended with status {child.wait()}")

    seconds: dict[str, list[float]] = {role: [] for role in children}
    try:
        for child in children.values():  # warm-up, not counted
            turn(child)
        for _ in range(given.turns):
            for role, child in children.items():
                seconds[role].append(turn(child))
    finally:
        for child in children.values():
            child.kill()
            child.wait()
    tokens = given.steps * ROWS * T
    rate = {role: tokens / statistics.median(times) for role, times in seconds.items()}
    pairs = zip(seconds["theirs"], seconds["ours"], strict=True)
    ratios = sorted(theirs / ours for theirs, ours in pairs)
    print(f"depth {DEPTH}, width {WIDTH}, {ROWS} x {T} tokens a step; theirs in {given.dtype}")
    print(f"tokens per CPU second: ours {rate['ours']:,.0f}, the original {rate['theirs']:,.0f}")
    print(
        f"ratio: median {statistics.median(ratios):.2f} of {len(ratios)} pairs of turns, "
        f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    )


if __name__ == "__main__":
    main()
