"""Where the commands of `stepedit_fx.osc.commands` are done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Any

from stepedit_fx import __version__
from stepedit_fx.errors import Busy, NotFound, RequestError, StepEditError
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.osc import commands
from stepedit_fx.osc.audience import Audience, sent
from stepedit_fx.osc.clients import LEASE_S, Client
from stepedit_fx.osc.commands import Command
from stepedit_fx.osc.faults import Conflict, TimedOut, Unwelcome, code_of, told
from stepedit_fx.osc.limits import Bucket
from stepedit_fx.osc.paths import check_reads, find_graph_file, find_recording
from stepedit_fx.osc.pattern import matching
from stepedit_fx.osc.settings import OscSettings
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Finished, Job, Progressed, Request, Session
from stepedit_fx.session.session import Transport

logger = logging.getLogger(__name__)

GUESSES_PER_SECOND = 10  # wrong tokens, of everybody together
MAX_GUESSES = 20  # at once


@dataclass(frozen=True)
class Ticket:
    """Who asked for a render, and what they call it."""

    desk: Desk
    client: Client
    id: int


class Desk:
    """Does commands, and answers those who asked. Used in the service's loop alone."""

    def __init__(self, session: Session, settings: OscSettings, audience: Audience) -> None:
        self._session = session
        self._settings = settings
        self._audience = audience
        self._guesses = Bucket(GUESSES_PER_SECOND, MAX_GUESSES)
        # Reading a graph takes a while, and nobody else should wait for it.
        self._opener = ThreadPoolExecutor(1, "osc open")
        self._opening: asyncio.Future[None] | None = None

    def close(self) -> None:
        self._opener.shutdown(wait=False, cancel_futures=True)

    def do(self, client: Client, command: Command, values: tuple[Any, ...]) -> None:
        """Do one command with the arguments it was read with. Raises StepEditError."""
        HANDLERS[command.address](self, client, *values)

    def _reply(self, client: Client, address: str, id: int | None, text: str) -> None:
        client.send(commands.REPLY, address, id or 0, text)

    def _ping(self, client: Client, id: int | None) -> None:
        client.renew()
        self._reply(client, f"{ROOT}/ping", id, __version__)

    def _auth(self, client: Client, id: int, token: str) -> None:
        wanted = self._settings.token
        if wanted and self._guesses.wait_s():
            raise Busy("too many wrong tokens were tried", remedy="Try again in a second.")
        if wanted and not compare_digest(token.encode(), wanted.encode()):
            self._guesses.take()
            raise Unwelcome("that is not the token")
        client.is_welcome = True
        self._reply(client, f"{ROOT}/auth", id, "welcome")

    # The graph

    def _open(self, client: Client, id: int, name: str) -> None:
        if self._opening is not None and not self._opening.done():
            raise Busy("another graph is being opened")
        path = find_graph_file(name, self._settings.roots)
        address = f"{ROOT}/session/open"
        self._reply(client, address, id, name)
        loop = asyncio.get_running_loop()
        self._opening = loop.run_in_executor(self._opener, self._opened, path)
        self._opening.add_done_callback(lambda done: self._answer_open(client, id, done))

    def _opened(self, path: Path) -> None:
        graph_source = GraphSource.load(path)
        check_reads(graph_source.graph(), (*self._settings.roots, path.parent))
        self._session.open(graph_source)

    def _answer_open(self, client: Client, id: int, done: asyncio.Future[None]) -> None:
        address = f"{ROOT}/session/open"
        error = None if done.cancelled() else done.exception()
        if error is None:
            client.send(commands.DONE, address, id, self._session.name)
            return
        if not isinstance(error, StepEditError):
            logger.error("opening a graph failed", exc_info=error)
        client.send(commands.ERROR, address, id, code_of(error), told(error))

    def _list(self, client: Client, id: int, pattern: str | None) -> None:
        controls, values = self._session.controls, self._session.values
        found = tuple(controls) if pattern is None else matching(pattern, controls)
        shown = [controls[address] for address in found if address in values]
        for control in shown:
            about = (control.kind, control.unit, control.low, control.high)
            value = sent(values[control.address])
            client.send(commands.LIST_ITEM, id, control.address, *about, value)
        self._reply(client, f"{ROOT}/list", id, str(len(shown)))

    # Renders

    def _render(
        self,
        client: Client,
        id: int,
        source: str | None,
        start_s: float | None,
        end_s: float | None,
        note: str | None,
    ) -> None:
        try:
            if id in client.renders:
                raise Conflict(f"the render {id} still runs", remedy="Use another id, or cancel.")
            path = self._recording(source)
            span_s = None if start_s is None or end_s is None else (start_s, end_s)
            request = Request(path, span_s, Ticket(self, client, id), note or "")
            client.renders[id] = self._session.render(request).id
        except StepEditError as error:
            self.refuse_render(client, id, error)

    def _recording(self, name: str | None) -> Path | None:
        """What a client named; the session's own for "" too, if it cannot leave a text out."""
        settings = self._settings
        return find_recording(name, settings.roots, settings.max_input_bytes) if name else None

    def refuse_render(self, client: Client, id: int, error: BaseException) -> None:
        """A render that was asked for will not be."""
        client.send(commands.FAILED, id, code_of(error), told(error))

    def _cancel(self, client: Client, id: int) -> None:
        if id not in client.renders:
            raise NotFound(f"no render {id} of yours runs")
        job_id = client.renders[id]
        self._reply(client, f"{ROOT}/render/cancel", id, job_id)
        self._session.cancel(job_id)

    def hear(self, event: Progressed | Finished) -> None:
        """Tell who asked for a render how it goes."""
        ticket = event.job.request.owner
        if not isinstance(ticket, Ticket) or ticket.desk is not self:
            return
        client, id = ticket.client, ticket.id
        if isinstance(event, Progressed):
            client.send(commands.PROGRESS, id, event.fraction, event.step)
            return
        if client.renders.get(id) == event.job.id:
            del client.renders[id]
        self._answer_render(client, id, event.job)

    def _answer_render(self, client: Client, id: int, job: Job) -> None:
        if job.state == "cancelled":
            client.send(commands.FAILED, id, 499, "cancelled")
        elif job.state != "done" or not job.files:
            error = job.error or RequestError("the graph has no output", remedy="Give it one.")
            self.refuse_render(client, id, error)
        else:
            for file in (*job.files[1:], job.files[0]):
                address = commands.RENDERED if file is job.files[0] else commands.OUTPUT
                where = (float(file.start_s), float(file.length_s), file.sample_rate)
                client.send(address, id, str(file.path), *where)

    # Scenes

    def _store(self, client: Client, id: int, name: str) -> None:
        self._session.store_scene(name)
        self._reply(client, f"{ROOT}/scene/store", id, name)

    def _recall(self, client: Client, id: int, name: str) -> None:
        self._session.recall_scene(name, origin="osc")
        self._reply(client, f"{ROOT}/scene/recall", id, name)

    def _delete(self, client: Client, id: int, name: str) -> None:
        self._session.delete_scene(name)
        self._reply(client, f"{ROOT}/scene/delete", id, name)

    def _morph(self, client: Client, id: int, first: str, second: str, position: float) -> None:
        self._session.morph(first, second, position, origin="osc")
        self._reply(client, f"{ROOT}/scene/morph", id, f"{position:g}")

    def _scenes(self, client: Client, id: int) -> None:
        names = self._session.scenes
        for name in names:
            client.send(commands.SCENE_ITEM, id, name)
        self._reply(client, f"{ROOT}/scene/list", id, str(len(names)))

    # Subscriptions

    def _subscribe(self, client: Client, id: int, pattern: str, port: int | None) -> None:
        if port is not None and client.answer_at is not None:
            if not 0 < port < 1 << 16:
                raise RequestError(f"a port is a number from 1 to 65535, got {port}")
            client.answer_at(port)
        addresses = self._audience.subscribe(client, pattern)
        text = f"{len(addresses)} for {LEASE_S:g} s"
        self._reply(client, f"{ROOT}/subscribe", id, text)
        self._audience.send_values(client, addresses)

    def _unsubscribe(self, client: Client, id: int, pattern: str | None) -> None:
        ended = list(client.subscriptions) if pattern is None else [pattern]
        for one in ended:
            if client.subscriptions.pop(one, None) is None:
                raise NotFound(f"you have no subscription '{one[:200]}'")
        self._reply(client, f"{ROOT}/unsubscribe", id, str(len(ended)))

    # MIDI and transport

    def _learn(self, client: Client, id: int, target: str) -> None:
        learner = self._session.learner
        if learner is None:
            raise NotFound("no MIDI is listened to", remedy="Start with --midi MAP.yaml.")
        loop = asyncio.get_running_loop()

        def answer(mapping: str | StepEditError) -> None:
            address = f"{ROOT}/midi/learn"
            if isinstance(mapping, StepEditError):
                code = code_of(mapping)
                code = TimedOut.code if code == 400 else code
                client.send(commands.ERROR, address, id, code, told(mapping))
            else:
                self._reply(client, address, id, mapping)

        def done(mapping: str | StepEditError) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(answer, mapping)

        learner.learn(target, done)

    @property
    def _transport(self) -> Transport:
        if self._session.transport is None:
            raise NotFound("nothing is played here", remedy="Start with stepedit-fx live.")
        return self._session.transport

    def _play(self, client: Client, id: int | None) -> None:
        self._transport.play()
        self._moved(client, "play", id, "playing")

    def _stop(self, client: Client, id: int | None) -> None:
        self._transport.stop()
        self._moved(client, "stop", id, "stopped")

    def _locate(self, client: Client, id: int | None, position_s: float) -> None:
        self._transport.locate(position_s)
        self._moved(client, "locate", id, f"{position_s:g}")

    def _loop(self, client: Client, id: int | None, on: bool) -> None:
        self._transport.set_loop(on)
        self._moved(client, "loop", id, "on" if on else "off")

    def _moved(self, client: Client, what: str, id: int | None, text: str) -> None:
        if id is not None:  # a button that has none asks for no answer
            self._reply(client, f"{ROOT}/transport/{what}", id, text)


HANDLERS: Mapping[str, Callable[..., None]] = {
    f"{ROOT}/{name}": handler
    for name, handler in (
        ("ping", Desk._ping),
        ("auth", Desk._auth),
        ("session/open", Desk._open),
        ("list", Desk._list),
        ("render", Desk._render),
        ("render/cancel", Desk._cancel),
        ("scene/store", Desk._store),
        ("scene/recall", Desk._recall),
        ("scene/delete", Desk._delete),
        ("scene/morph", Desk._morph),
        ("scene/list", Desk._scenes),
        ("subscribe", Desk._subscribe),
        ("unsubscribe", Desk._unsubscribe),
        ("midi/learn", Desk._learn),
        ("transport/play", Desk._play),
        ("transport/stop", Desk._stop),
        ("transport/locate", Desk._locate),
        ("transport/loop", Desk._loop),
    )
}
