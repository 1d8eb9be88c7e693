"""Who writes audio ids: the language model here (`token_service`), or one elsewhere (`remote`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stepedit_fx.engines.step_audio.generation import Generated, Request

Progress = Callable[[int, int], None]
Written = Callable[[int, Sequence[int], bool], None]


class Writer(Protocol):
    """Answers prompts for any number of threads; every answer is whole groups in their slots."""

    def answer(
        self,
        requests: Sequence[Request],
        *,
        is_urgent: bool = False,
        progress: Progress | None = None,
        written: Written | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Generated]:
        """The answers to all requests, in their order.

        is_urgent: somebody waits to hear it. progress: told a request's place and how many ids it
        has, now and then, in another thread. written: the same with the ids themselves, and
        whether they are all. cancelled: asked now and then; whole groups are kept.
        Raises RequestError, EngineError for the first request that fails.
        """
        ...

    def release(self) -> None:
        """Give back what can be had again."""
        ...

    def status(self) -> dict[str, Any]:
        """What is being written, as plain data; waits for nobody."""
        ...
