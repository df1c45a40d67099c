"""Measure a model trained with MLX in bits per byte, as the task language_model does.

    python -m autoresearch_kit.tasks.language_model_mlx.score

The scorer, its rows and its checks for leaks are those of that task; only the sandboxed process,
which gives raw logits back, knows MLX (serve_mlx.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

from autoresearch_kit.tasks.language_model import score
from autoresearch_kit.tasks.language_model.model import Framework

MLX = Framework("mlx", Path(__file__).with_name("serve_mlx.py"))


if __name__ == "__main__":
    sys.exit(score.main(MLX))
