"""Where an engine's work is done: in this process, or in the worker that all processes share."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from typing import Any

from stepedit_fx.engines.base import Engine, EngineSettings, engine_class

VARIABLE = "STEPEDIT_WORKER"  # "off" for no worker, whatever the settings say


def open_engine(kind: str = "parametric", **settings: object) -> Engine:
    """An engine ready for work. Raises RequestError for an unknown kind or setting.

    One with a large model works through the worker, which is started where there is none; `worker`
    = "off" keeps the model in this process.
    """
    found: Any = engine_class(kind).Settings
    return open_with(found.model_validate({"kind": kind, **settings}))


@lru_cache(maxsize=4)
def open_with(settings: EngineSettings) -> Engine:
    """The engine with these settings, opened once per process."""
    if is_shared(settings):
        from stepedit_fx.worker.client import WorkerEngine

        shared: Any = WorkerEngine(settings)
        return shared  # type: ignore[no-any-return]
    made: Any = engine_class(settings.kind)
    engine: Engine = made(settings)
    return engine


def is_shared(settings: EngineSettings) -> bool:
    """Whether a worker does an engine's work."""
    wanted = getattr(settings, "worker", "off") != "off"
    # Python has no sockets in the file system on Windows.
    return wanted and hasattr(socket, "AF_UNIX") and os.environ.get(VARIABLE) != "off"


def holds_model(settings: EngineSettings) -> bool:
    """Whether every process that opens an engine with these settings holds gigabytes."""
    return engine_class(settings.kind).is_heavy and not is_shared(settings)
