"""What a campaign's table says: functions of `history`'s DataFrame that return DataFrames."""

from __future__ import annotations

from autoresearch_kit.stats.contests import programs as programs
from autoresearch_kit.stats.contests import versus as versus
from autoresearch_kit.stats.effects import false_keeps as false_keeps
from autoresearch_kit.stats.effects import gains as gains
from autoresearch_kit.stats.efforts import yields as yields
from autoresearch_kit.stats.guesses import calibration as calibration
from autoresearch_kit.stats.rates import hit_rate as hit_rate
from autoresearch_kit.stats.rates import keep_rate as keep_rate
from autoresearch_kit.stats.rates import kind_of_change as kind_of_change
