"""Files, folders and globs as the recordings to work on, and where their outputs go."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepedit_fx.errors import RequestError, did_you_mean
from stepedit_fx.graph import Graph
from stepedit_fx.graph.outputs import output_paths
from stepedit_fx.provenance import sidecar


@dataclass(frozen=True)
class Take:
    """One recording to work on. path: None where the graph brings its own.

    folder: where it lay inside the folder or glob that named it; outputs go to the same place
    inside the output folder. index: its number, from 1.
    """

    path: Path | None
    folder: Path = Path()
    index: int = 1


def find_takes(names: Sequence[str]) -> list[Take]:
    """The recordings that files, folders and globs name, in that order, each once.

    Folders are searched to any depth. Outputs of earlier runs (they have provenance beside them)
    and hidden files are left out unless named by themselves.
    Raises RequestError for a name that finds nothing.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for name in names:
        for path, folder in _named(name):
            found.setdefault(os.path.realpath(path), (path, folder))
    return [Take(path, folder, i) for i, (path, folder) in enumerate(found.values(), start=1)]


def find_take(name: str) -> Take:
    """The one recording that a file's name stands for.

    Raises RequestError for a folder, a glob, and a name that finds nothing.
    """
    takes = find_takes([name])
    if not Path(name).expanduser().is_file():
        raise RequestError(
            f"{name}: one recording is taken here, not a folder or glob",
            remedy="Name a file; `stepedit-fx run` takes them all.",
        )
    return takes[0]


def check_places(graph: Graph, takes: Sequence[Take], out_dir: Path) -> None:
    """Raise RequestError where two takes would write one file, or one over a recording."""
    read = {_identity(take.path): take.path for take in takes if take.path}
    written: dict[object, Take] = {}
    for take in takes:
        paths = output_paths(graph, take.path, out_dir / take.folder, index=take.index)
        for node_id, path in paths.items():
            identity = _identity(path)
            if identity in read:
                raise RequestError(
                    f"the output '{path}' is the input '{read[identity]}'",
                    remedy="Write to another folder (-o) or under another name.",
                    node=node_id,
                )
            if identity in written:
                raise RequestError(
                    f"'{take.path}' and '{written[identity].path}' would both be written to "
                    f"'{path}'",
                    remedy="Put {index} into the output's path, or run them apart.",
                    node=node_id,
                )
            written[identity] = take


def _identity(path: Path) -> object:
    """What two names of one file share, links included; of a new file, its place."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path).casefold()
    return found.st_dev, found.st_ino


def _named(name: str) -> list[tuple[Path, Path]]:
    path = Path(name).expanduser()
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if _is_take(p, path))
        if not inside:
            raise RequestError(f"{name}: no recordings in this folder", remedy=_endings())
        return [(p, p.parent.relative_to(path)) for p in inside]
    if path.exists():
        return [(path, Path())]
    if glob.has_magic(name):
        base = _fixed_part(path)
        matches = sorted(base.glob(str(path.relative_to(base))))
        inside = [p for p in matches if _is_take(p, base)]
        if not inside:
            raise RequestError(f"{name}: no recording matches", remedy=_endings())
        return [(p, p.parent.relative_to(base)) for p in inside]
    near = [p.name for p in _siblings(path)]
    remedy = did_you_mean(path.name, near) if near else "Check the path."
    raise RequestError(f"{name}: there is no such file or folder", remedy=remedy)


def _is_take(path: Path, base: Path) -> bool:
    from stepedit_fx.files import READABLE_SUFFIXES

    hidden = any(part.startswith(".") for part in path.relative_to(base).parts)
    is_recording = path.suffix.lower() in READABLE_SUFFIXES and path.is_file()
    return is_recording and not hidden and not sidecar(path).is_file()


def _fixed_part(pattern: Path) -> Path:
    """The folder that every match of a glob lies in."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _siblings(path: Path) -> Iterator[Path]:
    from stepedit_fx.files import READABLE_SUFFIXES

    if path.parent.is_dir():
        yield from (p for p in path.parent.iterdir() if p.suffix.lower() in READABLE_SUFFIXES)


def _endings() -> str:
    from stepedit_fx.files import READABLE_SUFFIXES

    return f"Recordings end in {', '.join(READABLE_SUFFIXES)}."
