"""How the speaker feels."""

from __future__ import annotations

from stepedit_fx.nodes.base import TagNode, param
from stepedit_fx.nodes.keyframes import Tag


class Emotion(TagNode):
    """Change how the speaker feels."""

    kind = "emotion"

    value: Tag = param(help="The emotion: happy, sad, angry, ..., or remove.")
