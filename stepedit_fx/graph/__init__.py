"""Graph files: read and checked, planned, run, drawn."""

from stepedit_fx.graph.spec import Graph, NodeSpec

__all__ = ["Graph", "NodeSpec"]
