"""Pictures of a campaign. Each takes the table of `history` and returns matplotlib Axes."""

from __future__ import annotations

from autoresearch_kit.plots.staircase import progress as progress
