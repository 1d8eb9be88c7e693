"""The closed registry of node kinds; a graph names nothing that is not here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stepedit_fx.nodes.base import Node
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.denoise import Denoise
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.emotion import Emotion
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.ladder import Ladder
from stepedit_fx.nodes.mix import Mix
from stepedit_fx.nodes.output import Output
from stepedit_fx.nodes.paralinguistic import Paralinguistic
from stepedit_fx.nodes.speed import Speed
from stepedit_fx.nodes.style import Style
from stepedit_fx.nodes.vad import Vad

# In the order a signal meets them; `encode` is the planner's alone.
NODES: Mapping[str, type[Node]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (
            Input,
            Encode,
            Clone,
            Denoise,
            Vad,
            Emotion,
            Style,
            Speed,
            Paralinguistic,
            Decode,
            Ladder,
            Effects,
            Mix,
            Output,
        )
    }
)
INTERNAL = frozenset({"encode"})

__all__ = ["INTERNAL", "NODES", "Node"]
