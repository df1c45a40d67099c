"""Compress short texts with a dictionary that is learnt within the budget; to be changed."""

import os
import zlib
from collections import Counter
from pathlib import Path

from clock import Clock

SIZE = 8192  # bytes of the dictionary; search: 512 to 32768 log
LONGEST = 60  # bytes of a line that are looked at; search: 20 to 100


def learn(texts, clock):
    """Return the lines that save most, the best one last."""
    counts, step = Counter(), 0
    progress = clock.start()
    while progress < 1:
        text = texts[step % len(texts)]
        counts.update(line[:LONGEST] for line in text.splitlines(keepends=True))
        step += 1
        progress = clock.tick(len(text), 1 / step)
    worth = sorted(counts, key=lambda line: (len(line) - 3) * (counts[line] - 1))
    return b"".join(worth)[-SIZE:]


def compress(data, dictionary):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return packer.compress(data) + packer.flush()


def decompress(data, dictionary):
    return zlib.decompressobj(-15, dictionary).decompress(data)


def main():
    folder = Path(os.environ["DATA_DIR"])
    texts = [path.read_bytes() for path in sorted(folder.glob("*.txt"))]
    Path(os.environ["RUN_DIR"], "dictionary").write_bytes(learn(texts, Clock()))


if __name__ == "__main__":
    main()
