"""Long takes in segments: cut at pauses, each with its words, and joined again."""

from stepedit_fx.segments.cutting import (
    FADE_S,
    SHORTEST_S,
    Segment,
    cut_at_pauses,
    cut_sound,
    level_of,
    shares_of,
    speaker_f0_hz,
)
from stepedit_fx.segments.joining import Joined
from stepedit_fx.segments.words import (
    LONGEST_S,
    Span,
    cut_sentences,
    cut_text,
    cut_text_with_sounds,
    share_words,
    spoken_s,
)

# Raised whenever the same take would be cut or joined otherwise.
CODE_VERSION = 1

__all__ = [
    "CODE_VERSION",
    "FADE_S",
    "LONGEST_S",
    "SHORTEST_S",
    "Joined",
    "Segment",
    "Span",
    "cut_at_pauses",
    "cut_sentences",
    "cut_sound",
    "cut_text",
    "cut_text_with_sounds",
    "level_of",
    "share_words",
    "shares_of",
    "speaker_f0_hz",
    "spoken_s",
]
