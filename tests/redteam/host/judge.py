"""Measure a compressor in bits per byte on texts that it never saw; trusted, from the baseline.

The candidate's code runs in the sandbox only, in two processes that share nothing: one packs, a
fresh one unpacks in another order. What counts is what went from the one to the other.
"""

import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import autoresearch_kit as ark
from autoresearch_kit import files, sandbox

SECONDS, MOST = 8, 1 << 20
HERE = Path(__file__).resolve().parent


class Crash(Exception):
    """The candidate is at fault."""


def work(code, job, dictionary, texts):
    """Return what the candidate makes of each text; every wait and every answer is bounded."""
    with tempfile.TemporaryFile() as given:
        given.write(b"".join(len(x).to_bytes(4, "big") + x for x in (dictionary, *texts)))
        given.seek(0)
        process = ark.untrusted(
            [sys.executable, "-I", "-S", "-B", HERE / "work.py", code, job],
            read=[code, HERE / "work.py"],
            cwd=code,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    try:
        said, late = b"", time.monotonic() + SECONDS
        while (left := late - time.monotonic()) > 0:
            if select.select([process.stdout], [], [], left)[0]:
                some = os.read(process.stdout.fileno(), 1 << 16)
                said += some
                if not some or len(said) > MOST:
                    break
    finally:
        sandbox.kill(process)
    made, rest = [], said
    while len(rest) >= 4:
        size = int.from_bytes(rest[:4], "big")
        made.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    if len(made) != len(texts) or rest or len(said) > MOST:
        raise Crash(f"{job} gave {len(made)} whole answers to {len(texts)} texts")
    return made


def judge(code, run, data):
    """Return the score of the code in `code` with the dictionary in `run`."""
    try:
        dictionary = files.read_untrusted(run / "dictionary", 32_769)
    except OSError:
        raise Crash("training left no regular file 'dictionary'") from None
    if len(dictionary) > 32_768:
        raise Crash("the dictionary has more than 32,768 bytes")
    texts = [path.read_bytes() for path in sorted((data / "val").glob("*.txt"))]
    packed = work(code, "compress", dictionary, texts)
    order = random.SystemRandom().sample(range(len(texts)), len(texts))
    unpacked = work(code, "decompress", dictionary, [packed[i] for i in order])
    if any(texts[i] != text for i, text in zip(order, unpacked, strict=True)):
        raise Crash("what was unpacked is another text")
    size = sum(len(text) + 2 for text in packed)  # a length is information too
    boxed = sandbox.unavailable() is None
    return {"value": 8 * size / sum(map(len, texts)), "sandboxed": boxed}


if __name__ == "__main__":
    try:
        result = judge(*(Path(os.environ[name]) for name in ("CODE_DIR", "RUN_DIR", "DATA_DIR")))
    except Crash as crash:
        result = {"crash": str(crash)}
    print(json.dumps(result))
