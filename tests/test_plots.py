"""The staircase: what is drawn, from the artists themselves."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from autoresearch_kit import plots
from autoresearch_kit.plots import labels


@pytest.fixture(autouse=True)
def _agg(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a plot never calls show()"))
    yield
    plt.close("all")


def campaign(n: int, keep_every: int = 5, goal: str = "minimize") -> pd.DataFrame:
    """Return a table with keeps, discards and crashes; the hypotheses are long."""
    chance = random.Random(n)
    sign, best, rows = (1 if goal == "maximize" else -1), 2.3, []
    for i in range(n):
        keep, crash = i % keep_every == 0, i % 7 == 3 and i % keep_every != 0
        value = best + sign * 0.01 if keep else best - sign * abs(chance.gauss(0, 0.02))
        best = value if keep else best
        status = "keep" if keep else "crash" if crash else "discard"
        words = f"raise the matrix learning rate for the {i}. time, because it $may$ help"
        rows.append((i, float("nan") if crash else value, status, words))
    df = pd.DataFrame(rows, columns=["experiment", "metric", "status", "hypothesis"])
    df.attrs = {"metric": "val_loss", "unit": "nats", "goal": goal}
    return df


def points(ax: Axes, label: str) -> np.ndarray:
    found = [c for c in ax.collections if c.get_label() == label]
    return np.concatenate([np.asarray(c.get_offsets()) for c in found]) if found else np.empty(0)


def words(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts if t.get_text()]


@pytest.mark.parametrize("n", [10, 100, 1000])
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_every_experiment_is_drawn_once(n: int, goal: str):
    df = campaign(n, goal=goal)
    ax = plots.progress(df)

    assert isinstance(ax, Axes)
    assert len(points(ax, "kept")) == (df["status"] == "keep").sum()
    discards = len(points(ax, "discarded")) + len(points(ax, "off the scale"))
    assert discards == (df["status"] == "discard").sum()
    assert len(points(ax, "crashed")) == (df["status"] == "crash").sum()


def test_the_line_follows_the_kept_experiments():
    df = campaign(12)
    ax = plots.progress(df)
    stairs = ax.lines[0]
    kept = df[df["status"] == "keep"]

    assert stairs.get_drawstyle() == "steps-post"
    assert list(stairs.get_xdata()) == [*kept["experiment"], 11]
    assert list(stairs.get_ydata()) == [*kept["metric"], kept["metric"].iloc[-1]]
    assert ax.lines[1].get_ydata()[0] == df["metric"][0]


@pytest.mark.parametrize(("goal", "direction"), [("minimize", "lower"), ("maximize", "higher")])
def test_the_axis_says_unit_and_direction(goal: str, direction: str):
    ax = plots.progress(campaign(10, goal=goal))
    assert ax.get_ylabel() == f"val_loss (nats; {direction} is better)"
    assert ax.get_xlabel() == "experiment"


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_crashes_and_blow_ups_lie_at_the_worse_edge(goal: str):
    df = campaign(20, goal=goal)
    df.loc[1, "metric"] = 90.0 if goal == "minimize" else -90.0
    ax = plots.progress(df)
    edge = 0.985 if goal == "minimize" else 0.015

    assert set(points(ax, "crashed")[:, 1]) == {edge}
    assert points(ax, "off the scale").tolist()[0] == [1, edge]
    low, high = ax.get_ylim()
    assert high - low < 1


@pytest.mark.parametrize(("n", "keep_every"), [(10, 3), (80, 3), (126, 5), (1000, 20)])
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_labels_do_not_collide_and_stay_inside(n: int, keep_every: int, goal: str):
    ax = plots.progress(campaign(n, keep_every, goal))
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text()]
    axes = ax.get_window_extent()

    assert len(boxes) >= min(3, n // keep_every)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(axes.x0 <= b.x0 and b.x1 <= axes.x1 for b in boxes)
    assert all(axes.y0 <= b.y0 and b.y1 <= axes.y1 for b in boxes)


def test_labels_name_experiment_and_hypothesis_of_the_largest_gains():
    df = campaign(60, 2)
    df.loc[df["experiment"] >= 30, "metric"] -= 0.5
    shown = words(plots.progress(df))

    assert 10 <= len(shown) <= labels.MAX_LABELS
    assert any(text.startswith("30 raise the matrix") and text.endswith("…") for text in shown)
    assert not any(text.startswith("0 ") for text in shown)


def test_a_dollar_sign_in_a_hypothesis_is_no_formula():
    df = campaign(6)
    df.loc[5, "hypothesis"] = r"pay $\badmacro$ more"
    ax = plots.progress(df)
    ax.get_figure(root=True).draw_without_rendering()
    assert r"5 pay \$\badmacro\$ more" in words(ax)


def test_style_sheets_are_obeyed():
    with plt.style.context("dark_background"):
        dark = plots.progress(campaign(10))
        first = mpl.colors.to_rgb("C0")
    light = plots.progress(campaign(10))

    def colour(ax: Axes, label: str) -> tuple[float, ...]:
        found: PathCollection = next(c for c in ax.collections if c.get_label() == label)
        return tuple(found.get_facecolor()[0][:3])

    assert colour(dark, "kept") == first
    assert colour(dark, "kept") != colour(light, "kept")
    assert dark.lines[0].get_color()[:3] == first
    # Grey is text mixed into background: the same here, against white and against black.
    assert colour(dark, "discarded") != colour(light, "discarded")


def test_it_draws_where_it_is_told_and_leaves_no_other_figure():
    figure, ax = plt.subplots()
    assert plots.progress(campaign(10), ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


def test_several_campaigns_are_several_lines():
    df = pd.concat([campaign(10).assign(campaign="a"), campaign(12).assign(campaign="b")])
    df.attrs = campaign(1).attrs
    ax = plots.progress(df)
    assert {"a", "b"} <= {c.get_label() for c in ax.collections}


def test_an_overridden_keep_is_no_longer_on_the_staircase():
    df = campaign(11).assign(about=pd.array([None] * 11, dtype="Int64"))
    judge = df.iloc[[10]].assign(experiment=11, about=10, status="discard")
    df.loc[10, "status"] = "discard"
    df = pd.concat([df, judge])
    assert points(plots.progress(df), "kept")[:, 0].tolist() == [0, 5]


@pytest.mark.parametrize("status", ["crash", "refused", "quarantine", "discard"])
def test_a_campaign_without_keeps_still_draws(status: str):
    df = campaign(4).assign(status=status)
    df["metric"] = np.nan if status in {"crash", "refused"} else 1.0
    assert plots.progress(df).get_xlabel() == "experiment"


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match=r"no column 'metric'.*ark\.history"):
        plots.progress(pd.DataFrame({"experiment": [0]}))
    df = campaign(3)
    df.attrs["goal"] = ""
    with pytest.raises(ValueError, match="different goals"):
        plots.progress(df)
