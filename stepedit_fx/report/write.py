"""What a batch made, as one page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepedit_fx.atomic import atomic_write
from stepedit_fx.batch import Item
from stepedit_fx.errors import StepEditError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.best import seeded
from stepedit_fx.graph.outputs import output_paths
from stepedit_fx.provenance import GraphSource
from stepedit_fx.report.checks import Listener
from stepedit_fx.report.collect import TakeView, view_stages
from stepedit_fx.report.page import MAX_SOUND_BYTES, Page
from stepedit_fx.report.stages import render_stages
from stepedit_fx.store import Store
from stepedit_fx.takes import Take
from stepedit_fx.warned import caught_warnings

logger = logging.getLogger(__name__)

# Seconds of sound that are listened to for words, at some 0.2 s of work each.
LISTENING_S = 180.0


@dataclass(frozen=True)
class Written:
    """A report that is there. size: bytes. without_sound: takes for which it had no room."""

    path: Path
    size: int
    without_sound: int


def write_report(
    path: Path,
    graph_source: GraphSource,
    takes: Sequence[Take],
    items: Sequence[Item],
    *,
    out_dir: Path,
    store: Store,
    plugin_folders: Sequence[Path] = (),
    max_sound_bytes: int = MAX_SOUND_BYTES,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the page of a batch that has been run: every take, those that failed too.

    items: what became of each take, in order. store: the batch's; a stage that it does not hold
    is rendered. progress: told how many takes are done.
    Raises WriteError, with what was at `path` untouched; Cancelled.
    """
    graph = graph_source.graph()
    takes = takes or (Take(None),)  # a graph that brings its own recording
    listener = Listener(LISTENING_S)
    with atomic_write(path, durable=False) as file:
        page = Page(file, graph.name, max_sound_bytes)
        page.begin()
        for number, (take, item) in enumerate(zip(takes, items, strict=True)):
            page.add(_view(graph, take, item, out_dir, store, plugin_folders, listener))
            if progress:
                progress(number + 1)
        page.end()
        size = file.tell()
    return Written(path, size, page.left_out)


def _view(
    graph: Graph,
    take: Take,
    item: Item,
    out_dir: Path,
    store: Store,
    plugin_folders: Sequence[Path],
    listener: Listener,
) -> TakeView:
    name = str(take.folder / take.path.name) if take.path else graph.name
    if item.state == "failed":
        return TakeView(name, take.path, item.state, item.error, item.warnings)
    kept = int(item.tried[0]["take"]) if item.tried else 1
    try:
        with caught_warnings():  # the run has told them, and the page finds its own
            stages = render_stages(
                seeded(graph, kept),
                take.path,
                store=store,
                engine=graph.open_engine(),
                index=take.index,
                plugin_folders=plugin_folders,
            )
        views = view_stages(stages, listener)
        written = output_paths(graph, take.path, out_dir / take.folder, index=take.index)
    except StepEditError as error:  # the take is written; only its page is not to be had
        logger.info("no report on %s", take.path, exc_info=True)
        told = f"it was rendered, but its stages cannot be shown: {error}"
        return TakeView(name, take.path, item.state, told, item.warnings)
    words = next((s.audio.transcript.text for s in stages if s.audio.transcript), "")
    return TakeView(
        name, take.path, item.state, "", item.warnings, written, words, views, item.tried
    )
