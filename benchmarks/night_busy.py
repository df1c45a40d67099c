"""How busy a night keeps the device, next to the same loop done one step after the other.

    .venv/bin/python benchmarks/night_busy.py                  # about 12 minutes
    .venv/bin/python benchmarks/night_busy.py --proposer 2 --trainer 2

A proposer that sleeps and a trainer that sleeps: all that is left is what the kit adds. Busy is the
share of the time between the first start and the last end in which a training or scoring process
is alive, as seen from outside ten times a second. The baseline is made before and doesn't count.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

import autoresearch_kit as ark
from autoresearch_kit.proposal import Proposal, draft

HERE = Path(__file__).resolve().parent
CONSTANTS = 12
SECONDS = "NIGHT_BUSY_PROPOSER_SECONDS"

TRAIN = """\
import os, time

{constants}

time.sleep({seconds})
total = sum(value for name, value in globals().items() if name.startswith("C_"))
open(os.path.join(os.environ["RUN_DIR"], "weights.safetensors"), "w").write(str(total))
"""

SCORE = """\
import json, os
value = open(os.path.join(os.environ["RUN_DIR"], "weights.safetensors")).read()
print(json.dumps({"value": float(value)}))
"""


def propose(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    """Take a while, then change one constant that nobody has changed; the fourth is better."""
    time.sleep(float(os.environ[SECONDS]))
    path, text = next(iter(campaign.best.files.items()))
    told = [record.hypothesis for record in campaign.records()]
    told += [proposal.hypothesis for proposal in _open(campaign)]
    n = next(i for i in range(CONSTANTS) if f"change {i}" not in told)
    value = 0 if n == 3 else 2
    changed = text.replace(f"C_{n} = 1", f"C_{n} = {value}")
    return draft(campaign, files={path: changed}, hypothesis=f"change {n}", author="sleeper")


def _open(campaign: ark.Campaign) -> list[Proposal]:
    from autoresearch_kit.proposal import unfinished

    return list(unfinished(campaign))


class Watch(threading.Thread):
    """Looks ten times a second for processes that run one of two scripts."""

    def __init__(self, *scripts: str) -> None:
        super().__init__(daemon=True)
        self.scripts, self.samples, self.going = set(scripts), [], True

    def run(self) -> None:
        """Look until `share` is called."""
        while self.going:
            self.samples.append((time.monotonic(), self._alive()))
            time.sleep(0.1)

    def _alive(self) -> bool:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                python = words and Path(words[0]).name.startswith("python")
                if python and self.scripts & {Path(word).name for word in words[1:]}:
                    return True
        return False

    def share(self) -> tuple[float, float]:
        """Return the busy share and the seconds from the first start to the last end."""
        self.going = False
        self.join()
        busy = [i for i, (_, alive) in enumerate(self.samples) if alive]
        within = self.samples[busy[0] : busy[-1] + 1]
        seconds = within[-1][0] - within[0][0]
        steps = itertools.pairwise(within)
        return sum(b[0] - a[0] for a, b in steps if a[1]) / seconds, seconds


def open_campaign(folder: Path, seconds: float, name: str) -> tuple[ark.Campaign, Watch]:
    """Make a host with its baseline scored; nobody else runs scripts of these names."""
    train, score = (f"{kind}_{name}_{os.getpid()}.py" for kind in ("train", "score"))
    host = folder / name
    host.mkdir(parents=True)
    # Constants stand apart, so that two changes don't touch the same hunk.
    constants = "\n\n\n\n\n\n\n".join(f"C_{i} = 1" for i in range(CONSTANTS))
    (host / train).write_text(TRAIN.format(constants=constants, seconds=seconds))
    (host / score).write_text(SCORE)
    for words in (
        ["init", "-q"],
        ["config", "user.name", "Benchmark"],
        ["config", "user.email", "benchmark@example.org"],
        ["add", "."],
        ["commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", host, *words], check=True)
    campaign = ark.open_campaign(
        host,
        tag="busy",
        edit=train,
        train=[sys.executable, train],
        score=["python", score],
        metric="loss",
    )
    ark.baseline(campaign)
    watch = Watch(train, score)
    watch.start()
    return campaign, watch


def one_after_the_other(campaign: ark.Campaign, experiments: int, by: Any) -> None:
    for _ in range(experiments):
        proposal = ark.propose(campaign, by=by).approve()
        ark.score(ark.train_5min(ark.apply(proposal)))


def tell(what: str, campaign: ark.Campaign, watch: Watch) -> float:
    share, seconds = watch.share()
    found = [record.status for record in campaign.records()[1:]]
    print(
        f"{what:22} {100 * share:5.1f} % busy, {seconds:6.1f} s, {len(found)} experiments, "
        f"{found.count('keep')} kept, parents {[r.parent for r in campaign.records()[1:]]}",
        flush=True,
    )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proposer", type=float, default=20.0, help="seconds a proposal takes")
    parser.add_argument("--trainer", type=float, default=20.0, help="seconds a run takes")
    parser.add_argument("--experiments", type=int, default=10)
    args = parser.parse_args()
    os.environ[SECONDS] = str(args.proposer)
    os.environ["TQDM_DISABLE"] = "1"
    sys.path.insert(0, str(HERE))
    from night_busy import propose as travelling  # by this name the night can import it

    print(
        f"proposer {args.proposer:g} s, trainer {args.trainer:g} s; load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        campaign, watch = open_campaign(Path(folder), args.trainer, "night")
        night = ark.overnight(
            campaign, approve="everything", by=travelling, experiments=args.experiments
        ).wait(progress=False)
        print(night)
        with_night = tell("night", campaign, watch)
        campaign, watch = open_campaign(Path(folder), args.trainer, "loop")
        one_after_the_other(campaign, args.experiments, travelling)
        alone = tell("one after the other", campaign, watch)
        print(f"the loop takes {alone / with_night:.2f} times as long as the night")


if __name__ == "__main__":
    main()
