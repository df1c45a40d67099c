"""Pack or unpack what comes in, with the candidate's fast.py; runs in the sandbox.

    python -I work.py CODE_DIR compress|decompress

A frame is four bytes of length, then so many bytes. The first frame is the dictionary.
"""

import importlib
import os
import sys


def frames(content):
    while content:
        size = int.from_bytes(content[:4], "big")
        yield content[4 : 4 + size]
        content = content[4 + size :]


if __name__ == "__main__":
    code, job = sys.argv[1:]
    sys.path.insert(0, code)
    dictionary, *texts = frames(sys.stdin.buffer.read())
    with os.fdopen(os.dup(1), "wb") as out:
        work = getattr(importlib.import_module("fast"), job)
        for text in texts:
            made = work(text, dictionary)
            out.write(len(made).to_bytes(4, "big") + made)
