"""A writer whose language model is elsewhere: prompts' ids to a server, audio ids back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from stepedit_fx.engines.step_audio.generation import Generated, Request, answer_room
from stepedit_fx.engines.step_audio.memory import LanguageModelSize
from stepedit_fx.engines.step_audio.remote_call import Call, CutOff, NotServed, Server
from stepedit_fx.engines.step_audio.remote_draft import MOST_BREAKS, Draft
from stepedit_fx.engines.step_audio.remote_model import Piece, Served, Wish, pieces, served
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.vocabulary import GROUP
from stepedit_fx.engines.step_audio.writer import Progress, Written
from stepedit_fx.errors import EngineError

MOST_AT_ONCE = 32  # requests of one call; the server makes batches of all that come
VOCABULARY = LanguageModelSize().vocabulary
POLL_S = 0.05  # how often an asker looks whether the answer is still wanted


class RemoteWriter:
    """Answers by a server's model; see `writer.Writer`. Several threads may use it at once.

    Every call has connections of its own, so nobody waits here behind anybody else.
    """

    def __init__(self, settings: RemoteModel, *, most_breaks: int = MOST_BREAKS) -> None:
        self._server = Server(settings)
        self._most_breaks = most_breaks
        self._looking = threading.Lock()
        self._served: Served | None = None
        self._drafts: set[Draft] = set()

    def answer(
        self,
        requests: Sequence[Request],
        *,
        is_urgent: bool = False,
        progress: Progress | None = None,
        written: Written | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Generated]:
        """See `Writer.answer`. Raises Busy, RequestError, EngineError; the first one ends all."""
        telling = threading.Lock()

        def told(place: int, draft: Draft) -> None:
            with telling:  # one at a time, as the writer that is here
                if draft.call.is_ended:
                    return
                if progress is not None:
                    progress(place, len(draft.ids))
                if written is not None:
                    whole = len(draft.ids) // GROUP * GROUP
                    written(place, draft.ids[:whole], draft.stop is not None)

        drafts = [
            Draft(request, partial(told, place), most_breaks=self._most_breaks)
            for place, request in enumerate(requests)
        ]
        pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="stepedit-fx remote")
        try:
            _wait([pool.submit(self._write, *pair) for pair in enumerate(drafts)], cancelled)
        finally:
            for draft in drafts:
                draft.call.end()
            pool.shutdown(wait=False, cancel_futures=True)
        return [draft.result() for draft in drafts]

    def release(self) -> None:
        """Nothing is held here but the model's name, which is asked for again."""
        self._served = None

    def status(self) -> dict[str, Any]:
        """Where the model is, and how many answers are being written."""
        found = self._served
        return {
            "server": self._server.url,
            "model": found.id if found is not None else self._server.settings.model,
            "writing": len(self._drafts),
        }

    def _write(self, place: int, draft: Draft) -> None:
        """One answer, in a thread of its own."""
        self._drafts.add(draft)
        try:
            found = self._found(draft.call)
            most = answer_room(draft.request, found.places, VOCABULARY, place=place)
            draft.write(partial(self._pieces, found.id), most, self._server.url)
        except CutOff:
            if not draft.call.is_ended:
                raise EngineError(
                    f"{self._server.url} hung up before it answered", remedy="Its log may say why."
                ) from None
        finally:
            self._drafts.discard(draft)

    def _pieces(self, model: str, wish: Wish, call: Call) -> Generator[Piece, None, None]:
        try:
            yield from pieces(self._server, model, wish, call)
        except NotServed:
            served(self._server, call)  # says which are
            raise

    def _found(self, call: Call) -> Served:
        with self._looking:
            if self._served is None:
                self._served = served(self._server, call)
            return self._served


def _wait(futures: Sequence[Future[None]], cancelled: Callable[[], bool]) -> None:
    """Until all are done or nobody wants them; raises what the first of them fails with."""
    left = set(futures)
    while left and not cancelled():
        done, left = wait(left, timeout=POLL_S, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future in done:
                future.result()
