"""``python -m autoresearch_kit``: the command line, where its script is not on PATH."""

from __future__ import annotations

import sys

from autoresearch_kit.cli import main

if __name__ == "__main__":
    sys.exit(main())
