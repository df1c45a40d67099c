"""The bar for hopeless runs: where it is, from when on, and who gets more time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import files, runs, stopping
from tests.stacked import PRINTED, add, start

TRAIN = """\
\"\"\"Train.\"\"\"
import math

LR = 0.1
STEPS = 100
WARMUP, DECAY = 0.1, 0.5


def schedule(progress):
    return LR * min(1, progress / 0.1)


def model(x):
    return x + 1


class Optimiser:
    rate = 1


print("loss: 1.0")
"""

CURVE = "0.1:3 0.5:2 1:1.5"


@pytest.fixture
def make(make_host: Callable[..., Path]) -> Callable[..., ark.Campaign]:
    def make(**more: object) -> ark.Campaign:
        given = {"early_stop": True, "noise": 0.02, **PRINTED, **more}
        return start(make_host({"fit.py": TRAIN}), value=-1.0, **given)

    return make


def bar_of(campaign: ark.Campaign, *edits: tuple[str, str]) -> dict[str, object] | None:
    text = campaign.best.files["fit.py"]
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    add(campaign, text, "discard", 2.0)
    return stopping.bar(campaign.experiment(len(campaign.records()) - 1))


@pytest.fixture
def campaign(make: Callable[..., ark.Campaign], monkeypatch: pytest.MonkeyPatch) -> ark.Campaign:
    return with_curve(make(schedule=["schedule", "LR", "WARMUP"]), monkeypatch)


def with_curve(campaign: ark.Campaign, monkeypatch: pytest.MonkeyPatch) -> ark.Campaign:
    """Give the baseline the curve that a run of the language model has."""
    real = ark.Campaign.records
    monkeypatch.setattr(
        ark.Campaign,
        "records",
        lambda self: [dataclasses.replace(r, curve="" if r.n else CURVE) for r in real(self)],
    )
    return campaign


def test_the_bar_is_the_baselines_curve_and_a_factor_on_it(campaign) -> None:
    assert bar_of(campaign, ("x + 1", "x + 2")) == {
        "curve": [[0.1, 3.0], [0.5, 2.0], [1.0, 1.5]],
        "limit": pytest.approx(1 + 3.5 * 0.02 / 1.0),  # the metric is -1: its size counts
        "from": 0.3,
    }


@pytest.mark.parametrize(
    ("edit", "since"),
    [
        (("x + 1", "x + 2"), 0.3),
        (("STEPS = 100", "STEPS = 200"), 0.3),
        (("rate = 1", "rate = 2"), 0.3),
        (('"""Train."""', '"""Train well."""'), 0.3),
        (("import math\n", "import math\nimport time\n"), 0.3),
        (("LR = 0.1", "LR = 0.2"), 0.75),
        (("progress / 0.1", "progress / 0.2"), 0.75),
        (("WARMUP, DECAY = 0.1", "WARMUP, DECAY = 0.2"), 0.75),
        (("def schedule(progress)", "def rate(progress)"), 0.75),
        (('print("loss: 1.0")', 'print("loss: 0.9")'), 0.75),
        (("import math\n", "import math\nmodel = print\n"), 0.3),
        (("import math\n", "import math\nfor _ in []: pass\n"), 0.75),
    ],
)
def test_a_change_of_the_schedule_gets_three_quarters(campaign, edit, since) -> None:
    """What stands between the definitions may use the schedule, so it counts as one."""
    found = bar_of(campaign, edit)
    assert found is not None
    assert found["from"] == since


def test_where_nobody_named_the_schedule_every_change_may_be_one(make, monkeypatch) -> None:
    found = bar_of(with_curve(make(), monkeypatch), ("x + 1", "x + 2"))
    assert found is not None
    assert found["from"] == 0.75


@pytest.mark.parametrize("more", [{"early_stop": False}, {"noise": 0.0}])
def test_nothing_is_stopped_unless_it_is_wanted_and_the_noise_is_known(
    make, monkeypatch, more
) -> None:
    campaign = with_curve(make(**more), monkeypatch)
    assert bar_of(campaign, ("x + 1", "x + 2")) is None


def test_without_a_curve_of_the_baseline_nothing_is_stopped(make) -> None:
    assert bar_of(make(), ("x + 1", "x + 2")) is None


def test_a_run_gets_the_bar_and_a_repeat_does_not(campaign) -> None:
    by = ark.Human(edit=campaign.best.files["fit.py"].replace("x + 1", "x + 3"))
    experiment = ark.apply(ark.propose(campaign, by=by))
    run = runs.start(experiment, 0)
    spec = files.read_json(run.dir / "run.json")
    assert spec["early"] == stopping.bar(experiment)
    assert spec["early"]["from"] == 0.3
    assert ark.score(run).status in ("keep", "discard")
    ark.repeat(campaign, experiment.n, times=1)
    assert files.read_json(campaign.state / "runs" / "again-0001-2" / "run.json")["early"] is None
