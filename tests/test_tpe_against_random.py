"""TPE against random search on real training runs. Who wins is reported, not asserted.

Slow: four seeds of two arms with 25 runs of half a minute each. The campaigns live in
``labs/acceptance/tpe-random`` and an interrupted call goes on where it was; remove that folder to
measure anew. The last figures are in benchmarks/README.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import tpe_random

FOLDER = Path(__file__).parents[1] / "labs" / "acceptance" / "tpe-random"
SEEDS, EXPERIMENTS = 4, 25


@pytest.mark.acceptance
@pytest.mark.timeout(4 * 3600)
def test_the_difference_between_tpe_and_random_search_is_reported() -> None:
    for seed in range(SEEDS):
        for arm in tpe_random.ARMS:
            tpe_random.run(FOLDER, arm, seed, EXPERIMENTS)
    print(tpe_random.report(FOLDER, SEEDS, EXPERIMENTS))
    budgets = set()
    for seed in range(SEEDS):
        for arm in tpe_random.ARMS:
            records = tpe_random.campaign_of(FOLDER, arm, seed).records()
            assert len(records) > EXPERIMENTS
            budgets.add(records[0].commit)
    assert len(budgets) == 1  # all descend from one measured baseline
