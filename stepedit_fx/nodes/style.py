"""The manner of speaking."""

from __future__ import annotations

from stepedit_fx.nodes.base import TagNode, param
from stepedit_fx.nodes.keyframes import Tag


class Style(TagNode):
    """Change the manner of speaking."""

    kind = "style"

    value: Tag = param(help="The style: whisper, child, radio, ..., or remove.")
