"""The pace."""

from __future__ import annotations

from stepedit_fx.nodes.base import TagNode, param


class Speed(TagNode):
    """Change the pace of speaking."""

    kind = "speed"

    value: str = param(help="faster, slower, more faster or more slower.")
