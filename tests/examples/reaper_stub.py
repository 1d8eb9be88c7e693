"""REAPER's Python functions, as far as our script uses them, with what REAPER's module returns.

Objects are given as text, "(MediaItem*)0x...", with zeros for none; a function with buffers gives
the tuple of its result and all arguments, as reaper_python.py does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Source:
    """path: empty for a section, which has a parent. section: start, length (s), reversed."""

    path: str = ""
    length_s: float = 0.0
    parent: Source | None = None
    section: tuple[float, float, bool] | None = None


@dataclass
class Item:
    """An item with one take, or none where source is None."""

    guid: str
    source: Source | None
    length_s: float
    offset_s: float = 0.0
    rate: float = 1.0
    is_midi: bool = False
    loops: bool = False


@dataclass
class Reaper:
    """Stands where the module reaper_python would. shown: the message boxes."""

    selection: list[Item]
    shown: list[str] = field(default_factory=list)
    _objects: dict[str, Any] = field(default_factory=dict)

    def _pointer(self, kind: str, thing: object) -> str:
        number = 0 if thing is None else id(thing)
        text = f"({kind}*)0x{number:016X}"
        self._objects[text] = thing
        return text

    def _at(self, pointer: str) -> Any:
        thing = self._objects[pointer]
        assert thing is not None, "REAPER would crash or give rubbish for a null pointer"
        return thing

    def RPR_GetSelectedMediaItem(self, _project: int, index: int) -> str:
        item = self.selection[index] if index < len(self.selection) else None
        return self._pointer("MediaItem", item)

    def RPR_GetActiveTake(self, item: str) -> str:
        one = self._at(item)
        return self._pointer("MediaItem_Take", one if one.source else None)

    def RPR_TakeIsMIDI(self, take: str) -> bool:
        return bool(self._at(take).is_midi)

    def RPR_GetMediaItemTake_Source(self, take: str) -> str:
        return self._pointer("PCM_source", self._at(take).source)

    def RPR_GetMediaSourceParent(self, source: str) -> str:
        return self._pointer("PCM_source", self._at(source).parent)

    def RPR_GetMediaSourceFileName(self, source: str, _: str, size: int) -> tuple[str, str, int]:
        return source, self._at(source).path, size

    def RPR_GetMediaSourceLength(self, source: str, beats: bool) -> tuple[float, str, bool]:
        return self._at(source).length_s, source, beats

    def RPR_PCM_Source_GetSectionInfo(
        self, source: str, start_s: float, length_s: float, is_reversed: bool
    ) -> tuple[int, str, float, float, int]:
        section = self._at(source).section
        if section is None:
            return 0, source, start_s, length_s, int(is_reversed)
        return 1, source, section[0], section[1], int(section[2])

    def RPR_GetMediaItemTakeInfo_Value(self, take: str, name: str) -> float:
        one = self._at(take)
        return {"D_STARTOFFS": float(one.offset_s), "D_PLAYRATE": float(one.rate)}[name]

    def RPR_GetMediaItemInfo_Value(self, item: str, name: str) -> float:
        one = self._at(item)
        return {"D_LENGTH": float(one.length_s), "B_LOOPSRC": float(one.loops)}[name]

    def RPR_GetSetMediaItemInfo_String(
        self, item: str, name: str, text: str, is_set: bool
    ) -> tuple[bool, str, str, str, bool]:
        assert name == "GUID"
        assert not is_set
        return True, item, name, self._at(item).guid, is_set

    def RPR_ShowMessageBox(self, text: str, _title: str, _kind: int) -> int:
        self.shown.append(text)
        return 1
