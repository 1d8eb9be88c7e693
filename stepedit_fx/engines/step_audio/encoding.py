"""Recordings into takes: every segment of every recording through each network as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from stepedit_fx.audio import Audio
from stepedit_fx.engines.step_audio.features import prompt_mel
from stepedit_fx.engines.step_audio.gathering import Stopped
from stepedit_fx.engines.step_audio.memory import TOKENIZER_SAMPLE_BYTES
from stepedit_fx.engines.step_audio.networks import Networks
from stepedit_fx.engines.step_audio.preparation import Prepared, prepare
from stepedit_fx.engines.step_audio.takes import Around, Reference, Segment, Source, pack
from stepedit_fx.engines.step_audio.vocabulary import GROUP, GROUP_S, Codes, mix
from stepedit_fx.errors import EngineError, NothingToEdit
from stepedit_fx.segments import Span, cut_at_pauses, level_of
from stepedit_fx.speech import Place, Speech

MOST_AT_ONCE = 16  # segments of up to 28 s
MEL_RATE = 24000
GROUP_24K = round(GROUP_S * MEL_RATE)
MEL_FRAMES = 6  # in a group


@dataclass
class _Clip:
    """A segment on its way: where its recording has it, and its sound as the networks get it."""

    span: Span
    sound: Prepared
    tokens: Codes = field(default_factory=lambda: np.zeros(0, np.int64))


def encode(networks: Networks, takes: Sequence[Audio]) -> list[Speech]:
    """See `StepAudioEngine.encode`."""
    clips = [_clips(take) for take in takes]
    flat = [clip for row in clips for clip in row]
    tokens = networks.together(
        "the tokenizers",
        _tokens,
        flat,
        most=MOST_AT_ONCE,
        size=lambda clip: len(clip.sound.samples_16k) * TOKENIZER_SAMPLE_BYTES,
    )
    for clip, found in zip(flat, tokens, strict=True):
        clip.tokens = found
    return [_speech(networks, take, row) for take, row in zip(takes, clips, strict=True)]


def _clips(take: Audio) -> list[_Clip]:
    """The segments of a recording that hold speech. Raises EngineError where none does."""
    mono = take.mono()
    spans = cut_at_pauses(level_of(take), take.frames, take.sample_rate)
    found, silent = [], None
    for start, end in spans:
        try:
            found.append(_Clip((start, end), prepare(mono[start:end], take.sample_rate)))
        except EngineError as error:  # a long take may well be silent somewhere; it stays so
            silent = error
    if not found and silent is not None:
        raise silent
    return found


def _tokens(networks: Networks, clips: Sequence[_Clip], stopped: Stopped) -> list[Codes]:
    sounds = [torch.from_numpy(clip.sound.samples_16k) for clip in clips]
    linguistic = networks.linguistic.codes(sounds)
    semantic = networks.semantic.codes(sounds)
    return [mix(a, b) for a, b in zip(linguistic, semantic, strict=True)]


def _speech(networks: Networks, take: Audio, clips: Sequence[_Clip]) -> Speech:
    clips = [clip for clip in clips if len(clip.tokens)]
    if not clips:
        raise NothingToEdit(
            "the recording is too short to be tokenized", remedy="Give it half a second of speech."
        )
    longest = max(clips, key=lambda clip: len(clip.sound.samples_16k))
    source = Source(
        take.samples,
        tuple(_reference(clip, take.sample_rate) for clip in clips),
        networks.speaker.embed(torch.from_numpy(longest.sound.prompt_16k)),
    )
    segments = [Segment(clip.tokens, number) for number, clip in enumerate(clips)]
    place = Place(take.sample_rate, take.channels, take.frames, take.start_s)
    return pack(segments, Around.SOURCE, source.voice(), place, take.transcript)


def _reference(clip: _Clip, rate: int) -> Reference:
    """Tokens, mel and span of exactly the same stretch: whole groups of 120 ms.

    What the tokenizers left over at the end is the tail of a trimmed silence.
    """
    groups = len(clip.tokens) // GROUP
    sound = np.zeros(groups * GROUP_24K, np.float32)
    there = clip.sound.samples_24k[: len(sound)]
    sound[: len(there)] = there
    mel = prompt_mel(torch.from_numpy(sound)).numpy()
    start = clip.sound.start_frame - clip.sound.padding_before_frames
    end = start + round(groups * GROUP_S * rate)
    length = clip.span[1] - clip.span[0]
    inside = (max(start, 0), min(end, length))
    return Reference(
        span=(clip.span[0] + inside[0], clip.span[0] + inside[1]),
        padding=(inside[0] - start, end - inside[1]),
        tokens=clip.tokens,
        mel=mel,
        gain=clip.sound.gain,
    )
