"""The start of a long recording: what of it a page can hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stepedit_fx.audio import Audio
from stepedit_fx.files import probe
from stepedit_fx.graph import Graph
from stepedit_fx.nodes.input import Input
from stepedit_fx.speech import Transcript

# Six stages of it at 24 kHz are some 20 MB of page. Not above what runs in one piece.
EXCERPT_S = 120.0


def excerpt_of(graph: Graph, source: Path) -> tuple[Audio | None, float]:
    """The start of a recording, None where it is short enough to go in whole; its whole length.

    Raises ReadError, RequestError.
    """
    whole_s = probe(source).duration_s
    nodes = [spec.node for spec in graph.nodes.values() if isinstance(spec.node, Input)]
    takers = [node for node in nodes if not node.path]
    if whole_s <= EXCERPT_S or not takers:
        return None, whole_s
    return start_of(takers[0].read(source), EXCERPT_S), whole_s


def start_of(audio: Audio, length_s: float) -> Audio:
    """The first seconds of a sound, with the words that are said in them.

    Words without times cannot be cut at a time: then there are none.
    """
    words = tuple(word for word in audio.transcript.words if word.end_s <= length_s)
    text = " ".join(word.text for word in words)
    frames = round(length_s * audio.sample_rate)
    return replace(
        audio,
        samples=audio.samples[:, :frames],
        transcript=Transcript(text, audio.transcript.language, words),
    )
