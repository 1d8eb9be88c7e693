"""One take as what a page shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.mix import Mix
from stepedit_fx.report.checks import Listener, faults_of, told_of
from stepedit_fx.report.delta import Delta, delta_of
from stepedit_fx.report.figures import change, figures_of
from stepedit_fx.report.stages import Stage
from stepedit_fx.report.tracks import SPECTROGRAM_TOP_HZ, Tracks, level_spectrum_db, tracks_of

# Under this nothing of a delta is heard.
INAUDIBLE_DBFS = -80.0


@dataclass(frozen=True)
class StageView:
    """A stage with what was measured of it. change: from its recording, in just noticed steps.

    delta: what it took from the stage before; None where that cannot be said, see delta_why.
    """

    stage: Stage
    source: str
    figures: Mapping[str, float]
    change: float
    tracks: Tracks
    warnings: tuple[str, ...]
    delta: Delta | None
    delta_why: str


@dataclass(frozen=True)
class TakeView:
    """A take: what became of it, and its stages where it has any.

    source: the recording's path. written: the files there are now. warnings: of the run. tried:
    where the graph makes several takes of it, all of them as provenance has them, the kept first.
    """

    name: str
    source: Path | None
    state: str
    error: str = ""
    warnings: tuple[str, ...] = ()
    written: Mapping[str, Path] = field(default_factory=dict)
    transcript: str = ""
    stages: tuple[StageView, ...] = ()
    tried: tuple[Mapping[str, Any], ...] = ()

    @property
    def change(self) -> float:
        """How far what is written is from its recording: the furthest of the outputs."""
        written = [view.change for view in self.stages if view.stage.writes]
        return max(written, default=0.0)


def view_stages(stages: Sequence[Stage], listener: Listener) -> tuple[StageView, ...]:
    """Stages measured and compared, in order."""
    by_id = {stage.id: stage for stage in stages}
    sources = {stage.id: _source_of(stage, by_id) for stage in stages}
    figures = {stage.id: figures_of(stage.audio) for stage in stages}
    spoken = _last_spoken(stages, by_id)
    top_hz = _top_hz(stages)
    top_db = max((_top_db(stage.audio) for stage in stages if not stage.before), default=0.0)
    views = []
    for stage in stages:
        source = by_id[sources[stage.id]]
        delta, why = _delta(by_id.get(stage.before), stage)
        views.append(
            StageView(
                stage,
                source.id,
                figures[stage.id],
                change(figures[source.id], figures[stage.id]),
                tracks_of(stage.audio, top_hz=top_hz, top_db=top_db),
                tuple(_warnings(stage, by_id, source, listener if stage.id in spoken else None)),
                delta,
                why,
            )
        )
    return tuple(views)


def top_hz_of(views: Sequence[StageView]) -> float:
    """The highest frequency of a take's spectrograms."""
    return _top_hz([view.stage for view in views])


def _top_hz(stages: Sequence[Stage]) -> float:
    highest = max((stage.audio.sample_rate / 2 for stage in stages), default=SPECTROGRAM_TOP_HZ)
    return min(SPECTROGRAM_TOP_HZ, highest)


def _top_db(audio: Audio) -> float:
    """The level that is drawn brightest: next to nothing of the recording is above it."""
    levels, _ = level_spectrum_db(audio.mono(), audio.sample_rate)
    return float(np.percentile(levels.max(axis=0), 98)) if levels.size else 0.0


def _source_of(stage: Stage, by_id: Mapping[str, Stage]) -> str:
    while stage.before:
        stage = by_id[stage.before]
    return stage.id


def _delta(before: Stage | None, stage: Stage) -> tuple[Delta | None, str]:
    if before is None:
        return None, ""
    delta = delta_of(before.audio, stage.audio)
    if delta is None:
        return (
            None,
            "its pace or sound is too far from what it was made from to be subtracted",
        )
    if delta.level_dbfs < INAUDIBLE_DBFS:
        return None, "it took nothing away that could be heard"
    return delta, ""


def _last_spoken(stages: Sequence[Stage], by_id: Mapping[str, Stage]) -> set[str]:
    """The stages that are listened to for words: of each output the last one before effects, as
    a room around the voice is more than the ear takes.
    """
    found = set()
    for stage in stages:
        if stage.writes:
            while stage.before and stage.kind in (Effects.kind, Mix.kind):
                stage = by_id[stage.before]
            found.add(stage.id)
    return found


def _warnings(
    stage: Stage, by_id: Mapping[str, Stage], source: Stage, listener: Listener | None
) -> list[str]:
    if not stage.before:
        return told_of(stage.audio)
    faults = faults_of(source.audio, by_id[stage.before].audio, stage.audio)
    transcript = source.audio.transcript
    if listener and listener.takes(transcript, source.audio):
        lost = listener.vanished(transcript, source.audio, stage.audio)
        if lost:
            words = ", ".join(f"'{word}'" for word in lost[:12])
            faults.append(f"a rough ear does not understand these words any more: {words}")
    return faults
