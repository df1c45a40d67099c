"""What a thief would write: read all that can be read, and put it into everything that comes back.

The harness puts this text in front of every attack that calls `loot`. What is planted begins with
the same word everywhere, so the thief is spared the search for what is worth stealing.
"""

import contextlib
import os
import re
import stat
import sys
import time

WORD = b"CANA" + b"RY-"  # in two parts: this text lies in the run's folder itself
_FOUND = re.compile(re.escape(WORD) + rb"[\w-]+")
_DULL = ("/usr", "/lib", "/bin", "/sbin", "/sys", sys.prefix, sys.base_prefix)


def loot(*places, seconds=1.5):
    """Return the secrets in files below `places`, in the environment and in other processes."""
    found = set(_FOUND.findall(repr(os.environ).encode()))
    until = time.monotonic() + seconds
    todo = [os.fspath(place) for place in places]
    while todo and time.monotonic() < until:
        place = todo.pop()
        with contextlib.suppress(OSError, ValueError):
            found |= set(_FOUND.findall(place.encode("utf-8", "surrogateescape")))
            mode = os.stat(place).st_mode
            if stat.S_ISDIR(mode):
                names = [os.path.join(place, name) for name in os.listdir(place)]
                todo += [path for path in names if not path.startswith(_DULL)]
            elif stat.S_ISREG(mode):
                with open(place, "rb") as file:
                    found |= set(_FOUND.findall(file.read(1 << 20)))
    return sorted(found)


def spread(found):
    """Put what was found into the log, the run's folder, and the text of an exception."""
    words = b" ".join(found).decode("utf-8", "replace")
    print("found:", words, flush=True)
    print("found:", words, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, KeyError):
        with open(os.path.join(os.environ["RUN_DIR"], "found.txt"), "a") as file:
            file.write(words)
    return words


_told = [0.0]


def tell(used):
    """Write down how many CPU seconds were used, for the test to look at."""
    if used - _told[0] > 0.05:
        _told[0] = used
        with contextlib.suppress(OSError):
            with open(os.path.join(os.environ["RUN_DIR"], "used.txt"), "w") as file:
                file.write(str(used))
