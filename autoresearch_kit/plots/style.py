"""What all pictures share: where they are drawn, in whose colours, and what a saved one says."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.style
import numpy as np

from autoresearch_kit import goals, records
from autoresearch_kit._version import __version__
from autoresearch_kit.plots import fitting
from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colour = tuple[float, ...]

MARKERS = "osDP^vXp"  # a shape beside each colour, for those who can't tell the colours
SMALL = 5.5  # inches of a picture's whole width
CUTS = (60, 48, 40, 32, 26, 20, 14)  # characters of a title
STATUSES = ("keep", "discard", "crash", "refused", "quarantine")


def experiments(df: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each experiment, in order of campaign and number.

    What judges or repeats an earlier experiment is left out: `history` has folded it in.

    Raises
    ------
    ValueError
        When a needed column is missing or holds text, or when campaigns have different goals.
    """
    df = tables.check(df)
    if df["metric"].dtype.kind not in "fiub":
        raise ValueError(
            f"the column 'metric' holds {df['metric'].dtype}; expected numbers, and NaN for a "
            "crash. Type: df['metric'] = pd.to_numeric(df['metric'], errors='coerce')"
        )
    tables.goal(df)
    own = tables.own(df)
    own = own.assign(status=own["status"].astype(str).str.strip().str.lower())
    if "campaign" not in own:
        own = own.assign(campaign="")
    return own.sort_values(["campaign", "experiment"], kind="stable", ignore_index=True)


def metric_label(ax: Axes, df: pd.DataFrame, before: str = "", words: str = "") -> None:
    """Write the name of the metric with unit and direction beside the y axis, as far as it fits."""
    metric, unit = df.attrs.get("metric") or "metric", df.attrs.get("unit", "")
    if not words:
        words = f"{goals.better(tables.goal(df))} is better"
    direction = f"({words})"
    whole = f"({unit}; {words})" if unit else direction
    names = [f"{before}{metric} {whole}", f"{before}{metric} {direction}", f"{metric} {direction}"]
    choices = [plain(name) for name in (*names, metric)]
    fitting.fit(ax, ax.yaxis.label, choices)
    ax.set_ylabel(choices[0])


def noise(rows: pd.DataFrame) -> float:
    """Return how far one run of a code lies from the others: the latest that is known, or NaN."""
    known = rows["noise"].dropna().tolist() if "noise" in rows else []
    return float(known[-1]) if known else float("nan")


@contextlib.contextmanager
def canvas(ax: Axes | None, df: pd.DataFrame, size: tuple[float, float]) -> Iterator[Axes]:
    """Give Axes to draw on, and what a saved figure says of its origin.

    Without `ax` it is a new figure of `size` inches (where the user has set none), in the colours
    of a dark notebook when that can be known and the user has set no colours. Axes that are given
    belong to the user: rcParams as they are.
    """
    import matplotlib.pyplot as plt

    if ax is not None:
        ax.set_axisbelow(True)
        yield ax
        ax.add_artist(fitting.Fitted(fitting.ticks))
        _stamp(ax.figure.figure, df)
        return
    # Loads the backend; in the context below what it sets would be undone again, and a notebook's
    # sets that figures are shown at the end of a cell.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    looks: Any = _theme()
    with mpl.rc_context(looks):
        free = mpl.rcParams["figure.figsize"] == mpl.rcParamsDefault["figure.figsize"]
        _, ax = plt.subplots(figsize=size if free else None, layout="constrained")
        rc: Any = mpl.rcParams
        for axis in (ax.xaxis, ax.yaxis):  # ticks made later would take the colours of then
            name = f"{axis.axis_name}tick"
            inherit = rc[f"{name}.labelcolor"] == "inherit"
            words = rc[f"{name}.color" if inherit else f"{name}.labelcolor"]
            axis.set_tick_params("both", color=rc[f"{name}.color"], labelcolor=words)
        ax.set_axisbelow(True)
        yield ax
        ax.add_artist(fitting.Fitted(fitting.ticks))
    _stamp(ax.figure.figure, df)


def colour(i: int) -> Colour:
    """Return colour `i` of the cycle as it is now; as "C0" it would be looked up when drawn."""
    return mpl.colors.to_rgba(f"C{i}")


def muted(ax: Axes, share: float) -> Colour:
    """Return the text colour mixed into the background, so that it suits light and dark."""
    return mixed(ax, mpl.rcParams["text.color"], share)


def mixed(ax: Axes, hue: Any, share: float) -> Colour:
    """Return a colour mixed into the background: `share` 1 is the colour, 0 the background."""
    front, back = (np.array(mpl.colors.to_rgb(c)) for c in (hue, _back(ax)))
    return tuple(float(part) for part in share * front + (1 - share) * back)


def _back(ax: Axes) -> Any:
    """Return the colour behind the data; where that is transparent, what most pages are."""
    for face in (ax.get_facecolor(), ax.figure.figure.get_facecolor()):
        if mpl.colors.to_rgba(face)[3] > 0.5:
            return face
    light_text = sum(mpl.colors.to_rgb(mpl.rcParams["text.color"])) > 1.5
    return "black" if light_text else "white"


def plain(text: str, most: int = 10_000) -> str:
    r"""Return `text` on one line, at most `most` characters long, with no mathematics in it."""
    line = " ".join(str(text).split())
    line = line if len(line) <= most else line[: most - 1].rstrip() + "…"
    return line.replace("$", r"\$")


def who(author: str) -> str:
    """Return an author without the address, or a word for nobody."""
    return records.who(str(author)).strip() or "unknown"


def titled(ax: Axes, rows: pd.DataFrame, words: str) -> None:
    """Write a title: the names of the campaigns, then `words`; less where there is no room.

    It stands where rcParams say, so that the user's own ``ax.set_title`` takes its place.
    """
    names = ", ".join(str(name) for name in rows["campaign"].unique() if name)
    choices = [f"{names}: {words}", words] if names else [words]
    while ", " in choices[-1]:
        choices.append(choices[-1].rpartition(", ")[0])
    choices = list(map(plain, choices)) + [plain(choices[-1], most) for most in CUTS]
    fitting.fit(ax, ax.set_title(choices[0]), choices)


def say(ax: Axes, words: str) -> None:
    """Write into the middle of an empty picture why it is empty."""
    ax.text(
        *(0.5, 0.5, words), transform=ax.transAxes, ha="center", va="center", color=muted(ax, 0.6)
    )
    ax.set(xticks=[], yticks=[])


def arrange(figure: Figure) -> None:
    """Let the layout engine move the Axes to where they will be drawn."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)


def legend_below(ax: Axes) -> None:
    """Put the legend beside the name of the x axis, or below it where there is no room."""
    if not ax.get_legend_handles_labels()[0]:
        return
    label, figure = ax.xaxis.label, ax.figure.figure
    label.set_horizontalalignment("left")
    label.set_x(0)
    looks: dict[str, Any] = {"frameon": False, "handletextpad": 0.3, "columnspacing": 1.2}
    alone = len(figure.axes) == 1
    share = 1.0 if alone else 0.95  # a later tight_layout takes some of the room
    one = 1.0  # the pads below are in font sizes of the legend
    if fitting.slot(ax) < SMALL:
        usual = fitting.font_size("legend.fontsize")
        size = max(6.0, 0.7 * usual)
        one = usual / size
        looks |= {"fontsize": size, "columnspacing": 0.8, "labelspacing": 0.2}
    place: dict[str, Any] = {"loc": "upper right", "bbox_to_anchor": (1, 0)}
    pad = 1.8 * one  # in font sizes: below the tick labels
    arrange(figure)
    # Not arranged again before it fits: a wide legend would leave the Axes no width.
    most = share * ax.get_window_extent().width
    for columns in (8, 4, 3, 2, 1):
        legend = ax.legend(ncols=columns, borderaxespad=pad, **place, **looks)
        if legend.get_window_extent().width <= most:
            break
    for length in CUTS:
        if legend.get_window_extent().width <= most:
            break
        place["handles"], names = ax.get_legend_handles_labels()
        place["labels"] = [plain(str(name), length) for name in names]
        legend = ax.legend(ncols=1, borderaxespad=pad, **place, **looks)
    arrange(figure)
    if not alone or label.get_window_extent().x1 > legend.get_window_extent().x0:
        ax.legend(ncols=columns, borderaxespad=pad + 1.4 * one, **place, **looks)


# What a notebook looks like


COLOURS = (
    *("text.color", "figure.facecolor", "axes.facecolor", "axes.edgecolor", "axes.labelcolor"),
    *("xtick.color", "ytick.color", "axes.prop_cycle"),
)


def _theme() -> dict[str, Any]:
    """Return rcParams for a dark notebook; none when the user has set colours of their own."""
    now: Any = mpl.rcParams
    usual: Any = mpl.rcParamsDefault
    unset = all(now[name] == usual[name] for name in COLOURS)
    if not (unset and _notebook_is_dark()):
        return {}
    page = {"figure.facecolor": "#111111", "axes.facecolor": "#111111"}  # of JupyterLab Dark
    dark: Any = mpl.style.library["dark_background"]
    return {**dark, **page}


def _notebook_is_dark() -> bool:
    """Tell whether this kernel belongs to a JupyterLab whose user has chosen a dark theme.

    No message tells a kernel the theme, but the server that started it keeps the user's settings in
    a file. Where there is none (VS Code, a hosted notebook, a script), the answer is no: black on
    white can be read on any page.
    """
    if "JPY_SESSION_NAME" not in os.environ:
        return False
    folder = os.environ.get("JUPYTERLAB_SETTINGS_DIR")
    if not folder:
        from jupyter_core.paths import jupyter_config_dir

        folder = f"{jupyter_config_dir()}/lab/user-settings"
    path = Path(folder, "@jupyterlab/apputils-extension/themes.jupyterlab-settings")
    try:
        text = path.read_text(encoding="utf-8")
        chosen = json.loads(_COMMENT.sub("", text))
    except (OSError, ValueError):
        return False
    if not isinstance(chosen, dict) or chosen.get("adaptive-theme"):
        return False
    return "dark" in str(chosen.get("theme", "")).lower()


_COMMENT = re.compile(r"^\s*//[^\n]*$|/\*.*?\*/", re.MULTILINE | re.DOTALL)


# What a saved figure says


def _stamp(figure: Figure, df: pd.DataFrame) -> None:
    """Let a figure name campaign, commit of the best state and version of the kit when saved."""
    saves: Any = figure.savefig
    if not isinstance(saves, functools.partial):
        # The figure's own, not the class's: figures of others are saved as ever.
        saves = functools.partial(_save, figure, [])
        figure.savefig = saves  # type: ignore[method-assign]
    origins: list[str] = saves.args[1]
    origins += [words for words in _origins(df) if words not in origins]


def _origins(df: pd.DataFrame) -> list[str]:
    """Return a line for each campaign in a table."""
    if "status" not in df or "experiment" not in df:
        return []
    found = []
    for name, rows in tables.by_campaign(tables.own(df)):
        kept = rows[rows["status"] == "keep"].sort_values("experiment")
        words = f"campaign {name}" if name else "a campaign"
        if "commit" in kept and len(kept) and kept["commit"].iloc[-1]:
            words += f", best {kept['commit'].iloc[-1]}"
        found.append(words)
    return found


def _save(figure: Figure, origins: list[str], fname: Any, **options: Any) -> Any:
    """Save a figure with its origin in the metadata; what the user gives there wins."""
    end = Path(fname).suffix[1:] if isinstance(fname, str | os.PathLike) else ""
    form = str(options.get("format") or end or mpl.rcParams["savefig.format"]).lower()
    words = "; ".join([*origins, f"autoresearch-kit {__version__}"])
    names = {"png": "Description", "svg": "Description", "svgz": "Description", "pdf": "Subject"}
    if form in names:
        options["metadata"] = {names[form]: words} | dict(options.get("metadata") or {})
    return type(figure).savefig(figure, fname, **options)
