"""The TCP side: SLIP frames, read no faster than they are done, written within bounds."""

from __future__ import annotations

import asyncio
import logging
import socket

from stepedit_fx.errors import Busy, RequestError
from stepedit_fx.osc import commands
from stepedit_fx.osc.clients import Client
from stepedit_fx.osc.dispatch import Dispatcher
from stepedit_fx.osc.faults import code_of, told
from stepedit_fx.osc.slip import MAX_FRAME_BYTES, Unframer, frame
from stepedit_fx.osc.wire import Message, encode

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
READ_BYTES = 1 << 16
VALUES_BYTES = 1 << 16  # on their way, above which values wait for newer ones
MAX_BYTES = 4 << 20  # on their way, above which a client that does not read is let go
_TURN = 32  # packets of one client before the others have theirs


class TcpSide:
    """Serves connections on a bound socket in the running loop."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=READ_BYTES)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MAX_CONNECTIONS:
            error = Busy(f"{MAX_CONNECTIONS} connections are open already")
            writer.write(_error_frame(error))
            writer.close()
            return
        self._connections.add(task)
        client = self._client(writer)
        self._dispatcher.audience.clients.add(client)
        try:
            await self._read(reader, client)
        except (OSError, asyncio.CancelledError) as error:
            logger.debug("%s left: %s", client.name, error or "stopped")
        finally:
            self._connections.discard(task)
            self._dispatcher.audience.leave(client)
            if writer.transport.get_write_buffer_size() > VALUES_BYTES:
                writer.transport.abort()  # it does not read: what it was sent would stay here
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, client: Client) -> None:
        unframer = Unframer()
        dropped = 0
        while data := await reader.read(READ_BYTES):
            packets = unframer.feed(data)
            if unframer.dropped > dropped:
                dropped = unframer.dropped
                error = RequestError(f"a frame was dropped: over {MAX_FRAME_BYTES} bytes, or bad")
                client.send(commands.ERROR, "", 0, code_of(error), told(error))
            for number, packet in enumerate(packets, start=1):
                self._dispatcher.take(client, packet)
                if client.is_gone:
                    return
                if number % _TURN == 0:
                    await asyncio.sleep(0)
                if wait_s := client.faults.wait_s():
                    await asyncio.sleep(wait_s)

    def _client(self, writer: asyncio.StreamWriter) -> Client:
        transport = writer.transport
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        host, port = writer.get_extra_info("peername")[:2]

        def write(packet: bytes) -> None:
            if transport.is_closing():  # asyncio would log every packet that nobody gets
                client.leave()
            elif transport.get_write_buffer_size() > MAX_BYTES:
                logger.info("tcp %s:%s does not read what it is sent: let go", host, port)
                client.leave()
                transport.abort()
            else:
                writer.write(frame(packet))

        client = Client(
            f"tcp {host}:{port}",
            write,
            is_ready=lambda: transport.get_write_buffer_size() <= VALUES_BYTES,
        )
        return client


def _error_frame(error: RequestError) -> bytes:
    args = ("", 0, code_of(error), told(error))
    return frame(encode(Message(commands.ERROR, args)))
