"""The pace."""

from __future__ import annotations

from stepedit_fx.nodes.base import TagNode, param
from stepedit_fx.nodes.keyframes import Tag


class Speed(TagNode):
    """Change the pace of speaking."""

    kind = "speed"

    value: Tag = param(help="faster, slower, more faster or more slower.")
