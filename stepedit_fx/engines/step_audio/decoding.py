"""Takes into sound: the flow and the vocoder on every changed segment, then back into place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.engines.step_audio.flow import Conditioning
from stepedit_fx.engines.step_audio.gathering import Stopped
from stepedit_fx.engines.step_audio.memory import FLOW_FRAME_BYTES
from stepedit_fx.engines.step_audio.networks import Networks
from stepedit_fx.engines.step_audio.placing import is_untouched, put_back
from stepedit_fx.engines.step_audio.takes import Segment, Source, unpack
from stepedit_fx.engines.step_audio.vocabulary import GROUP
from stepedit_fx.speech import Speech

MOST_AT_ONCE = {"cuda": 16}  # segments; each may be 28 s with a prompt as long
MOST_ELSEWHERE = 4  # larger batches are no faster there
FRAMES_PER_GROUP = 6


@dataclass(frozen=True)
class _Job:
    take: int
    number: int
    segment: Segment
    source: Source
    steps: int
    seed: int


def decode(networks: Networks, takes: Sequence[Speech], *, steps: int, seed: int) -> list[Audio]:
    """See `StepAudioEngine.decode`. steps: of the flow. seed: of its noise, the same for all."""
    sources = [Source.of(take.voice) for take in takes]
    unpacked = [unpack(take) for take in takes]
    jobs = [
        _Job(index, number, segment, source, steps, seed)
        for index, ((segments, _), source) in enumerate(zip(unpacked, sources, strict=True))
        for number, segment in enumerate(segments)
        if not is_untouched(segment, source)
    ]
    sounds = networks.together(
        "the flow and the vocoder",
        _speak,
        jobs,
        most=MOST_AT_ONCE.get(networks.device.type, MOST_ELSEWHERE),
        size=_bytes,
    )
    spoken = {(job.take, job.number): sound for job, sound in zip(jobs, sounds, strict=True)}
    return [
        put_back(
            source,
            segments,
            [spoken.get((index, number)) for number in range(len(segments))],
            around,
            take.place,
            take.transcript,
            decoded_rate=networks.vocoder.sample_rate if jobs else take.place.sample_rate,
        )
        for index, (take, (segments, around), source) in enumerate(
            zip(takes, unpacked, sources, strict=True)
        )
    ]


def _bytes(job: _Job) -> int:
    prompt = job.source.references[job.segment.reference].tokens
    groups = (len(prompt) + len(job.segment.tokens)) // GROUP
    return groups * FRAMES_PER_GROUP * FLOW_FRAME_BYTES


def _speak(networks: Networks, jobs: Sequence[_Job], stopped: Stopped) -> list[Samples]:
    """The sound of each job's segment. All are of one engine, and so of one number of steps."""
    items = [(job.segment.tokens, _conditioning(job), job.seed) for job in jobs]
    mels = networks.flow.mel(items, steps=jobs[0].steps, stopped=stopped)
    waves = networks.vocoder.wav(mels, [job.seed for job in jobs])
    return [np.asarray(wave.cpu().numpy(), np.float32) for wave in waves]


def _conditioning(job: _Job) -> Conditioning:
    reference = job.source.references[job.segment.reference]
    # Copies: torch takes no arrays that may not be written to.
    return Conditioning(reference.tokens, reference.mel.copy(), job.source.speaker.copy())
