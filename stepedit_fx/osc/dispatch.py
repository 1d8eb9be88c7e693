"""From the bytes of a packet to what they ask for; every fault is answered, none gets out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from stepedit_fx.errors import Busy, NotFound, RequestError, StepEditError
from stepedit_fx.graph.controls import ROOT, Controls, Value
from stepedit_fx.osc import commands
from stepedit_fx.osc.audience import Audience, value_at
from stepedit_fx.osc.client import flat
from stepedit_fx.osc.clients import Client
from stepedit_fx.osc.commands import ANSWERS, COMMANDS, NODES, NORM, Command, command
from stepedit_fx.osc.desk import Desk
from stepedit_fx.osc.faults import Unwelcome, code_of, told
from stepedit_fx.osc.limits import Bucket
from stepedit_fx.osc.pattern import is_pattern, matching
from stepedit_fx.osc.settings import OscSettings
from stepedit_fx.osc.wire import Bundle, MalformedPacket, Message, decode
from stepedit_fx.session import Event, Finished, Progressed, Session

logger = logging.getLogger(__name__)

MAX_AHEAD_S = 10.0
MAX_LATER = 1024
MAX_LATER_BYTES = 16 << 20
_RENDER = f"{ROOT}/render"
_AUTH = f"{ROOT}/auth"


class Dispatcher:
    """Takes packets of clients, and events of the session. Used in the service's loop alone."""

    def __init__(self, session: Session, settings: OscSettings) -> None:
        self.audience = Audience(session)
        self._session = session
        self._settings = settings
        self._desk = Desk(session, settings, self.audience)
        self._later: dict[asyncio.TimerHandle, int] = {}  # bundles for later, with their bytes
        # Searching all addresses for the one that was meant takes milliseconds.
        self._hints = Bucket(5, 20)

    def close(self) -> None:
        """Forget what waits, and everybody."""
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        for client in tuple(self.audience.clients):
            self.audience.leave(client)
        self._desk.close()

    def hear(self, event: Event) -> None:
        """Pass on what the session tells."""
        if isinstance(event, Progressed | Finished):
            self._desk.hear(event)
        else:
            self.audience.hear(event)

    def take(self, client: Client, data: bytes) -> None:
        """Do what a packet asks for. Raises nothing."""
        try:
            packet = decode(data)
        except MalformedPacket as error:
            self.refuse(client, error.address, error)
            return
        try:
            if isinstance(packet, Bundle):
                self._take_bundle(client, packet, len(data))
            else:
                self._take_message(client, packet)
        except Exception:  # a fault of ours must not end the service
            logger.exception("a packet of %s failed", client.name)

    def refuse(self, client: Client, address: str, error: BaseException, id: int = 0) -> None:
        """Answer with an error, unless that answers an answer, or nobody can be told which."""
        if not address.startswith("/") or address in ANSWERS or not client.faults.take():
            return
        if address == _RENDER and id:
            self._desk.refuse_render(client, id, error)
        else:
            client.send(commands.ERROR, address[:200], id, code_of(error), told(error))

    def _take_message(self, client: Client, message: Message) -> None:
        if message.address in ANSWERS or not message.is_addressed:
            return
        try:
            self._check_welcome(client, message)
            if message.address in COMMANDS:
                self._do(client, command(message.address), message)
            elif message.args:
                self._set(self._changes(message))
            else:
                self._query(client, message.address)
        except StepEditError as error:
            self.refuse(client, message.address, error, _id_of(message))
        except Exception as error:
            logger.exception("%s of %s failed", message.address[:200], client.name)
            self.refuse(client, message.address, error, _id_of(message))

    def _check_welcome(self, client: Client, message: Message) -> None:
        if self._settings.token and not client.is_welcome and message.address != _AUTH:
            raise Unwelcome("say the token first", remedy=f"Send {_AUTH} ,is id token.")

    def _do(self, client: Client, found: Command, message: Message) -> None:
        self._desk.do(client, found, found.read(message))

    # Values

    def _set(self, changes: dict[str, Value]) -> None:
        self._session.set(changes, origin="osc")

    def _changes(self, message: Message) -> dict[str, Value]:
        """What a message sets: one control, or all that its pattern stands for."""
        controls = self._session.controls
        addresses, is_norm = self._concrete(message.address, controls)
        value = message.args[0] if len(message.args) == 1 else None
        if not isinstance(value, bool | int | float | str):
            raise RequestError(
                f"{message.address[:200]} takes one number or text, got ,{message.tags[:60]}"
            )
        if not is_norm:
            return dict.fromkeys(addresses, value)
        if isinstance(value, str):
            raise RequestError(f"{message.address[:200]} takes a number from 0 to 1, got a text")
        return {address: controls[address].at(float(value)) for address in addresses}

    def _concrete(self, address: str, controls: Controls) -> tuple[tuple[str, ...], bool]:
        """The controls that an address stands for, and whether by their place on the knob."""
        if address in controls:
            return (address,), False
        base = address.removesuffix(NORM)
        is_norm = base != address
        if is_norm and base in controls:
            return (base,), True
        found: tuple[str, ...] = ()
        if is_pattern(address):
            found = matching(base, controls)
            if is_norm:
                found = tuple(one for one in found if controls[one].kind != "text")
        if not found:
            raise self._unknown(address, controls)
        return found, is_norm

    def _unknown(self, address: str, controls: Controls) -> NotFound:
        if not self._hints.take():
            return NotFound(f"there is nothing at '{address[:200]}'")
        try:
            if address.startswith(NODES):
                controls[address]
            else:
                command(address)
        except NotFound as error:
            return error
        return NotFound(f"there is nothing at '{address[:200]}'")

    def _query(self, client: Client, address: str) -> None:
        controls, values = self._session.controls, self._session.values
        addresses, is_norm = self._concrete(address, controls)
        for base in addresses:
            if base in values:  # else another graph was opened in between
                asked = base + NORM if is_norm else base
                client.send(asked, value_at(asked, controls[base], values[base]))

    # Bundles

    def _take_bundle(self, client: Client, bundle: Bundle, size: int) -> None:
        ahead_s = bundle.time.unix_s - time.time()
        if ahead_s <= 0:
            self._together(client, bundle)
            return
        first = next(flat(bundle), Message(""))
        if self._settings.token and not client.is_welcome:
            self.refuse(client, first.address, Unwelcome("say the token first"))
        elif ahead_s > MAX_AHEAD_S:
            error = Busy(f"{ahead_s:.1f} s ahead", remedy=f"At most {MAX_AHEAD_S:g} s are kept.")
            self.refuse(client, first.address, error, _id_of(first))
        elif len(self._later) >= MAX_LATER or sum(self._later.values()) + size > MAX_LATER_BYTES:
            error = Busy(f"{len(self._later)} bundles wait for their time already")
            self.refuse(client, first.address, error, _id_of(first))
        else:
            self._keep(client, bundle, ahead_s, size)

    def _keep(self, client: Client, bundle: Bundle, ahead_s: float, size: int) -> None:
        def due() -> None:
            del self._later[handle]
            if not client.is_gone:
                try:
                    self._together(client, bundle)
                except Exception:  # as in take
                    logger.exception("a bundle of %s failed", client.name)

        handle = asyncio.get_running_loop().call_later(ahead_s, due)
        self._later[handle] = size

    def _together(self, client: Client, bundle: Bundle) -> None:
        """All messages of a bundle, inner bundles included, as one change; then its commands.

        Nothing is done where one of them cannot be: each command is told, and who is at fault.
        """
        messages = [m for m in flat(bundle) if m.is_addressed and m.address not in ANSWERS]
        changes: dict[str, Value] = {}
        todo: list[tuple[Message, Command, tuple[Any, ...]]] = []
        queries: list[Message] = []
        message = Message("")
        try:
            for message in messages:
                self._check_welcome(client, message)
                if message.address in COMMANDS:
                    found = command(message.address)
                    if found.address == _RENDER and any(f is found for _, f, _ in todo):
                        raise RequestError("a bundle starts one render at most")
                    todo.append((message, found, found.read(message)))
                elif message.args:
                    changes.update(self._checked(message))
                else:
                    queries.append(message)
            message = next(filter(_sets_text, messages), message)  # the rest is checked already
            self._set(changes)
        except StepEditError as error:
            self._refuse_all(client, messages, message, error)
            return
        for message, found, values in sorted(todo, key=lambda one: one[1].address == _RENDER):
            try:
                self._desk.do(client, found, values)
            except StepEditError as error:
                self.refuse(client, message.address, error, _id_of(message))
        for message in queries:
            self._take_message(client, message)

    def _checked(self, message: Message) -> dict[str, Value]:
        """Its changes, refused here where it is known which message they are of."""
        controls = self._session.controls
        return {
            address: controls[address].checked(value)
            for address, value in self._changes(message).items()
        }

    def _refuse_all(
        self, client: Client, messages: list[Message], guilty: Message, error: StepEditError
    ) -> None:
        """Tell whose fault it is, and every command that it is not done."""
        self.refuse(client, guilty.address, error, _id_of(guilty))
        undone = RequestError(f"nothing of its bundle is done: {told(error)}")
        for message in messages:
            if message.address in COMMANDS and message is not guilty:
                self.refuse(client, message.address, undone, _id_of(message))


def _id_of(message: Message) -> int:
    """The request id of a command that may not even be well formed, 0 without."""
    first = message.args[0] if message.args and message.address in COMMANDS else 0
    is_id = isinstance(first, int) and not isinstance(first, bool) and abs(first) < 1 << 31
    return first if is_id else 0  # type: ignore[return-value]


def _sets_text(message: Message) -> bool:
    is_text = len(message.args) == 1 and isinstance(message.args[0], str)
    return is_text and message.address not in COMMANDS
