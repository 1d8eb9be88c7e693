"""Effects: pedalboard chains from data, checked against real ranges, automated over time."""

from __future__ import annotations

from stepedit_fx.effects.chain import Effect, External, Parallel, Series
from stepedit_fx.effects.curves import Curve, Keyframes, Lfo, Ramp
from stepedit_fx.effects.reading import parse_chain, read_chain
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.effects.values import ChainProblem

__all__ = [
    "EFFECTS",
    "ChainProblem",
    "Curve",
    "Effect",
    "External",
    "Keyframes",
    "Lfo",
    "Parallel",
    "Ramp",
    "Series",
    "parse_chain",
    "read_chain",
]
