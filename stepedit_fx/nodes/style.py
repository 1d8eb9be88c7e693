"""The manner of speaking."""

from __future__ import annotations

from stepedit_fx.nodes.base import TagNode, param


class Style(TagNode):
    """Change the manner of speaking."""

    kind = "style"

    value: str = param(help="The style: whisper, child, radio, ..., or remove.")
