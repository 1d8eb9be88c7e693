"""An edit heard while the model still writes it: blocks of sound from the first 0.7 s of codes on.

The codes go to the flow's and the vocoder's streams as they come, one segment after another, and
their sound into its place among the source's own. It is heard once, and kept nowhere: what decode
gives later is made of the whole, and is what counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import soxr

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.engines.base import Hear, cancel_check, cancelled_by
from stepedit_fx.engines.step_audio.editing import (
    Watch,
    around_after,
    clone,
    edit_once,
    spoken_like,
)
from stepedit_fx.engines.step_audio.flow import Conditioning
from stepedit_fx.engines.step_audio.flow_stream import FlowStream
from stepedit_fx.engines.step_audio.networks import Networks
from stepedit_fx.engines.step_audio.placing import (
    SILENT,
    channel_gains,
    fade_frames,
    faded_in,
    faded_out,
    is_untouched,
)
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.takes import Around, Reference, Segment, Source, unpack
from stepedit_fx.engines.step_audio.vocabulary import GROUP, GROUP_S, Codes, from_lm
from stepedit_fx.speech import Edit, Place, Speech

Made = TypeVar("Made")
# Of what a voice is known by, the newest seconds alone: at the published size a stream holds
# 1.3 MB for every one of its 50 frames a second.
PROMPT_S = 6.0


@dataclass(frozen=True)
class How:
    """How sound is made. steps: of the flow. seed: of its noise."""

    networks: Networks
    steps: int
    seed: int


def edit_heard(
    how: How,
    sampling: Sampling,
    take: Speech,
    edits: Sequence[Edit],
    number: int,
    hear: Hear,
) -> Speech:
    """`editing.edit_once` of one take, heard meanwhile."""
    segments, around = unpack(take)
    around = around_after(around, edits, number)
    telling = _Telling(how, take, segments, around, hear)
    return telling.while_made(
        lambda watch: edit_once(how.networks, sampling, [take], [edits], number, watch)[0]
    )


def clone_heard(how: How, sampling: Sampling, reference: Speech, edit: Edit, hear: Hear) -> Speech:
    """`editing.clone` of one reference, heard meanwhile."""
    nothing = Segment(np.zeros(0, np.int64), spoken_like(reference))
    telling = _Telling(how, reference, [], Around.NOTHING, hear, new=nothing)
    return telling.while_made(
        lambda watch: clone(how.networks, sampling, [reference], [edit], watch)[0]
    )


class _Telling:
    """Segments told one after another, each as far as it is known.

    new: what a segment is like that the take does not have yet.
    """

    def __init__(
        self,
        how: How,
        take: Speech,
        segments: Sequence[Segment],
        around: Around,
        hear: Hear,
        *,
        new: Segment | None = None,
    ) -> None:
        self._how, self._place, self._around = how, take.place, around
        self._source = Source.of(take.voice)
        self._segments = list(segments)
        self._new = new
        self._hear = hear
        self._news: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_due: set[int] = set()
        self._ids: dict[int, Sequence[int]] = {}  # of segments that are being written
        self._whole: set[int] = set()  # those that are written
        self._at = 0  # the segment that is told
        self._telling: _Voice | None = None
        self._heard_frames = 0
        self._source_frames = 0  # of the source, up to where it has been told

    def while_made(self, make: Callable[[Watch], Made]) -> Made:
        """What `make` makes, in a thread of its own, while this one tells of it.

        Raises what it raises; where telling fails, the making stops too.
        """
        wanted, failed = cancel_check(), threading.Event()

        def work() -> Made:
            try:
                with cancelled_by(lambda: failed.is_set() or wanted()):
                    return make(self)
            finally:
                self._news.put(None)

        with ThreadPoolExecutor(1, thread_name_prefix="stepedit-fx edit") as pool:
            made = pool.submit(copy_context().run, work)
            try:
                while (news := self._news.get()) is not None:
                    news()
                    self._go_on()
            except BaseException as error:
                failed.set()
                told = self._how.networks.out_of_memory(error, "sound for listening")
                if told is not None:
                    raise told from error
                raise
            result = made.result()
        self._finish()
        return result

    def begin(self, due: Sequence[tuple[int, int]]) -> None:
        """See `editing.Watch`."""

        def news() -> None:
            self._is_due = {segment for _, segment in due}
            if self._new is not None:
                self._segments = [self._new] * len(due)

        self._news.put(news)

    def written(self, take: int, segment: int, ids: Sequence[int], is_all: bool) -> None:
        """See `editing.Watch`."""

        def news() -> None:
            self._ids[segment] = ids
            if is_all:
                self._whole.add(segment)

        self._news.put(news)

    def _go_on(self) -> None:
        """Tell what is known and has not been told."""
        while self._at < len(self._segments):
            segment = self._segments[self._at]
            if self._telling is None:
                self._tell_source(self._source.references[segment.reference].span[0])
            if self._at not in self._is_due:
                self._tell_known(segment)
            elif not self._tell_written(segment):
                return
            self._at += 1
            self._telling = None

    def _tell_known(self, segment: Segment) -> None:
        """A segment that this pass leaves as it is."""
        start, end = self._source.references[segment.reference].span
        if is_untouched(segment, self._source):
            self._tell(self._source.samples[:, start:end])
        else:
            self._tell(self._voice(segment).push(segment.tokens, last=True))
        self._source_frames = max(self._source_frames, end)

    def _tell_written(self, segment: Segment) -> bool:
        """A segment as far as it is written; whether it is told to its end."""
        ids, is_all = self._ids.get(self._at, ()), self._at in self._whole
        self._telling = self._telling or self._voice(segment)
        whole = len(ids) // GROUP * GROUP
        tokens = from_lm(np.asarray(ids[self._telling.told : whole], np.int64))
        if len(tokens) or is_all:
            self._tell(self._telling.push(tokens, last=is_all))
        if is_all:
            end = self._source.references[segment.reference].span[1]
            self._source_frames = max(self._source_frames, end)
        return is_all

    def _voice(self, segment: Segment) -> _Voice:
        reference = self._source.references[segment.reference]
        under = self._source.samples[:, slice(*reference.span)]
        return _Voice(
            self._how,
            self._source,
            reference,
            self._place,
            under if self._around is Around.SOURCE else None,
        )

    def _tell_source(self, end: int) -> None:
        """What stands in the source up to here, as it stays."""
        gap = self._source.samples[:, self._source_frames : end]
        if self._around is not Around.NOTHING:
            self._tell(gap if self._around is Around.SOURCE else np.zeros_like(gap))
        self._source_frames = max(self._source_frames, end)

    def _tell(self, samples: Samples) -> None:
        if not samples.shape[1]:
            return
        rate = self._place.sample_rate
        start_s = self._heard_frames / rate
        self._heard_frames += samples.shape[1]
        self._hear(Audio(samples, rate, start_s))

    def _finish(self) -> None:
        self._go_on()
        self._tell_source(self._source.samples.shape[1])


class _Voice:
    """One segment's codes to sound at the source's rate, level and channels, piece by piece.

    under: what the source has there, (channels, frames), which the ends are faded over.
    """

    def __init__(
        self,
        how: How,
        source: Source,
        reference: Reference,
        place: Place,
        under: Samples | None,
    ) -> None:
        flow, vocoder = how.networks.flow, how.networks.vocoder
        self.told = 0  # codes
        self._flow = FlowStream(flow, _short(reference, source), how.seed, steps=how.steps)
        self._vocoder = vocoder.stream(how.seed)
        self._rate = _Resampler(vocoder.sample_rate, place.sample_rate)
        start, end = reference.span
        self._gains = channel_gains(source.samples[:, start:end]) / reference.gain
        self._padding = reference.padding
        self._under = under
        self._fade = fade_frames(1 << 30, under, place.sample_rate)
        self._held = np.zeros(0, np.float32)  # at the source's rate
        self._has_begun = False

    def push(self, tokens: Codes, *, last: bool = False) -> Samples:
        """The sound that these mixed tokens settle, (channels, frames). last: there are no more."""
        self.told += len(tokens)
        if last and not self.told:  # the model said nothing here
            return np.zeros((len(self._gains), 0), np.float32)
        mel = self._flow.push(tokens, last=last)
        sound = self._vocoder.push(mel, last=last).numpy()
        self._held = np.concatenate([self._held, self._rate.push(sound, last=last)])
        # What may still turn out to be padding or the fade at the end.
        kept = 0 if last else self._padding[1] + self._fade
        needed = 0 if self._has_begun or last else self._padding[0] + self._fade
        ready = len(self._held) - kept
        if ready <= needed and not last:
            return np.zeros((len(self._gains), 0), np.float32)
        return self._placed(ready, last)

    def _placed(self, count: int, last: bool) -> Samples:
        quiet = np.abs(self._held) <= SILENT * np.abs(self._held).max(initial=0.0)
        first = 0
        if not self._has_begun and not quiet.all():
            first = min(self._padding[0], int(np.argmin(quiet)))
        end = max(count, first)
        if last and not quiet.all():
            end -= min(self._padding[1], int(np.argmin(quiet[::-1])))
        ready, self._held = self._held[first:end], self._held[end:]
        out = np.asarray(self._gains * ready, np.float32)
        fade = min(self._fade, out.shape[1] // 2) if last else min(self._fade, out.shape[1])
        if not self._has_begun:
            out = faded_in(out, self._under, fade)
        if last:
            out = faded_out(out, self._under, fade)
        self._has_begun = self._has_begun or bool(len(ready))
        return out


class _Resampler:
    """Mono sound from one rate to another, block by block; the rates may be the same."""

    def __init__(self, rate: int, wanted: int) -> None:
        self._stream: Any = None
        if rate != wanted:
            self._stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="VHQ")

    def push(self, samples: np.ndarray, *, last: bool) -> np.ndarray:
        if self._stream is None:
            return samples
        done: np.ndarray = self._stream.resample_chunk(samples.astype(np.float32), last=last)
        return done.reshape(-1)


def _short(reference: Reference, source: Source) -> Conditioning:
    """What the voice is known by, its newest seconds alone."""
    groups = len(reference.tokens) // GROUP
    kept = max(1, min(groups, round(PROMPT_S / GROUP_S)))
    frames = len(reference.mel) * kept // groups if groups else 0
    return Conditioning(
        reference.tokens[len(reference.tokens) - kept * GROUP :],
        reference.mel[len(reference.mel) - frames :].copy(),
        source.speaker.copy(),
    )
