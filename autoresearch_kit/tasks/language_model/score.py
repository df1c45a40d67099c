"""Measure a trained model in bits per byte; nothing that the candidate says counts.

    python -m autoresearch_kit.tasks.language_model.score

takes CODE_DIR, RUN_DIR, DATA_DIR and SCORE_DIR from the environment, SPLIT when it isn't "val", and
task.toml from the working directory. It prints one JSON object, with the score or with
``{"crash": "why"}`` when the candidate is at fault; on any trouble of its own it exits with status
1 and says why on stderr.

rows.py has what is scored, model.py the sandboxed model, checks.py looks for leaks.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from autoresearch_kit import sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import ScorerError
from autoresearch_kit.tasks.language_model import checks, rows
from autoresearch_kit.tasks.language_model.model import TORCH, Framework, Model, parameters


def main(framework: Framework = TORCH) -> int:
    """Score the run that the environment names; return the exit status."""
    names = ("CODE_DIR", "RUN_DIR", "DATA_DIR", "SCORE_DIR")
    try:
        if unset := [name for name in names if name not in os.environ]:
            raise ScorerError(
                f"{', '.join(unset)} not set; the kit sets what the module's text names"
            )
        task = tomllib.loads(Path("task.toml").read_text(encoding="utf-8"))
        code, run, data, out = (Path(os.environ[name]).absolute() for name in names)
        split = os.environ.get("SPLIT") or "val"
        result = score(code, run, data, out, task, split=split, framework=framework)
    except Crash as crash:
        result = {"crash": str(crash)} | ({"checks": crash.checks} if crash.checks else {})
    except (ScorerError, OSError, ValueError) as error:
        print(f"score: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def score(
    code: Path,
    run: Path,
    data: Path,
    out: Path,
    task: dict[str, Any],
    *,
    split: str = "val",
    check: bool = True,
    framework: Framework = TORCH,
) -> dict[str, Any]:
    """Return the score of the weights in `run` under the code in `code`, and write ``rows.npz``.

    Parameters
    ----------
    code, run, data, out
        The candidate's files, its run folder, the whole data folder, and where ``rows.npz`` goes.
    task
        ``task.toml``: ``options.score_tokens`` (default: all rows), ``setup_seconds``,
        ``timeout_seconds``, ``memory_gb``, and ``options.score_batch_seconds`` (default 60).
    split
        ``val`` or ``test``.
    check
        False leaves out what `checks` does, to measure what that costs.
    framework
        What the candidate is written in.

    Raises
    ------
    Crash
        If the candidate is at fault.
    ScorerError
        If the data are not as they have to be, or the child can't import the framework.
    """
    began = time.monotonic()
    weights = run / "weights.safetensors"
    size = parameters(weights)
    with Model(code, weights, task, framework) as model, contextlib.ExitStack() as stack:
        # At once, for most of its time goes into importing the framework.
        witness = stack.enter_context(Model(code, weights, task, framework)) if check else None
        held_out = rows.read(data, split, task.get("options", {}).get("score_tokens"))
        model.build(held_out.vocab_size, held_out.targets.shape[1])
        bits = held_out.bits(model.nats(held_out.tokens[:, :-1], held_out.targets))
        if not np.isfinite(bits).all():
            raise Crash("its logits are so far apart that the loss is infinite")
        scored = time.monotonic()
        found, suspicion = checks.look(model, witness, held_out, bits) if witness else ({}, "")
    ended = time.monotonic()
    result = {
        "value": rows.save(out, held_out, bits),
        "rows": "rows.npz",
        "split": split,
        "checks": found,
        "scored_rows": len(bits),
        "tokens": bits.size,
        "bytes": int(held_out.bytes.sum()),
        "seconds": round(ended - began, 3),
        "check_seconds": round(ended - scored, 3),
        "parameters": size,
        "sandboxed": sandbox.unavailable() is None,
        "device": model.device,
    }
    return result | ({"quarantine": suspicion} if suspicion else {})


if __name__ == "__main__":
    sys.exit(main())
