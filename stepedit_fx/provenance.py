"""What an output was made from, written beside it; and whether it can be made again."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from stepedit_fx.atomic import write_text
from stepedit_fx.errors import ReadError, WriteError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.plan import Plan
from stepedit_fx.store.keys import file_digest as file_digest  # an output's, to its users

FORMAT = 1
SUFFIX = ".json"
MAX_BYTES = 4 << 20  # a graph file is at most 1 MiB; the rest is small

# What can change a result without this package changing.
_LIBRARIES = ("numpy", "scipy", "pedalboard", "praat-parselmouth", "soundfile", "soxr")


@dataclass(frozen=True)
class GraphSource:
    """A graph as it was asked for: enough to make it again elsewhere, or next year.

    text: the graph file's. file: its name in messages. folder: what paths in it are relative to.
    sets, variables: as given on the command line.
    """

    text: str
    file: str
    folder: Path
    sets: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        sets: Iterable[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> GraphSource:
        """The source of a graph file that loads. Raises ReadError, GraphError."""
        Graph.load(path, sets=tuple(sets), variables=variables)
        text = path.read_text(encoding="utf-8-sig")
        return cls(text, str(path), path.parent.absolute(), tuple(sets), dict(variables or {}))

    def graph(self) -> Graph:
        """The checked graph. Raises GraphError."""
        return Graph.parse(
            self.text,
            file=self.file,
            folder=self.folder,
            sets=self.sets,
            variables=self.variables,
        )


@dataclass(frozen=True)
class Provenance:
    """What one output was made from.

    output: the file's name. sha256: of its bytes. key: of the result in it. node: the output
    node's id. graph: name and digest. source: the input's path, None for a graph that brings its
    own. index: the run's number in its batch. engine: kind, settings and fingerprint. steps: by
    id, in order, each with kind, fields (seed among them), sources and key. takes: where several
    were made, which was kept, and all with seeds and scores (see `graph.best`).
    """

    output: str
    sha256: str
    key: str
    node: str
    graph_source: GraphSource
    graph: Mapping[str, Any]
    source: Path | None
    index: int
    engine: Mapping[str, Any]
    steps: Mapping[str, Any]
    versions: Mapping[str, str]
    written: str = ""
    takes: Mapping[str, Any] = field(default_factory=dict)


def sidecar(output: Path) -> Path:
    """Where an output's provenance lies: beside it, under its whole name and ``.json``."""
    return output.with_name(output.name + SUFFIX)


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """The versions that a result depends on."""
    from stepedit_fx import __version__

    found = {"stepedit_fx": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not every install has every library
    return {**found, "platform": f"{sys.platform} {platform.machine()}"}


def steps_data(plan: Plan) -> Mapping[str, Any]:
    """What is done, as data: every step with its kind, sources, key and fields."""
    return {
        step.id: {
            "kind": step.kind,
            "from": list(step.sources),
            "key": step.key,
            "fields": step.node.model_dump(mode="json"),
        }
        for step in plan.steps
    }


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_provenance(output: Path, provenance: Provenance) -> None:
    """Put the provenance beside its output, whole or not at all. Raises WriteError."""
    graph_source, source = provenance.graph_source, provenance.source
    data = {
        "provenance": FORMAT,
        "output": provenance.output,
        "sha256": provenance.sha256,
        "key": provenance.key,
        "node": provenance.node,
        "written": provenance.written,
        "input": None if source is None else _located(source, output.parent),
        "index": provenance.index,
        "graph": {
            **provenance.graph,
            "file": graph_source.file,
            "folder": _located(graph_source.folder, output.parent),
            "sets": list(graph_source.sets),
            "vars": dict(graph_source.variables),
            "text": graph_source.text,
        },
        "engine": dict(provenance.engine),
        "steps": dict(provenance.steps),
        "versions": dict(provenance.versions),
    }
    if provenance.takes:
        data["takes"] = dict(provenance.takes)
    # Not durable: lost in a power cut, it costs one render again.
    text = json.dumps(data, indent=1, ensure_ascii=_has_half_characters(data)) + "\n"
    write_text(sidecar(output), text, durable=False)


def _has_half_characters(data: object) -> bool:
    """Whether a text in it is no UTF-8, as names of files may be; JSON then has to escape it."""
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def check_free(output: Path) -> None:
    """Raise WriteError where a file that is not ours stands in the provenance's place."""
    try:
        foreign = sidecar(output).is_file() and read_provenance(output) is None
    except ReadError:
        return  # damaged, so a power cut's leavings: written again
    if foreign:
        raise WriteError.of(
            sidecar(output),
            "is somebody else's file, where the output's provenance would go",
            "Move it, or write to another folder.",
        )


def read_provenance(output: Path) -> Provenance | None:
    """The provenance beside an output; None where there is none, or a file of another kind.

    Raises ReadError for one that is damaged.
    """
    path = sidecar(output)
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReadError.of(path, f"cannot be read: {error}", "Render the output again.") from error
    if not isinstance(data, dict) or "provenance" not in data:
        return None
    try:
        return _parsed(data, output.parent)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        cause = f"is no provenance of this version ({type(error).__name__}: {error})"
        raise ReadError.of(path, cause, "Render the output again.") from error


def _parsed(data: dict[str, Any], folder: Path) -> Provenance:
    graph = dict(data["graph"])
    graph_source = GraphSource(
        text=str(graph.pop("text")),
        file=str(graph.pop("file")),
        folder=_found(graph.pop("folder"), folder),
        sets=tuple(str(text) for text in graph.pop("sets")),
        variables=dict(graph.pop("vars")),
    )
    return Provenance(
        output=str(data["output"]),
        sha256=str(data["sha256"]),
        key=str(data["key"]),
        node=str(data["node"]),
        graph_source=graph_source,
        graph=graph,
        source=None if data["input"] is None else _found(data["input"], folder),
        index=int(data["index"]),
        engine=dict(data["engine"]),
        steps={str(id_): dict(step) for id_, step in data["steps"].items()},
        versions=dict(data["versions"]),
        written=str(data["written"]),
        takes=dict(data.get("takes", {})),
    )


def _located(path: Path, folder: Path) -> dict[str, str]:
    """A path twice: as seen from the output, for a folder that moves whole, and absolute."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - keeps symbolic links as they were named
    try:
        relative = os.path.relpath(absolute, os.path.abspath(folder))  # noqa: PTH100
    except ValueError:  # another drive on Windows
        relative = absolute
    return {"relative": Path(relative).as_posix(), "absolute": absolute}


def _found(located: Mapping[str, str], folder: Path) -> Path:
    near = folder / located["relative"]
    return near if near.exists() else Path(located["absolute"])
