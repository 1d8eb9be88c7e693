"""Which port is meant."""

from __future__ import annotations

from collections.abc import Sequence

OURS = "stepedit"  # our ports, where no other name is asked for


def nearest(wanted: str | None, names: Sequence[str]) -> str | None:
    """The port of that name, else the first that contains it, whatever its case; None: the first.

    Our own are never meant: what we send would come back.
    """
    others = [name for name in names if not name.startswith((f"{OURS}-", f"{OURS}:"))]
    if wanted is None:
        return next(iter(others), None)
    if wanted in others:
        return wanted
    return next((name for name in others if wanted.lower() in name.lower()), None)
