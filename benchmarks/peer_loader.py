"""Compare our loader with the original's at T = 256, on one CPU thread.

    git clone https://github.com/karpathy/autoresearch
    python benchmarks/peer_loader.py autoresearch

The original's prepare.py is read from the clone and adapted in memory to a CPU: it tokenises and
packs while it loads. Ours reads rows that `prepare` packed once. Both get the same documents and
tokeniser and take turns; CPU time is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path

ROWS, T, V = 8, 256, 2048
PACKAGE = Path(__file__).parents[1] / "autoresearch_kit" / "tasks" / "language_model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="a clone of karpathy/autoresearch")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--batches", type=int, default=40, help="of the original, a turn")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(PACKAGE / "template"))

    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import tiktoken

    from autoresearch_kit.tasks.language_model import corpora, packing

    data = packing.prepare("classics", sequence_len=T, vocab_size=V)
    os.environ["DATA_DIR"] = str(data / "train")
    import prepare

    code = packing.encoding(json.loads((data / "tokenizer.json").read_text()))
    text = (given.clone / "prepare.py").read_text()
    text = text.replace('device="cuda"', 'device="cpu"').replace(
        "pin_memory=True", "pin_memory=False"
    )
    sys.modules.setdefault("requests", types.ModuleType("requests"))
    peer = {"__name__": "peer"}
    exec(compile(text, "theirs/prepare.py", "exec"), peer)
    encoder = tiktoken.Encoding(
        "peer",
        pat_str=code._pat_str,
        mergeable_ranks=code._mergeable_ranks,
        special_tokens={peer["BOS_TOKEN"]: V - 1},
    )
    with tempfile.TemporaryDirectory() as folder:
        texts = list(
            corpora.corpus("classics", packing.cache_folder() / "downloads").documents("train")
        )
        for shard in ("shard_00000.parquet", peer["VAL_FILENAME"]):
            pq.write_table(pa.table({"text": texts}), Path(folder) / shard)
        peer["DATA_DIR"] = folder
        theirs = peer["make_dataloader"](peer["Tokenizer"](encoder), ROWS, T, "train")
        ours = prepare.loader(ROWS)
        next(theirs)
        next(ours)
        ratios, rates = [], {"ours": [], "theirs": []}  # type: ignore[var-annotated]
        for _ in range(given.turns):
            for name, loader, batches in (
                ("theirs", theirs, given.batches),
                ("ours", ours, 50 * given.batches),
            ):
                began = time.process_time()
                for _ in range(batches):
                    next(loader)
                rates[name].append(batches * ROWS * T / (time.process_time() - began))
            ratios.append(rates["ours"][-1] / rates["theirs"][-1])
    median = {name: statistics.median(found) / 1e6 for name, found in rates.items()}
    print(
        f"million tokens per CPU second: ours {median['ours']:.1f}, original {median['theirs']:.2f}"
    )
    print(
        f"ratio: median {statistics.median(ratios):.0f} of {len(ratios)} turns, "
        f"from {min(ratios):.0f} to {max(ratios):.0f}"
    )


if __name__ == "__main__":
    main()
