"""An engine with moods, served by a worker of its own: run as a script it is that worker's process.

The text of an edit says what goes wrong; a source whose first sample is over 0.9 is decoded only
when nobody wants it any more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from stepedit_fx.audio import Audio
from stepedit_fx.engines import base
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.errors import Cancelled
from stepedit_fx.speech import Edit, Speech

NAME = "odd"


class OddSettings(base.EngineSettings):
    kind: Literal["odd"] = "odd"
    worker: Literal["auto", "off"] = "auto"


class OddEngine(ParametricEngine):
    """See the module."""

    kind: ClassVar[str] = NAME
    Settings: ClassVar[type[base.EngineSettings]] = OddSettings
    released = 0

    def __init__(self, settings: OddSettings) -> None:
        super().__init__()

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        match edits[0].text:
            case "hang":
                time.sleep(1000)
            case "wait":
                until_cancelled()
            case "break":
                raise ZeroDivisionError("by design")
            case "memory":
                raise MemoryError
        return super().edit(takes, [Edit("emotion", "happy")])

    def decode(self, takes: Sequence[Speech]) -> list[Audio]:
        sounds = super().decode(takes)
        if sounds[0].samples[0, 0] > 0.9:
            until_cancelled()
        return sounds

    def release(self) -> None:
        self.released += 1

    def status(self) -> dict[str, Any]:
        return {"released": self.released}


def until_cancelled() -> None:
    while not base.is_cancelled():
        time.sleep(0.01)
    raise Cancelled("it was waited for")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    base.ENGINES = {**base.ENGINES, NAME: ("odd_engine", "OddEngine")}
    from stepedit_fx.worker import process, server

    server.MOST_AT_ONCE = 1  # so that one job makes the others wait
    sys.exit(process.main())
