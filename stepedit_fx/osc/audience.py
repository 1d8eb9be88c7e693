"""Those who subscribe, and what they are sent when something changes."""

from __future__ import annotations

from collections.abc import Iterator

from stepedit_fx.errors import NotFound
from stepedit_fx.graph.controls import Control, Value
from stepedit_fx.osc import commands
from stepedit_fx.osc.clients import Client
from stepedit_fx.osc.commands import EVENTS, NORM
from stepedit_fx.osc.pattern import is_pattern, matching
from stepedit_fx.osc.wire import Arg
from stepedit_fx.session import Changed, Event, Opened, Scene, Session, TransportState, Trouble


def sent(value: Value) -> Arg:
    """A value as it is sent: switches as 0 and 1, which every surface reads."""
    return int(value) if isinstance(value, bool) else value


class Audience:
    """The clients of a service. Used in its loop alone."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.clients: set[Client] = set()

    def leave(self, client: Client) -> None:
        """A client is gone."""
        client.leave()
        self.clients.discard(client)

    def subscribe(self, client: Client, pattern: str) -> tuple[str, ...]:
        """Let a client hear of what a pattern stands for; gives the addresses.

        Raises NotFound for nothing, Busy for too many subscriptions.
        """
        addresses = self._addresses(pattern)
        if not addresses:
            raise NotFound(f"nothing has an address like '{pattern[:200]}'")
        client.subscribe(pattern, addresses)
        return addresses

    def _addresses(self, pattern: str) -> tuple[str, ...]:
        controls = self._session.controls
        known = [*controls, *EVENTS]
        if pattern.endswith(NORM):
            known += [address + NORM for address, c in controls.items() if c.kind != "text"]
        if is_pattern(pattern):
            return matching(pattern, known)
        return (pattern,) if pattern in known else ()

    def send_values(self, client: Client, addresses: tuple[str, ...]) -> None:
        """Send what controls stand at now."""
        values = self._session.values
        for address in addresses:
            control = self._control(address)
            if control is not None and control.address in values:
                client.send_value(address, value_at(address, control, values[control.address]))

    def _control(self, address: str) -> Control | None:
        controls = self._session.controls
        if address not in controls:
            address = address.removesuffix(NORM)
        return controls[address] if address in controls else None  # noqa: SIM401  # get() would raise

    def hear(self, event: Event) -> None:
        """Pass on what the session tells."""
        if isinstance(event, Changed):
            self._changed(event)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, TransportState):
            state = (int(event.playing), event.position_s, event.length_s)
            for client in self._hearing(commands.TRANSPORT):
                client.send_value(commands.TRANSPORT, *state, int(event.loop), event.xruns)
        elif isinstance(event, Scene):
            self._tell(commands.STORED if event.stored else commands.DELETED, event.name)
        elif isinstance(event, Trouble):
            self._tell(commands.TROUBLE, str(event.error))

    def _tell(self, address: str, text: str) -> None:
        for client in self._hearing(address):
            client.send(address, text)

    def _hearing(self, address: str) -> Iterator[Client]:
        return (client for client in self.clients if client.hears(address))

    def _changed(self, event: Changed) -> None:
        listening = [client for client in self.clients if client.subscriptions]
        if not listening:
            return
        for address, value in event.values.items():
            control = self._control(address)
            for client in listening:
                if client.hears(address):
                    client.send_value(address, sent(value))
                if control is not None and client.hears(address + NORM):
                    client.send_value(address + NORM, control.norm(value))

    def _opened(self, event: Opened) -> None:
        """Patterns stand for the new graph's controls from now on."""
        self._tell(commands.OPENED, event.graph)
        for client in self.clients:
            for subscription in client.subscriptions.values():
                addresses = self._addresses(subscription.pattern)
                subscription.addresses = frozenset(addresses)
                self.send_values(client, addresses)


def value_at(address: str, control: Control, value: Value) -> Arg:
    """What an address of a control stands for: its value, or its place on the knob."""
    return sent(value) if address == control.address else control.norm(value)
