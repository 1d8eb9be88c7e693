"""A plain OSC client over UDP or TCP, for the command line, tests and benchmarks."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator

from stepedit_fx.errors import RequestError
from stepedit_fx.osc.slip import Unframer, frame
from stepedit_fx.osc.wire import Arg, Bundle, Message, decode, encode

CONNECT_S = 5.0


class OscClient:
    """One peer. Raises RequestError where it cannot be reached, MalformedPacket for what it sends.

    tcp: SLIP frames on a connection, where nothing is lost; else datagrams.
    """

    def __init__(self, host: str, port: int, *, tcp: bool = False) -> None:
        self._is_tcp = tcp
        self._unframer = Unframer(1 << 24)
        self._packets: deque[bytes] = deque()
        try:
            if tcp:
                self._sock = socket.create_connection((host, port), CONNECT_S)
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                kind = socket.SOCK_DGRAM
                family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
                self._sock = socket.socket(family, kind)
                self._sock.connect(address)
        except OSError as error:
            raise _unreachable(host, port, error) from error
        self._where = host, port

    def send(self, address: str, *args: Arg, tags: str = "") -> None:
        """Send one message."""
        self.send_packet(Message(address, args, tags))

    def send_packet(self, packet: Message | Bundle) -> None:
        self.send_bytes(encode(packet))

    def send_bytes(self, data: bytes) -> None:
        """Send a packet's bytes as they are."""
        try:
            self._sock.settimeout(None)
            self._sock.sendall(frame(data) if self._is_tcp else data)
        except OSError as error:
            raise _unreachable(*self._where, error) from error

    def receive(self, timeout_s: float) -> Message | Bundle | None:
        """The next packet, None where none comes in time."""
        end_s = time.monotonic() + timeout_s
        while not self._packets:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return None
            self._sock.settimeout(left_s)
            try:
                data = self._sock.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError as error:
                raise _unreachable(*self._where, error) from error
            if self._is_tcp and not data:
                raise RequestError(f"{self._where[0]}:{self._where[1]} closed the connection")
            self._packets.extend(self._unframer.feed(data) if self._is_tcp else [data])
        return decode(self._packets.popleft())

    def messages(self, silence_s: float) -> Iterator[Message]:
        """Every message that comes, until it is silent for so long."""
        while (packet := self.receive(silence_s)) is not None:
            yield from flat(packet)

    def ask(self, address: str, *args: Arg, timeout_s: float = 5.0) -> Message:
        """Send a message and give the next one that comes. Raises RequestError for none."""
        self.send(address, *args)
        answer = next(self.messages(timeout_s), None)
        if answer is None:
            raise RequestError(f"{self._where[0]}:{self._where[1]} does not answer {address}")
        return answer

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> OscClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def flat(packet: Message | Bundle) -> Iterator[Message]:
    """The messages of a packet, those of bundles in bundles too."""
    if isinstance(packet, Message):
        yield packet
        return
    for item in packet.items:
        yield from flat(item)


def _unreachable(host: str, port: int, error: OSError) -> RequestError:
    why = error.strerror or str(error) or type(error).__name__
    return RequestError(f"{host}:{port}: {why}", remedy="Is stepedit-fx serve running there?")
