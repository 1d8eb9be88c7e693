"""Editing speech as directly as text, as effects in a rack in front of a pedalboard chain.

Everything public is here and is imported on first use, so that ``import stepedit_fx`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepedit_fx.audio import Audio as Audio
    from stepedit_fx.chain import Chain as Chain
    from stepedit_fx.errors import StepEditError as StepEditError
    from stepedit_fx.files import read_audio as read_audio
    from stepedit_fx.files import write_audio as write_audio
    from stepedit_fx.graph import Graph as Graph
    from stepedit_fx.nodes.denoise import Denoise as Denoise
    from stepedit_fx.nodes.emotion import Emotion as Emotion
    from stepedit_fx.nodes.paralinguistic import Paralinguistic as Paralinguistic
    from stepedit_fx.nodes.speed import Speed as Speed
    from stepedit_fx.nodes.style import Style as Style
    from stepedit_fx.nodes.vad import Vad as Vad
    from stepedit_fx.session import Session as Session
    from stepedit_fx.store import Store as Store
    from stepedit_fx.worker.opening import open_engine as open_engine

__version__ = "0.1.0"

_HOMES = {
    "Audio": "audio",
    "Chain": "chain",
    "Denoise": "nodes.denoise",
    "Emotion": "nodes.emotion",
    "Graph": "graph",
    "Paralinguistic": "nodes.paralinguistic",
    "Session": "session",
    "Speed": "nodes.speed",
    "StepEditError": "errors",
    "Store": "store",
    "Style": "nodes.style",
    "Vad": "nodes.vad",
    "open_engine": "worker.opening",
    "read_audio": "files",
    "write_audio": "files",
}

__all__ = [
    "Audio",
    "Chain",
    "Denoise",
    "Emotion",
    "Graph",
    "Paralinguistic",
    "Session",
    "Speed",
    "StepEditError",
    "Store",
    "Style",
    "Vad",
    "open_engine",
    "read_audio",
    "write_audio",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'stepedit_fx' has no attribute '{name}'")
    found: object = getattr(import_module(f"stepedit_fx.{_HOMES[name]}"), name)
    globals()[name] = found  # the next use does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
