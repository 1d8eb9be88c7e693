"""How the speaker feels."""

from __future__ import annotations

from stepedit_fx.nodes.base import TagNode, param


class Emotion(TagNode):
    """Change how the speaker feels."""

    kind = "emotion"

    value: str = param(help="The emotion: happy, sad, angry, ..., or remove.")
