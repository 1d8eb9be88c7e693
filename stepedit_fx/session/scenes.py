"""Named sets of values, kept in a file where one is given."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path

from stepedit_fx.atomic import write_text
from stepedit_fx.errors import NotFound, ReadError, RequestError, did_you_mean
from stepedit_fx.graph.controls import Value

FORMAT = 1
MAX_SCENES = 1000
MAX_NAME = 80
MAX_BYTES = 16 << 20


class Scenes:
    """Values by address, under names. file: read at the start, written at every change.

    Safe to use from any thread; reading never waits for the disk.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._writing = threading.Lock()
        self._scenes: dict[str, dict[str, Value]] = {}
        if file is not None and file.exists():
            self._scenes = _read(file)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._scenes)

    def get(self, name: str) -> Mapping[str, Value]:
        """The values of a scene. Raises NotFound."""
        if name not in self._scenes:
            remedy = did_you_mean(name[:MAX_NAME], self._scenes) or "Store one first."
            raise NotFound(f"there is no scene '{name[:MAX_NAME]}'", remedy=remedy)
        return self._scenes[name]

    def store(self, name: str, values: Mapping[str, Value]) -> None:
        """Keep values under a name, in place of what it held. Raises RequestError, WriteError."""
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise RequestError(f"a scene's name has 1 to {MAX_NAME} printable characters")
        with self._writing:
            if name not in self._scenes and len(self._scenes) >= MAX_SCENES:
                raise RequestError(f"{MAX_SCENES} scenes are kept already", remedy="Delete some.")
            self._keep({**self._scenes, name: dict(values)})

    def delete(self, name: str) -> None:
        """Forget a scene. Raises NotFound, WriteError."""
        with self._writing:
            self.get(name)
            self._keep({key: values for key, values in self._scenes.items() if key != name})

    def _keep(self, scenes: dict[str, dict[str, Value]]) -> None:
        if self._file is not None:
            document = {"version": FORMAT, "scenes": scenes}
            write_text(self._file, json.dumps(document, indent=1, ensure_ascii=False))
        self._scenes = scenes


def _read(file: Path) -> dict[str, dict[str, Value]]:
    remedy = "Move it away, or name another."
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ReadError.of(file, f"over {MAX_BYTES >> 20} MiB: no file of scenes", remedy)
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError.of(file, error.strerror or str(error), remedy) from error
    except (ValueError, RecursionError) as error:
        raise ReadError.of(file, f"not JSON: {error}", remedy) from error
    if not isinstance(data, dict) or data.get("version") != FORMAT:
        raise ReadError.of(file, f"no file of scenes of version {FORMAT}", remedy)
    scenes = data.get("scenes")
    if not isinstance(scenes, dict) or not all(_is_scene(value) for value in scenes.values()):
        raise ReadError.of(file, "a scene must be a mapping of addresses to values", remedy)
    return scenes


def _is_scene(data: object) -> bool:
    return isinstance(data, dict) and all(
        isinstance(value, bool | str | int) or (isinstance(value, float) and math.isfinite(value))
        for value in data.values()
    )
