"""Reading histories: 10,000 experiments out of git, and a results file joined to a clone.

The repository is generated: each experiment a commit (discarded ones on no branch) and an annotated
tag with a body as long as a real one's. Every figure comes from a fresh process. GitPython reads
the same tags into the same JSON beside it, where it is installed.

    pip install --target peer GitPython
    PYTHONPATH=peer python benchmarks/history_read.py
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

EXPERIMENTS, ROWS, COMMITS = 10_000, 535, 1_000
SECONDS, MEGABYTES, PROCESSES, RATIO, JOIN_SECONDS = 1.0, 400, 5, 30, 0.5
TRAIN = "LR = {lr}\nWIDTH = 64\n\n\ndef train():\n    return LR * WIDTH\n"


def campaign(count: int) -> Iterator[str]:
    """Yield a ``git fast-import`` stream of a campaign with so many decided experiments."""
    from autoresearch_kit import records

    chance = random.Random(0)
    best, kept, lr = 2.4, 0, 0.04
    for n in range(count):
        keep = n == 0 or chance.random() < 0.1
        parent, value = kept, best + (-0.0002 if keep else chance.random() / 10)
        tried = 0.04 + n / 1e6
        record = records.Record(
            campaign="night",
            n=n,
            status="keep" if keep else "discard",
            commit="",
            hypothesis=f"LR {lr:.6f} -> {tried:.6f}: a step of the usual size, number {n}",
            parent=None if n == 0 else parent,
            parent_commit=f"{parent:040x}",
            author="TPE",
            approver="Ada <ada@example.org>",
            metric="val_loss",
            unit="nats",
            value=value,
            delta=value - best,
            noise=0.009357667978450506,
            gain=0.0002 if keep else None,
            replicates=tuple(
                {"seed": s, "seed_injected": True, "value": value, "run": f"{n:04d}-{s}"}
                for s in (1, 2)[: 2 if keep else 1]
            ),
            evidence={
                f"number_{i}": chance.random() for i in range(10)
            } | {"z": chance.random(), "error": 0.01, "rule": "two_stage"},
            rule="two_stage",
            reason="0.1 sigma worse with one run",
            sandboxed=True,
            constants={"LR": tried} | {f"CONSTANT_{i}": 0.1 * i for i in range(18)},
            code=f"{n:016x}",
            lines_added=1,
            lines_removed=1,
            setup_seconds=4.7,
            training_seconds=300.0,
            scoring_seconds=7.5,
            peak_memory_mb=468.5,
            tokens=202_752,
            parameters=688_264,
            device="cpu",
            versions={"kit": "0.1.0", "python": "3.12.1", "torch": "2.6.0", "numpy": "2.2.0"},
            curve=records.curve((i / 49, 7 - i / 20 + chance.random() / 5) for i in range(49)),
            proposal={"id": f"{n}", "program": "f16932835d84", "cost": 0.01, "tokens": 900},
            decided=f"2026-11-{1 + n // 1440 % 28:02d}T{n // 60 % 24:02d}:{n % 60:02d}:00+00:00",
        )  # fmt: skip
        yield commit(n + 1, f"refs/autoresearch/night/{n:04d}", record.hypothesis, tried,
                     parent + 1 if n else None)  # fmt: skip
        yield f"reset refs/autoresearch/night/{n:04d}\nfrom {'0' * 40}\n\n"  # the tag holds it
        message = record.message()
        yield (
            f"tag autoresearch/night/{n:04d}\nfrom :{n + 1}\n"
            + WHO.format("tagger", n)
            + data(message)
        )
        if keep:
            best, kept, lr = value, n, tried
    yield f"reset refs/heads/autoresearch/night\nfrom :{kept + 1}\n\n"


WHO = "{} A <a@example.org> {:d} +0000\n"


def data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


def commit(mark: int, ref: str, message: str, lr: float, parent: int | None) -> str:
    begun = f"from :{parent}\n" if parent is not None else ""
    change = f"M 100644 inline train.py\n{data(TRAIN.format(lr=lr))}"
    who = WHO.format("committer", 1_700_000_000 + mark)
    return f"commit {ref}\nmark :{mark}\n{who}{data(message)}{begun}{change}"


def original(count: int) -> Iterator[str]:
    """Yield a ``git fast-import`` stream of a branch with so many commits, as others make them."""
    for n in range(count):
        yield commit(n + 1, "refs/heads/autoresearch/mar8", f"LR {n}", 0.04 + n / 1e6, n or None)


def generate(folder: Path, stream: Iterator[str]) -> Path:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    command = ["git", "-C", str(folder), "fast-import", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        for part in stream:
            process.stdin.write(part.encode())
    assert not process.returncode
    subprocess.run(["git", "-C", str(folder), "pack-refs", "--all"], check=True)
    return folder


def results(repo: Path, rows: int) -> Path:
    """Write a results file beside the clone's files whose rows name every second commit."""
    log = subprocess.run(
        ["git", "-C", str(repo), "log", "--format=%h", "--reverse", "autoresearch/mar8"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    lines = ["commit\tval_loss\tmemory_gb\tstatus\tdescription"]
    for n, name in enumerate(log[:: max(1, len(log) // rows)][:rows]):
        keep = "keep" if n % 10 == 0 else "discard"
        lines.append(f"{name}\t{2.4 - n / 1e4:.6f}\t44.0\t{keep}\tLR {n}")
    subprocess.run(
        ["git", "-C", str(repo), "symbolic-ref", "HEAD", "refs/heads/autoresearch/mar8"], check=True
    )
    (repo / "results.tsv").write_text("\n".join(lines) + "\n")
    return repo


def megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def cpu_seconds() -> float:
    """Return what this process and those that it waited for used; a busy machine adds little."""
    return sum(os.times()[:4])


def measure(repo: Path, what: str) -> dict[str, float]:
    """Do one reading in this process, and nothing else."""
    started = time.perf_counter()
    if what == "gitpython":
        import git as gitpython  # type: ignore[import-not-found]

        loaded, used = time.perf_counter(), cpu_seconds()
        bodies = [
            json.loads(tag.tag.message.partition("\n\n")[2])
            for tag in gitpython.Repo(repo).tags
            if tag.tag is not None
        ]
        seconds = time.perf_counter() - loaded
        return {"seconds": seconds, "cpu_seconds": cpu_seconds() - used, "rows": len(bodies)}
    import pandas as pd  # noqa: F401

    import autoresearch_kit as ark
    from autoresearch_kit import records

    calls: list[object] = []
    sys.addaudithook(
        lambda event, args: calls.append(args) if event == "subprocess.Popen" else None
    )
    ark.history  # noqa: B018 (loads what it needs)
    loaded, before, used = time.perf_counter(), megabytes(), cpu_seconds()
    rows = records.read_all(repo) if what == "records" else ark.history(repo)
    done = time.perf_counter()
    return {
        "seconds": done - loaded,
        "cpu_seconds": cpu_seconds() - used,
        "with_imports": done - started,
        "rows": len(rows),
        "processes": len(calls),
        "megabytes": megabytes(),
        "before": before,
    }


def fresh(repo: Path, what: str, rounds: int) -> dict[str, float]:
    """Return the medians of readings, each in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, str(repo)]
    found = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(rounds)
    ]
    return {key: statistics.median(each[key] for each in found) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=EXPERIMENTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "REPO"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(Path(args.measure[1]), args.measure[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        repo = generate(Path(folder, "night"), campaign(args.experiments))
        clone = results(generate(Path(folder, "clone"), original(COMMITS)), ROWS)
        print(f"generated in {time.perf_counter() - started:.1f} s")
        whole, read = (fresh(repo, what, args.rounds) for what in ("history", "records"))
        print(
            f"history() of {whole['rows']:,.0f} experiments: {whole['seconds']:.2f} s (limit "
            f"{SECONDS:g} s), of CPU time {whole['cpu_seconds']:.2f} s, git's included; "
            f"{whole['with_imports']:.2f} s with the imports of pandas and the kit"
        )
        print(
            f"peak memory {whole['megabytes']:.0f} MiB (limit {MEGABYTES}), of which "
            f"{whole['before']:.0f} before the reading; {whole['processes']:.0f} git processes "
            f"(limit {PROCESSES})"
        )
        joined = fresh(clone, "history", args.rounds)
        print(
            f"{joined['rows']:.0f} rows joined to {COMMITS:,} commits: {joined['seconds']:.2f} s "
            f"(limit {JOIN_SECONDS:g} s)"
        )
        try:
            peer = fresh(repo, "gitpython", 1)
        except subprocess.CalledProcessError as error:
            print("GitPython", error.stderr.strip().splitlines()[-1])
            print(
                "for the ratio: pip install --target peer GitPython, then PYTHONPATH=peer python …"
            )
            return
        print(
            f"tag messages to JSON: {read['seconds']:.2f} s, GitPython {peer['seconds']:.1f} s for "
            f"{peer['rows']:,.0f}: {peer['seconds'] / read['seconds']:.0f} times faster (limit "
            f"{RATIO}), by CPU time {peer['cpu_seconds'] / read['cpu_seconds']:.0f} times; all of "
            f"history(): {peer['seconds'] / whole['seconds']:.0f} times"
        )


if __name__ == "__main__":
    main()
