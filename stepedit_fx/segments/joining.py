"""The segments of a take, once they are edited, as one sound again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stepedit_fx.audio import Audio, Facts, Samples
from stepedit_fx.files import Spool, SpoolWriter
from stepedit_fx.segments.cutting import FADE_S, Segment
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.timeline import composed, simplest


class Joined:
    """Takes the edited segments of a take in order, and gives the take.

    Neighbours share a short stretch inside a pause, over which one fades into the other; segments
    that nobody has edited give the source, sample for sample. Raises WriteError where the disk
    refuses.
    """

    def __init__(self, source: Facts) -> None:
        self._source = source
        self._writer = SpoolWriter()
        self._rate = source.sample_rate
        self._tail: Samples | None = None  # of what came last, not written yet
        self._reach = 0  # frame of the source to which it reaches
        self._texts: list[str] = []
        self._words: list[Word] = []
        self._is_as_said = True
        self._is_timed = True
        self._knots: list[tuple[float, float]] = []
        self._has_moved = False

    def add(self, segment: Segment, audio: Audio) -> None:
        """The next segment, and what became of it."""
        self._rate = audio.sample_rate
        there = 0 if self._tail is None else self._tail.shape[1]
        shared_s = max(self._reach - segment.span[0], 0) / self._source.sample_rate
        overlap = min(round(shared_s * self._rate), there, audio.frames)
        start = self._writer.frames + there - overlap
        self._place(segment, audio, start, overlap)
        self._write(audio.samples, overlap)
        self._reach = segment.span[1]

    def done(self) -> Spool:
        """The whole take, with its words and where every moment of the source went."""
        if self._tail is not None:
            self._writer.write(self._tail)
        said = self._source.transcript
        text = said.text if self._is_as_said else " ".join(filter(None, self._texts))
        words = tuple(self._words) if self._is_timed else ()
        transcript = Transcript(text, said.language, words)
        end = (self._source.duration_s, self._writer.frames / self._rate)
        moved = simplest((*self._knots, end)) if self._has_moved else ()
        time_map = composed(self._source.time_map, moved)
        return self._writer.done(self._rate, self._source.start_s, transcript, time_map)

    def _write(self, samples: Samples, overlap: int) -> None:
        """What came before, faded into these samples over their first `overlap` frames."""
        if self._tail is not None and overlap:
            old = self._tail[:, -overlap:]
            rise = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
            # In this form equal samples stay what they are.
            faded = old + rise * (samples[:, :overlap] - old)
            samples = np.concatenate([self._tail[:, :-overlap], faded, samples[:, overlap:]], 1)
        elif self._tail is not None:
            samples = np.concatenate([self._tail, samples], axis=1)
        kept = min(round(FADE_S * self._rate) + 1, samples.shape[1])
        self._writer.write(samples[:, : samples.shape[1] - kept])
        self._tail = samples[:, samples.shape[1] - kept :]

    def _place(self, segment: Segment, audio: Audio, start: int, overlap: int) -> None:
        """Note where the segment's words and moments are in the whole."""
        start_s = start / self._rate
        said, heard = segment.transcript, audio.transcript
        self._texts.append(heard.text)
        self._is_as_said &= heard.text == said.text
        self._is_timed &= bool(heard.words) or not heard.text
        self._words += [
            replace(w, start_s=w.start_s + start_s, end_s=w.end_s + start_s) for w in heard.words
        ]
        rate = self._source.sample_rate
        first_s, cut_s, end_s = (at / rate for at in (segment.span[0], *segment.cut))
        self._knots.append((cut_s, (start + overlap / 2) / self._rate if start else 0.0))
        inner = ((first_s + there, start_s + here) for there, here in audio.time_map)
        self._knots += [(s, h) for s, h in inner if cut_s < s < end_s and h >= self._knots[-1][1]]
        length = segment.span[1] - segment.span[0]
        self._has_moved |= bool(audio.time_map) or audio.frames != length
