"""A session: one graph, its values, its scenes, its renders, and those who listen."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from stepedit_fx.errors import NotFound, RequestError, StepEditError, did_you_mean
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import (
    Control,
    Controls,
    Value,
    controls_of,
    upstream,
    with_values,
)
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session.events import (
    Changed,
    Event,
    Opened,
    Scene,
    Trouble,
)
from stepedit_fx.session.jobs import Heard, Job, Request
from stepedit_fx.session.monitor import Monitor
from stepedit_fx.session.renderer import Order, Renderer
from stepedit_fx.session.renders import Renders
from stepedit_fx.session.scenes import Scenes
from stepedit_fx.worker.opening import holds_model

logger = logging.getLogger(__name__)

Listener = Callable[[Event], None]


class Transport(Protocol):
    """What plays the session's sound, where something does."""

    def play(self) -> None: ...
    def stop(self) -> None: ...
    def locate(self, position_s: float) -> None: ...
    def set_loop(self, loop: bool) -> None: ...


class Learner(Protocol):
    """What assigns a hardware control to an address, where something does."""

    def learn(self, address: str, done: Callable[[str | StepEditError], None]) -> None:
        """Wait for a control to be moved; tell done the mapping in words, or why there is none."""
        ...


class Session:
    """One live graph. Safe to use from any thread.

    graph_source: the graph. spool: the folder that renders are written to, under names made
    here. source: the recording that is rendered where a request names none. store: the folder of
    results, None for memory alone. plugin_folders: where VST3 and AU effects may lie.
    scenes_file: where scenes are kept, None for this session only.

    Listeners are called one after another, in the order of the changes, by whoever made the
    change; they must be quick and must not wait for another thread that uses the session.
    """

    def __init__(
        self,
        graph_source: GraphSource,
        *,
        spool: Path,
        source: Path | None = None,
        store: Path | None = None,
        plugin_folders: tuple[Path, ...] = (),
        scenes_file: Path | None = None,
    ) -> None:
        self.spool = spool.absolute()
        self.source = None if source is None else source.absolute()
        self.transport: Transport | None = None
        self.learner: Learner | None = None
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self._generation = 0
        self._monitors: list[Monitor] = []
        self._scenes = Scenes(scenes_file)
        graph = graph_source.graph()
        self._stand(graph_source, graph, controls_of(graph))
        try:
            spool.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"{spool}: {error.strerror}", remedy="Name another spool."
            ) from error
        self._file_lane = Renderer("files", store, plugin_folders)
        self._renders = Renders(self.spool, self._file_lane, self.tell)
        self._listen_lane = Renderer("listening", store, plugin_folders)

    # The graph and its values

    def open(self, graph_source: GraphSource) -> None:
        """Another graph in place of this one; scenes stay. Raises GraphError and keeps the old."""
        graph = graph_source.graph()  # takes a while; what plays and turns need not wait for it
        controls = controls_of(graph)
        with self._lock:
            self._stand(graph_source, graph, controls)
            self._generation += 1
            self._tell(Opened(self._graph.name, self._generation))
            monitors = tuple(self._monitors)
        for monitor in monitors:
            monitor.close()

    def _stand(self, graph_source: GraphSource, graph: Graph, controls: Controls) -> None:
        self._graph_source = graph_source
        self._graph = graph
        self._controls = controls
        self._values: dict[str, Value] = dict(controls.initial)

    @property
    def name(self) -> str:
        """The graph's name."""
        return self._graph.name

    @property
    def generation(self) -> int:
        """Raised by one at every change."""
        return self._generation

    @property
    def controls(self) -> Controls:
        """Everything that can be turned, by address."""
        return self._controls

    @property
    def values(self) -> Mapping[str, Value]:
        """What every control stands at, all of one moment."""
        with self._lock:
            return dict(self._values)

    @property
    def graph(self) -> Graph:
        """The graph with the values it has now. Raises RequestError where they do not fit."""
        with self._lock:
            return with_values(self._graph, self._turned())

    @property
    def graph_source(self) -> GraphSource:
        """The graph as it was opened, before anything was turned."""
        return self._graph_source

    def snapshot(self) -> tuple[Graph, Mapping[str, Value], int]:
        """The graph with its values, the values, and their generation, of one moment."""
        with self._lock:
            return self.graph, dict(self._values), self._generation

    def _turned(self) -> dict[str, Value]:
        """The values that are not those of the graph file."""
        initial = self._controls.initial
        return {key: value for key, value in self._values.items() if value != initial[key]}

    def value(self, address: str) -> Value:
        """What one control stands at. Raises NotFound."""
        with self._lock:
            return self._values[self._controls[address].address]

    def control(self, address: str) -> Control:
        """One control. Raises NotFound."""
        return self._controls[address]

    def set(self, changes: Mapping[str, object], *, origin: str = "") -> Mapping[str, Value]:
        """Set controls, as one change; gives the values as they now stand, clamped to range.

        Nothing is set where one of them cannot be: raises NotFound and RequestError, naming the
        address. Listeners hear of what was asked for also where it is what was there, so that
        they see it clamped.
        """
        with self._lock:
            checked = {
                address: self._controls[address].checked(value)
                for address, value in changes.items()
            }
            if not checked:
                return {}
            new = {k: v for k, v in checked.items() if self._values[k] != v}
            if any(self._controls[key].kind == "text" for key in new):
                # A text may be one that its node does not take; numbers are checked already.
                with_values(self._graph, {**self._turned(), **new})
            self._values.update(new)
            if new:
                self._generation += 1
            self._tell(Changed(self._generation, checked, origin))
            if new:
                nodes = frozenset(self._controls[key].node for key in new)
                for monitor in self._monitors:
                    if nodes & monitor.nodes:
                        monitor.touch()
        return checked

    # Scenes

    @property
    def scenes(self) -> tuple[str, ...]:
        """The names of the scenes, in the order of storing."""
        return self._scenes.names

    def store_scene(self, name: str) -> None:
        """Keep every value under a name. Raises RequestError for a name that is none."""
        self._scenes.store(name, self.values)  # on disk before anybody hears of it
        self.tell(Scene(name, stored=True))

    def delete_scene(self, name: str) -> None:
        """Forget a scene. Raises NotFound."""
        self._scenes.delete(name)
        self.tell(Scene(name, stored=False))

    def recall_scene(self, name: str, *, origin: str = "") -> None:
        """Set every value the scene holds, as one change. Raises NotFound.

        Values of controls that the open graph does not have are passed over.
        """
        with self._lock:
            self.set(self._known(self._scenes.get(name)), origin=origin)

    def morph(self, first: str, second: str, position: float, *, origin: str = "") -> None:
        """Set every value between two scenes: 0 (and below) the first, 1 the second, as one change.

        Numbers move along their knobs; switches, choices and texts change in the middle. Raises
        NotFound, and RequestError for a position that is no number.
        """
        if not math.isfinite(position):
            raise RequestError(f"a position goes from 0 to 1, got {position}")
        with self._lock:
            a, b = (self._known(self._scenes.get(name)) for name in (first, second))
            both = [key for key in a if key in b]
            self.set(
                {key: _between(self._controls[key], a[key], b[key], position) for key in both},
                origin=origin,
            )

    def _known(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {key: value for key, value in values.items() if key in self._controls}

    # Renders

    def render(self, request: Request) -> Job:
        """Start a render of the graph as it stands; `Progressed` and `Finished` tell of it.

        Raises RequestError where there is nothing to render, Busy where too many wait.
        """
        with self._lock:
            graph, values, generation = self.snapshot()
            source = request.source or self.source
            if source is None and not _brings_its_own(graph):
                raise RequestError("no recording was given", remedy="Name one to render.")
            return self._renders.start(
                replace(request, source=source),
                graph.name,
                self._graph_source,
                values,
                self._turned(),
                generation,
            )

    def job(self, job_id: str) -> Job:
        """A render by its id. Raises NotFound; the oldest that ended are forgotten."""
        return self._renders.job(job_id)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every render that is known, oldest first."""
        return self._renders.jobs

    def cancel(self, job_id: str) -> None:
        """Stop a render; its `Finished` follows. One that ended stays as it is. Raises NotFound."""
        self._renders.cancel(job_id)

    # Listening

    def monitor(
        self, node_id: str, *, sample_rate: int, channels: int, heard: Callable[[Heard], None]
    ) -> Monitor:
        """Keep somebody supplied with the newest sound of one node, until it is closed.

        Rendered now, and again whenever a control above that node is turned, some 30 ms after
        the last turn; a render that is overtaken is dropped, and heard is never given an older
        one after a newer. heard is called by a thread of the session's, with the session's own
        recording at this rate and number of channels. Raises NotFound, RequestError.
        """
        with self._lock:
            if node_id not in self._graph.nodes:
                raise NotFound(
                    f"there is no node '{node_id}'",
                    remedy=did_you_mean(node_id, self._graph.nodes),
                )
            if self.source is None and not _brings_its_own(self._graph):
                raise RequestError("no recording was given", remedy="Name one to play.")

            def order(name: str) -> tuple[Order, int]:
                with self._lock:
                    made = Order(
                        name,
                        self._graph_source,
                        self._turned(),
                        source=self.source,
                        up_to=node_id,
                        sample_rate=sample_rate,
                        channels=channels,
                    )
                    return made, self._generation

            nodes = upstream(self._graph, node_id)
            # Two processes, so that what is listened to never waits for a long file; but one
            # where each would hold gigabytes of weights.
            heavy = holds_model(self._graph.engine)
            lane = self._file_lane if heavy else self._listen_lane
            monitor = Monitor(nodes, lane, order, heard, self._ended)
            self._monitors.append(monitor)
        monitor.touch()
        return monitor

    def _ended(self, monitor: Monitor, error: StepEditError | None) -> None:
        """A monitor was closed, or could not render what was asked of it."""
        with self._lock:
            if error is not None:
                self._tell(Trouble(error))
            elif monitor in self._monitors:
                self._monitors.remove(monitor)

    # Listeners

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of everything from now on; gives what ends that."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def tell(self, event: Event) -> None:
        """Tell every listener; for what plays the sound and speaks of its transport."""
        with self._lock:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # one face that fails must not keep the others from hearing
                logger.exception("a listener failed on %s", type(event).__name__)

    def close(self) -> None:
        """End renders, processes and monitors; what is on disk stays."""
        for monitor in tuple(self._monitors):
            monitor.close()
        self._file_lane.close()
        self._listen_lane.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _brings_its_own(graph: Graph) -> bool:
    from stepedit_fx.nodes.input import Input

    return all(s.node.path for s in graph.nodes.values() if isinstance(s.node, Input))


def _between(control: Control, first: Value, second: Value, position: float) -> Value:
    """A control's value between those of two scenes, whose file may hold anything."""
    first, second = control.checked(first), control.checked(second)
    if control.kind in ("number", "whole") and 0 < position < 1:
        return control.at(control.norm(first) * (1 - position) + control.norm(second) * position)
    return first if position < 0.5 else second
