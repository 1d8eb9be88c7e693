"""A page to judge takes by: what they sounded like, and look like, at every stage."""

from stepedit_fx.report.write import write_report

__all__ = ["write_report"]
