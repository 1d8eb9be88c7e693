"""A checked graph and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import Engine, EngineSettings, Hear
from stepedit_fx.errors import GraphError, Problem, ReadError, RequestError
from stepedit_fx.graph.document import MAX_BYTES
from stepedit_fx.nodes import Node
from stepedit_fx.store.keys import digest
from stepedit_fx.worker.opening import open_with

if TYPE_CHECKING:
    from stepedit_fx.graph.plan import Plan
    from stepedit_fx.graph.run import RunResult
    from stepedit_fx.store import Store


@dataclass(frozen=True)
class NodeSpec:
    """A node in its graph: its id and the ids of the nodes whose results it takes, in order."""

    id: str
    node: Node
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A graph that can run; made by `load` or `parse`.

    engine: the engine's kind and settings. nodes: by id, in file order. folder: what relative
    paths in the graph are relative to. variables: as text, for output paths. takes: how many a
    run makes, each with other seeds, to keep the best of.
    """

    name: str
    engine: EngineSettings
    nodes: Mapping[str, NodeSpec]
    folder: Path = field(default_factory=Path)
    description: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    takes: int = 1

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        sets: Iterable[str] = (),
        variables: Mapping[str, object] | None = None,
    ) -> Graph:
        """The graph in a YAML file. Raises ReadError, and GraphError with every problem.

        sets: "node.param=value" texts. variables: over the file's own ``vars:``; texts are read
        as YAML scalars, as on the command line.
        """
        path = Path(path)
        text = _read_text(path)
        return cls.parse(text, file=str(path), folder=path.parent, sets=sets, variables=variables)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        file: str = "<graph>",
        folder: Path | str = ".",
        sets: Iterable[str] = (),
        variables: Mapping[str, object] | None = None,
    ) -> Graph:
        """The graph in a YAML text; file is its name in messages. Raises GraphError."""
        from stepedit_fx.graph.reading import Reading

        return Reading(file, Path(folder)).graph(text, tuple(sets), variables or {})

    @property
    def digest(self) -> str:
        """sha256 of what the graph means: comments, layout and the file's place do not count."""
        nodes = [
            [spec.id, spec.node.kind, spec.node.model_dump(mode="json"), list(spec.sources)]
            for spec in self.nodes.values()
        ]
        told = ["graph", self.name, self.engine.model_dump(mode="json"), nodes]
        return digest(*told, self.takes) if self.takes > 1 else digest(*told)

    def open_engine(self) -> Engine:
        """The graph's engine, opened once per process. Raises EngineError and RequestError."""
        return open_with(self.engine)

    def plan(
        self,
        source: Path | str | Audio | None = None,
        *,
        store: Store | None = None,
        out_dir: Path | str | None = None,
        engine: Engine | None = None,
        index: int = 1,
    ) -> Plan:
        """What a run would do. Without a source only the steps, with no word on what is stored."""
        from stepedit_fx.graph.plan import make_plan

        return make_plan(
            self,
            source,
            store=store,
            out_dir=out_dir,
            engine=engine or self.open_engine(),
            index=index,
        )

    def run(
        self,
        source: Path | str | Audio | None = None,
        *,
        out_dir: Path | str | None = ".",
        store: Store | None = None,
        engine: Engine | None = None,
        plugin_folders: Iterable[Path] = (),
        progress: Callable[[str, str], None] | None = None,
        portion: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        hear: Hear | None = None,
        index: int = 1,
    ) -> RunResult:
        """Do what the graph says and write its outputs, last and whole.

        Of a graph with several takes the best one: see `graph.best`.

        source: the recording that the input without a path reads. out_dir: where outputs go;
        None writes nothing. progress: told (step id, "cached" | "running" | "done"), and in any
        thread ("mood", "120 tokens") while a model writes. portion: told the share of the work
        that is done, again and again within a long recording. cancelled: asked between steps.
        hear: given the sound of the graph's one output in blocks: the last
        edit while it is made, where engine and effects can (about as the result will be, whose
        loudness and length are settled when all of it is there), else the result when it is done;
        called in threads of the run, one at a time. index: this run's number in a batch, for
        ``{index}``.

        Raises ReadError, WriteError, RequestError, EngineError, RenderError (each naming its
        node) and Cancelled.
        """
        from stepedit_fx.graph.run import run_plan

        if self.takes > 1:
            if hear is not None:
                raise RequestError(
                    f"{self.takes} takes cannot be heard before the best is known",
                    remedy="Run one take, or without listening.",
                )
            from stepedit_fx.graph.best import seeded, try_takes

            asked = partial(
                Graph.run,
                source=source,
                store=store,
                engine=engine,
                plugin_folders=tuple(plugin_folders),
                progress=progress,
                portion=portion,
                cancelled=cancelled,
                index=index,
            )
            recordings = self.plan(source, engine=engine, index=index).recordings
            trials = try_takes(self, recordings, lambda take: asked(take, out_dir=None).values)
            return asked(seeded(self, trials[0].number), out_dir=out_dir)
        plan = self.plan(source, store=store, out_dir=out_dir, engine=engine, index=index)
        return run_plan(
            plan,
            store=store,
            plugin_folders=tuple(plugin_folders),
            progress=progress,
            portion=portion,
            cancelled=cancelled,
            hear=hear,
        )


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        remedy = "Check the path." if isinstance(error, FileNotFoundError) else ""
        raise ReadError.of(path, error.strerror or str(error), remedy) from error
    if len(raw) > MAX_BYTES:
        raise GraphError([Problem(f"over {MAX_BYTES >> 20} MiB. Is it a graph?", str(path))])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise GraphError([Problem("not UTF-8. Save it as UTF-8.", str(path), line)]) from error
