"""The graphs and presets that come with the package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stepedit_fx.errors import RequestError, did_you_mean

_PACKAGE = Path(__file__).parent


def shipped(kind: str) -> Mapping[str, Path]:
    """Name to file of every shipped one, sorted. kind: "graphs" or "presets"."""
    # A wheel holds them inside the package, a checkout beside it (pyproject.toml, force-include).
    inside, beside = _PACKAGE / "shipped" / kind, _PACKAGE.parent / kind
    folder = inside if inside.is_dir() else beside
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def description(path: Path) -> str:
    """The ``description:`` of a shipped graph or preset, "" where it has none."""
    import yaml

    top = yaml.safe_load(path.read_text(encoding="utf-8"))
    return str(top.get("description", "")) if isinstance(top, dict) else ""


def find_graph(name: str) -> Path:
    """A graph file by path, or a shipped graph or preset by name.

    Raises RequestError, with the nearest shipped name, where there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = {**shipped("presets"), **shipped("graphs")}
    if name in known:
        return known[name]
    if path.is_dir():
        raise RequestError(f"{name}: is a folder, not a graph file", remedy="Name a file in it.")
    if path.suffix or len(path.parts) > 1:
        there = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        remedy = did_you_mean(path.name, there) if there else "Check the path."
        raise RequestError(f"{name}: there is no such graph file", remedy=remedy)
    raise RequestError(
        f"{name}: there is no such graph file, nor a shipped graph or preset of that name",
        remedy=did_you_mean(name, known),
    )


def find_preset(name: str) -> Path:
    """A shipped preset by name, or a graph file by path. Raises RequestError for neither."""
    presets = shipped("presets")
    if name in presets:
        return presets[name]
    if Path(name).is_file():
        return Path(name)
    raise RequestError(f"unknown preset '{name}'", remedy=did_you_mean(name, presets))
