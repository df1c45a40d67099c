"""What was learned, in pictures: what is drawn, from the artists themselves."""

from __future__ import annotations

import base64
import copy
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from nbclient import NotebookClient
from PIL import Image

from autoresearch_kit import plots
from autoresearch_kit._version import __version__
from autoresearch_kit.plots import labels, style

NOISE = 0.004


@pytest.fixture(autouse=True)
def _agg(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    plt.switch_backend("agg")
    yield
    plt.close("all")


# experiment, status, metric, runs, author, guess of the approver, cost, seconds of a run
NIGHT = [
    (0, "keep", 2.400, 3, "Ada <ada@example.org>", None, 0.0, 100),
    (1, "discard", 2.410, 1, "TPE", None, 0.0, 100),
    (2, "keep", 2.380, 2, "LLM m", -0.01, 0.5, 100),
    (3, "crash", None, 0, "LLM m", None, 0.5, 20),
    (4, "discard", 2.379, 2, "TPE", 0.02, 0.0, 100),
    (5, "refused", None, 0, "LLM m", None, 0.25, None),
    (6, "keep", 2.350, 2, "Ada <ada@example.org>", -0.03, 0.0, 100),
    (7, "quarantine", 2.300, 1, "LLM m", None, 0.5, 100),
]


def night(goal: str = "minimize", campaign: str = "nov23", rows: Any = NIGHT) -> pd.DataFrame:
    """Return a table like that of `history`, with one experiment of each kind."""
    names = ["experiment", "status", "metric", "n_replicates", "author", "guess", "cost", "seconds"]
    df = pd.DataFrame(rows, columns=names)
    df = df.astype({"metric": float, "guess": float, "cost": float, "seconds": float})
    if goal == "maximize":
        df["metric"] = 3 - df["metric"]
        df["guess"] = -df["guess"]
    best = df["metric"].where(df["status"] == "keep").ffill().shift()
    runs = df["n_replicates"].clip(lower=1)
    minutes = pd.to_timedelta(np.arange(len(df)) * 10.0, "min")
    df = df.assign(
        campaign=campaign,
        hypothesis=[f"idea {n}" for n in df["experiment"]],
        delta=df["metric"] - best,
        noise=NOISE,
        error=NOISE * np.sqrt(1 / runs + 1 / 2),
        parent=pd.array([None, *[0] * (len(df) - 1)][: len(df)], dtype="Int64"),
        about=pd.array([None] * len(df), dtype="Int64"),
        kind="",
        expected=np.nan,
        approver="Ada <ada@example.org>",
        setup_seconds=10.0,
        training_seconds=df["seconds"] - 30,
        scoring_seconds=20.0,
        run_seconds=(df["seconds"] * runs).astype(float),
        proposal_seconds=5.0,
        decided=pd.Timestamp("2026-11-23T20:00Z") + minutes,
        program=["aaaaaaaaaaaa" if n < 4 else "bbbbbbbbbbbb" for n in df["experiment"]],
        changed="LR",
        lines_added=1,
        lines_removed=1,
        curve=["0.1:5 0.5:3 1:2.5" if m == m else "" for m in df["metric"]],
        commit=[f"{n:040x}" for n in df["experiment"]],
    ).drop(columns="seconds")
    df.attrs = {"metric": "val_loss", "unit": "nats", "goal": goal, "campaigns": [campaign]}
    return df


def constants(df: pd.DataFrame, values: Any = None) -> pd.DataFrame:
    """Return a table like that of `constants`, with one constant."""
    table = df[["campaign", "experiment", "status", "metric", "delta"]].copy()
    values = [0.01 * 2**n for n in range(len(df))] if values is None else values
    table = table.assign(name="LR", value=pd.Series(list(values), dtype=object), changed=True)
    table.attrs = df.attrs
    return table


def both(*tables: pd.DataFrame) -> pd.DataFrame:
    df = pd.concat(tables)
    df.attrs = tables[0].attrs
    return df


PICTURES: dict[str, Callable[..., Axes]] = {
    "progress": plots.progress,
    "hours": lambda df, ax=None: plots.progress(df, "hours", ax=ax),
    "cost": lambda df, ax=None: plots.progress(df, "cost", ax=ax),
    "gains": plots.gains,
    "curves": lambda df, ax=None: plots.curves(df, ax=ax),
    "spending": plots.spending,
    "money": lambda df, ax=None: plots.spending(df, "cost", ax=ax),
    "author": lambda df, ax=None: plots.hit_rate(df, ax=ax),
    "kind": lambda df, ax=None: plots.hit_rate(df, "kind", ax=ax),
    "program": lambda df, ax=None: plots.hit_rate(df, "program", ax=ax),
    "response": lambda df, ax=None: plots.response(constants(df), "LR", ax),
    "calibration": plots.calibration,
}

TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "a night": night,
    "higher is better": lambda: night("maximize"),
    "two campaigns": lambda: both(night(), night(campaign="nov24")),
    "only a baseline": lambda: night(rows=NIGHT[:1]),
    "only crashes": lambda: night().assign(status="crash", metric=np.nan, delta=np.nan),
    "no keeps": lambda: night().assign(status="discard"),
    "nothing": lambda: night().iloc[:0],
    "strange statuses": lambda: night().assign(status=["Keep", "run", "KEEP ", *["x"] * 5]),
    "infinities": lambda: night().assign(metric=[2.4, np.inf, 2.38, -np.inf, *[np.nan] * 4]),
    "another index": lambda: night().set_index(pd.Index([3] * len(NIGHT))),
}


SAYS = {
    ("hours", "nothing"): r"expected a column 'run_seconds'",
    ("cost", "nothing"): "expected a column 'cost'",
    ("cost", "only a baseline"): "expected a column 'cost'",
    ("spending", "nothing"): "expected columns such as 'training_seconds'",
    ("money", "nothing"): "expected a column 'cost'",
    ("money", "only a baseline"): "expected a column 'cost'",
    ("response", "nothing"): "no experiment has a constant 'LR'",
}


VARIANTS = {"hours", "cost", "money", "kind", "program"}  # the same function once more


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (name, table)
        for i, table in enumerate(TABLES)
        for name in PICTURES
        if name not in VARIANTS or i % 2 == 0
    ],
)
@pytest.mark.filterwarnings("error")
def test_every_picture_draws_every_table_or_says_what_is_missing(name: str, table: str):
    figure, ax = plt.subplots()
    if (name, table) in SAYS:
        with pytest.raises(ValueError, match=SAYS[name, table]):
            PICTURES[name](TABLES[table](), ax=ax)
        return
    assert PICTURES[name](TABLES[table](), ax=ax) is ax
    if table in {"a night", "only crashes", "nothing"}:  # the others have the same parts
        figure.draw_without_rendering()
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", PICTURES)
def test_three_columns_are_enough_or_the_error_names_the_missing_one(name: str):
    df = night()[["experiment", "status", "metric"]]
    if name == "response":
        with pytest.raises(ValueError, match=r"no columns 'name' and 'value'.*ark\.constants"):
            plots.response(df, "LR")
    elif name in {"progress", "gains"}:
        PICTURES[name](df).figure.canvas.draw()
    else:
        with pytest.raises(ValueError, match=r"expected (a column|columns|what ark\.history)"):
            PICTURES[name](df)


def test_a_metric_of_text_is_said_with_the_line_to_type():
    with pytest.raises(ValueError, match=r"pd\.to_numeric\(df\['metric'\]"):
        plots.progress(night().assign(metric="2.4"))


@pytest.mark.parametrize("sheet", ["default", "dark_background"])
@pytest.mark.parametrize("name", sorted(PICTURES.keys() - VARIANTS))
def test_all_words_can_be_read_on_light_and_on_dark(name: str, sheet: str):
    def brightness(colour: Any) -> float:
        rgb = np.array(mpl.colors.to_rgb(colour))
        return float(np.where(rgb <= 0.04, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ WEIGHTS)

    with plt.style.context(sheet):
        ax = PICTURES[name](night())
        ax.figure.draw_without_rendering()
    back = brightness(ax.figure.figure.get_facecolor()) + 0.05
    words = [t for t in ax.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]
    assert words
    for text in words:
        ratio = (brightness(text.get_color()) + 0.05) / back
        assert max(ratio, 1 / ratio) > 2.5, (text.get_text(), text.get_color())


WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def scattered(ax: Axes, label: str) -> np.ndarray:
    found = [c for c in ax.collections if c.get_label() == label]
    return np.concatenate([np.asarray(c.get_offsets()) for c in found]) if found else np.empty(0)


def bars(ax: Axes) -> dict[float, tuple[float, float]]:
    """Return both ends of the upright lines by their place."""
    lines = [c for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    ends = [np.asarray(segment) for line in lines for segment in line.get_segments()]
    return {float(e[0, 0]): (float(e[0, 1]), float(e[1, 1])) for e in ends if e[0, 0] == e[1, 0]}


# The staircase


def test_a_bar_is_one_standard_error_of_what_was_run_more_than_once():
    found = bars(plots.progress(night()))
    assert found.keys() == {0, 2, 4, 6}
    assert found[0] == pytest.approx((2.4 - NOISE / 3**0.5, 2.4 + NOISE / 3**0.5))
    assert found[4] == pytest.approx((2.379 - NOISE / 2**0.5, 2.379 + NOISE / 2**0.5))


def test_the_band_around_the_best_line_is_the_noise_of_one_run():
    ax = plots.progress(night())
    (band,) = [c for c in ax.collections if c.get_label() == "± one run's noise"]
    low, high = band.get_datalim(ax.transData).intervaly
    assert (low, high) == pytest.approx((2.35 - NOISE, 2.4 + NOISE))
    assert ax.get_ylim()[0] < low
    assert ax.get_ylim()[1] > high


def test_without_a_known_noise_there_is_neither_band_nor_bar():
    ax = plots.progress(night().drop(columns="noise"))
    assert not bars(ax)
    assert "± one run's noise" not in [c.get_label() for c in ax.collections]


def test_a_discard_that_was_lucky_is_drawn_below_the_line():
    df = night()
    df.loc[4, "metric"] = 2.33
    ax = plots.progress(df)
    assert [4, 2.33] in scattered(ax, "discarded").tolist()
    assert ax.get_ylim()[0] < 2.33


def test_what_is_far_too_good_is_at_the_better_edge():
    df = night()
    df.loc[7, "metric"] = 0.1
    ax = plots.progress(df)
    assert scattered(ax, "too good to draw").tolist() == [[7, 0.015]]
    assert ax.get_ylim()[0] > 2


def test_no_row_is_lost_but_the_refused_one():
    df = night().assign(status=["keep", "interesting", "keep", *night()["status"][3:]])
    df.loc[2, "metric"] = np.nan
    ax = plots.progress(df)
    drawn = sum(len(c.get_offsets()) for c in ax.collections if c.get_label()[0] != "_")
    band = 1  # has an offset too
    assert drawn - band == len(df) - 1
    assert len(scattered(ax, "other")) == 1
    assert len(scattered(ax, "no number")) == 1


def test_hours_are_those_of_all_runs_repeats_too():
    repeat = night().iloc[[4]].assign(experiment=8, about=4, kind="repeat", run_seconds=3600.0)
    last = night().iloc[[1]].assign(experiment=9, run_seconds=200.0)
    ax = plots.progress(both(night(), repeat, last), x="hours")
    seconds = [300, 100, 200, 20, 200, 0, 200, 100, 3600, 200]
    at = np.cumsum(seconds) / 3600
    assert scattered(ax, "kept")[:, 0] == pytest.approx(at[[0, 2, 6]])
    assert scattered(ax, "discarded")[:, 0] == pytest.approx(at[[1, 4, 9]])
    assert ax.get_xlabel() == "hours of runs so far"


def test_hours_without_known_runs_are_those_since_the_first_experiment():
    ax = plots.progress(night().assign(run_seconds=np.nan), x="hours")
    assert scattered(ax, "kept")[:, 0] == pytest.approx([0, 20 / 60, 1.0])
    assert ax.get_xlabel() == "hours since the first experiment"


def test_cost_is_that_of_all_proposals_so_far():
    ax = plots.progress(night(), x="cost")
    assert scattered(ax, "kept")[:, 0] == pytest.approx([0, 0.5, 1.25])


@pytest.mark.parametrize(
    ("x", "lost", "words"),
    [
        ("cost", ["cost"], r"price.*x='hours'"),
        ("hours", ["run_seconds", "decided"], "run_seconds.*x='experiments'"),
        ("days", [], "expected 'experiments', 'hours' or 'cost'"),
    ],
)
def test_an_axis_that_the_table_can_not_tell_is_refused(x: Any, lost: list[str], words: str):
    with pytest.raises(ValueError, match=words):
        plots.progress(night().drop(columns=lost), x=x)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 9))
def test_labels_moved_apart_do_not_touch_and_keep_their_order(wanted: list[float], height: float):
    places = labels.spread(wanted, height)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(places[order]) >= height - 1e-6).all()
    assert places.min() >= height / 2 - 1e-6


# Gains


def test_gains_are_drawn_measured_and_shrunk_with_their_intervals():
    ax = plots.gains(night())
    assert scattered(ax, "measured")[:, 0] == pytest.approx([0.02, 0.03])
    shrunk = scattered(ax, "shrunk, with 95 % interval")
    assert len(shrunk) == 2
    segments = [
        np.asarray(s)
        for c in ax.collections
        if hasattr(c, "get_segments")
        for s in c.get_segments()
    ]
    for (middle, _), segment in zip(shrunk, segments, strict=True):
        assert segment[0, 0] < middle < segment[1, 0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2 idea 2", "6 idea 6"]
    assert ax.get_xlabel() == "gain in val_loss (nats)"


def test_where_not_all_gains_fit_the_largest_are_shown_and_the_title_says_so():
    rows = [(n, "keep", 2 - 0.01 * n - (n % 7) / 1e3, 1, "TPE", None, 0, 1) for n in range(40)]
    _, ax = plt.subplots(figsize=(4, 2))
    plots.gains(night(rows=rows), ax=ax)
    shown = len(scattered(ax, "measured"))
    assert 3 <= shown < 20
    assert f"the {shown} largest of 39 kept changes" in ax.get_title()


# Loss curves


def test_the_best_curve_stands_out_and_the_start_is_named():
    ax = plots.curves(night())
    widths = [line.get_linewidth() for line in ax.lines]
    assert len(ax.lines) == 6
    assert widths.count(max(widths)) == 1
    assert {t.get_text() for t in ax.texts} == {"6 (best)", "0 (start)"}


def test_chosen_curves_have_colours_dashes_and_names_of_their_own():
    ax = plots.curves(night(), [1, 3, 4])
    assert {t.get_text() for t in ax.texts} == {"1", "4", "6 (best)"}
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len({str(line._dash_pattern) for line in ax.lines}) == 3
    assert ax.get_title() == "nov23: 3 loss curves, none of 3"


def test_a_curve_that_is_not_there_is_said():
    with pytest.raises(ValueError, match="experiment 99 is not in the table; it holds 0 to 7"):
        plots.curves(night(), [1, 99])


# Time and money


def width(ax: Axes) -> dict[str, list[float]]:
    """Return the lengths of the bars by the part that they stand for."""
    return {
        str(own.get_label()): [float(bar.get_width()) for bar in own.patches]
        for own in ax.containers
    }


def test_time_is_that_of_all_runs_in_parts():
    ax = plots.spending(night())
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == [
        "starting point (1)",
        "keep (2)",
        "discard (2)",
        "crash (1)",
        "refused (1)",
        "quarantine (1)",
        "idle",
    ]
    parts = width(ax)
    assert [60 * t for t in parts["training"]] == pytest.approx([210, 280, 3 * 70, -10 + 0, 0, 70])
    assert parts["proposing"] == pytest.approx([5 / 60, 10 / 60, 10 / 60, 5 / 60, 5 / 60, 5 / 60])


def test_the_runs_of_a_repeat_are_counted_once():
    # `history` counts them in n_replicates of what was repeated, and has a row for the repeat.
    df = night().iloc[:1].assign(n_replicates=5, run_seconds=200.0)
    repeat = df.assign(experiment=1, about=0, kind="repeat", n_replicates=3, run_seconds=300.0)
    parts = width(plots.spending(both(df, repeat)))
    assert [60 * t for t in parts["training"]] == pytest.approx([140, 210])


def test_a_long_pause_is_named_and_not_drawn():
    df = night()
    df.loc[6:, "decided"] += pd.Timedelta(hours=30)
    ax = plots.spending(df)
    assert "1 pause of 30.1 hours left out" in ax.get_title()
    (idle,) = width(ax)["idle"]
    assert idle < 60  # minutes


def test_money_goes_by_status_and_author():
    ax = plots.spending(night(), what="cost")
    parts = width(ax)
    assert parts == {"LLM m": pytest.approx([0.5, 0, 0.5, 0.25, 0.5])}


# In the user's own figure


def grid(width: float, height: float, **looks: Any) -> list[Axes]:
    """Draw all pictures into one figure, and lay it out afterwards."""
    with plt.rc_context(looks):
        figure, axes = plt.subplots(2, 3, figsize=(width, height))
        names = ["progress", "gains", "curves", "spending", "author", "response"]
        found = [PICTURES[name](night(), ax=ax) for name, ax in zip(names, axes.flat, strict=True)]
        figure.tight_layout()
        figure.draw_without_rendering()
    return found


@pytest.mark.parametrize(("width", "height"), [(16, 9), (10, 6.6)])
def test_in_a_grid_labels_stay_inside_and_apart(width: float, height: float):
    axes = grid(width, height)
    boxes = [t.get_window_extent() for t in axes[0].texts if t.get_text()]
    inside = axes[0].get_window_extent()
    assert boxes
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(inside.x0 <= b.x0 and b.x1 <= inside.x1 for b in boxes)
    titles = [ax.title.get_window_extent() for ax in axes]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(titles, 2))
    for ax in axes:
        assert ax.yaxis.label.get_window_extent().height <= 1.1 * ax.bbox.height
        ticks = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
        ticks = [t for t in ticks if ax.bbox.x0 - 1 <= (t.x0 + t.x1) / 2 <= ax.bbox.x1 + 1]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))
        if legend := ax.get_legend():
            assert not legend.get_window_extent().overlaps(ax.xaxis.label.get_window_extent())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", sorted(PICTURES.keys() - VARIANTS))
def test_a_tiny_picture_keeps_its_size(name: str):
    figure, ax = plt.subplots(figsize=(3.3, 2.2), layout="constrained")
    PICTURES[name](night(), ax=ax)
    figure.draw_without_rendering()
    assert ax.get_position().width > 0.35
    title = ax.title.get_window_extent()
    assert title.x0 >= 0
    assert title.x1 <= figure.bbox.x1


def test_labels_are_placed_again_when_the_figure_gets_another_size():
    ax = plots.progress(night())
    figure = ax.figure.figure
    words = {}
    for size in ((10, 5.5), (5, 2.5), (10, 5.5)):
        figure.set_size_inches(*size)
        figure.draw_without_rendering()
        words[size] = [ax.title.get_text(), *(t.get_text() for t in ax.texts)]
    assert max(map(len, words[5, 2.5])) < max(map(len, words[10, 5.5]))
    assert ax.get_title().startswith("nov23: ")


@pytest.mark.parametrize("where", ["left", "center", "right"])
def test_a_title_stands_where_rc_params_say_and_the_users_own_replaces_it(where: Any):
    with plt.rc_context({"axes.titlelocation": where}):
        ax = plots.progress(night())
        assert ax.get_title(loc=where).startswith("nov23: ")
        ax.set_title("Mine")
        ax.figure.draw_without_rendering()
        others = {"left", "center", "right"} - {where}
        assert [ax.get_title(loc=other) for other in others] == ["", ""]  # type: ignore[arg-type]
        assert ax.get_title(loc=where) == "Mine"


def test_a_grid_lies_below_the_bars():
    with plt.rc_context({"axes.grid": True}):
        _, ax = plt.subplots()
        plots.spending(night(), ax=ax)
    assert ax.xaxis.get_zorder() < min(bar.get_zorder() for bar in ax.patches)


def test_what_attrs_have_lost_is_read_from_columns():
    df = night("maximize").assign(goal="maximize", metric_name="score", unit="points")
    df.attrs = {}
    assert plots.progress(df).get_ylabel() == "score (points; higher is better)"


def test_a_campaign_in_the_place_of_its_table_is_answered():
    for draw in (plots.progress, plots.gains, plots.curves, plots.spending, plots.hit_rate):
        with pytest.raises(TypeError, match=r"expected the table of ark\.history"):
            draw(object())  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"expected the table of ark\.constants"):
        plots.response(object(), "LR")  # type: ignore[arg-type]


# Rates


def test_rates_show_their_intervals_and_numbers():
    ax = plots.hit_rate(night())
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == ["TPE", "LLM m", "Ada"]
    assert {"0 of 2", "1 of 3", "1 of 1"} <= {t.get_text() for t in ax.texts}
    points = next(c for c in ax.collections if isinstance(c, mpl.collections.PathCollection))
    assert np.asarray(points.get_offsets())[:, 0] == pytest.approx([0, 1 / 3, 1])


def test_versions_of_program_md_say_from_when_they_were():
    names = [t.get_text() for t in plots.hit_rate(night(), "program").get_yticklabels()]
    assert names == ["aaaaaaa, from 0", "bbbbbbb, from 4"]


# Response


def test_the_response_has_a_logarithmic_axis_over_decades():
    assert plots.response(constants(night()), "LR").get_xscale() == "log"
    few = plots.response(constants(night(), np.linspace(3, 8, 8)), "LR")
    assert few.get_xscale() == "linear"
    signed = plots.response(constants(night(), [-1, 0, 0.001, 1, 10, 100, 1e3, 1e4]), "LR")
    assert signed.get_xscale() == "symlog"


def test_the_response_marks_what_was_kept_and_the_best():
    ax = plots.response(constants(night()), "LR")
    assert scattered(ax, "kept").tolist() == [[0.01, 2.4], [0.04, 2.38]]
    assert scattered(ax, "best").tolist() == [[0.64, 2.35]]
    assert scattered(ax, "crashed")[:, 0].tolist() == [0.08]


def test_the_constant_that_most_experiments_changed_is_drawn_unless_one_is_named():
    rare = constants(night()).assign(name="A", changed=False)
    table = pd.concat([rare, constants(night())])
    table.attrs = constants(night()).attrs
    assert plots.response(table).get_xlabel() == "LR"
    with pytest.raises(ValueError, match="no experiment has a constant, so"):
        plots.response(table.iloc[:0])


def test_words_have_places_of_their_own():
    ax = plots.response(constants(night(), ["relu", "gelu", "relu", True] * 2), "LR")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["relu", "gelu", "True"]


def test_an_unknown_constant_is_answered_with_those_that_there_are():
    with pytest.raises(ValueError, match="no experiment has a constant 'LRR'; there are LR"):
        plots.response(constants(night()), "LRR")
    known = constants(night())
    more = pd.concat([known.assign(name="MIN_LENGTH"), known.assign(name="ALPHA")])
    more.attrs = known.attrs
    with pytest.raises(ValueError, match=r"there are MIN_LENGTH, ALPHA$"):
        plots.response(more, "LENGTH")


# Calibration


def test_guesses_lie_beside_what_was_measured():
    ax = plots.calibration(night())
    assert ax.get_title() == "nov23: 3 guesses, 2 with the right sign"
    found = scattered(ax, "Ada, 2 of 3 right")
    assert found[:, 0] == pytest.approx([-0.01, 0.02, -0.03])
    assert found[:, 1] == pytest.approx([-0.02, -0.001, -0.03])


def test_an_effect_far_beyond_all_guesses_is_at_the_edge():
    df = night()
    df.loc[4, ["metric", "delta"]] = [4.0, 1.6]
    ax = plots.calibration(df)
    assert ax.get_ylim()[1] < 0.2
    assert any([0.02, 0.985] in c.get_offsets().tolist() for c in ax.collections)


# What a saved figure says


def saved(figure: Any, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, **options)
    if form == "png":
        return str(Image.open(io.BytesIO(buffer.getvalue())).text)  # type: ignore[attr-defined]
    return buffer.getvalue().decode("latin1")


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_a_saved_figure_carries_campaign_commit_and_version(form: str):
    text = saved(plots.progress(night()).figure, form)
    assert f"campaign nov23, best {6:040x}; autoresearch-kit {__version__}" in text


@pytest.mark.parametrize("form", ["jpg", "svgz", "eps"])
def test_other_formats_are_saved_as_ever(form: str):
    buffer = io.BytesIO()
    plots.gains(night()).figure.savefig(buffer, format=form)
    assert buffer.getvalue()


def test_metadata_of_the_user_wins_and_the_file_name_gives_the_format(tmp_path: Path):
    plots.progress(night())
    plt.savefig(tmp_path / "a.png", metadata={"Title": "mine", "Author": "Ada"})
    text = Image.open(tmp_path / "a.png").text  # type: ignore[attr-defined]
    assert (text["Title"], text["Author"]) == ("mine", "Ada")
    assert "campaign nov23" in text["Description"]
    plt.savefig(tmp_path / "b", format="PNG", metadata={"Description": "mine"})
    assert Image.open(tmp_path / "b").text["Description"] == "mine"  # type: ignore[attr-defined]


def test_a_figure_with_two_campaigns_names_both_once():
    figure, axes = plt.subplots(3)
    plots.progress(night(), ax=axes[0])
    plots.progress(night(campaign="nov24"), ax=axes[1])
    plots.gains(night(), ax=axes[2])
    text = saved(figure, "png")
    assert text.count("campaign nov23") == text.count("campaign nov24") == 1


def test_figures_of_others_are_left_alone():
    plots.progress(night())
    assert "autoresearch" not in saved(plt.figure(), "png")


def test_a_figure_can_be_pickled_and_still_knows_its_origin():
    figure = plots.progress(night()).figure
    assert "campaign nov23" in saved(pickle.loads(pickle.dumps(figure)), "png")


# The notebook's theme


@pytest.fixture
def dark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process look like a kernel of a JupyterLab with a dark theme."""
    path = tmp_path / "@jupyterlab/apputils-extension/themes.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text(
        '{\n    // Theme\n    /* "theme": "JupyterLab Light" */\n    "theme": "JupyterLab Dark"\n}'
    )
    monkeypatch.setenv("JPY_SESSION_NAME", "/srv/night.ipynb")
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path))
    return path


def is_dark(ax: Axes) -> bool:
    return sum(mpl.colors.to_rgb(ax.figure.figure.get_facecolor())) < 1


def test_the_theme_of_the_notebook_is_followed_and_leaves_no_trace(dark: Path):
    before = copy.deepcopy(dict(mpl.rcParams))
    ax = plots.progress(night())
    ax.figure.canvas.draw()
    assert is_dark(ax)
    ticks = [t.get_color() for t in ax.get_xticklabels()]
    assert ticks
    assert all(sum(mpl.colors.to_rgb(c)) > 2 for c in ticks)
    assert dict(mpl.rcParams) == before


def test_what_the_user_has_set_goes_before_the_theme(dark: Path):
    with plt.style.context("ggplot"):
        assert not is_dark(plots.progress(night()))
    _, ax = plt.subplots()
    assert not is_dark(plots.progress(night(), ax=ax))


@pytest.mark.parametrize(
    "settings",
    [
        '{"theme": "JupyterLab Light"}',
        '{"theme": "JupyterLab Dark", "adaptive-theme": true}',
        "{",
        "[]",
    ],
)
def test_a_light_theme_or_one_that_is_not_known_changes_nothing(dark: Path, settings: str):
    dark.write_text(settings)
    assert not is_dark(plots.progress(night()))


@pytest.mark.parametrize("what", ["time", "cost"])
def test_no_word_of_a_record_is_set_as_mathematics(what: str):
    df = night()
    df["status"] = df["status"].replace("crash", r"a$\frac$b")
    df["author"] = r"$\sqrt$"
    df["cost"] = 1.0
    plots.spending(df, what).figure.canvas.draw()  # raised


def test_outside_of_a_notebook_the_theme_does_not_count(
    dark: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert not style._notebook_is_dark()


def test_a_cell_of_a_dark_notebook_shows_the_picture(dark: Path, monkeypatch: pytest.MonkeyPatch):
    """Its backend is loaded by the first picture and must stay switched on afterwards."""
    code = """import pandas as pd
from autoresearch_kit import plots
df = pd.DataFrame({"experiment": [0, 1], "status": ["keep", "discard"], "metric": [2.0, 2.1]})
ax = plots.progress(df)
"""
    monkeypatch.delenv("MPLBACKEND", raising=False)
    cells = [nbformat.v4.new_code_cell(text) for text in (code, "ax = plots.progress(df)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    for cell in notebook.cells:
        (picture,) = [o.data["image/png"] for o in cell.outputs if o.output_type == "display_data"]
        image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
        assert image.getpixel((0, 0)) == (17, 17, 17)
