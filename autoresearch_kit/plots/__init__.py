"""Pictures of a campaign. Each takes the table of `history` and returns matplotlib Axes."""

from __future__ import annotations

from autoresearch_kit.plots.changes import gains as gains
from autoresearch_kit.plots.expenses import spending as spending
from autoresearch_kit.plots.guesses import calibration as calibration
from autoresearch_kit.plots.losses import curves as curves
from autoresearch_kit.plots.rates import hit_rate as hit_rate
from autoresearch_kit.plots.responses import response as response
from autoresearch_kit.plots.staircase import progress as progress
