"""One number for UDP and TCP, and who has it when we cannot."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from pathlib import Path

from stepedit_fx.errors import RequestError

logger = logging.getLogger(__name__)

_TRIES = 20  # of finding a number that is free on both sides
_BUFFER_BYTES = 4 << 20  # of what came by UDP and was not read yet, where the system allows it
_KINDS = {socket.SOCK_DGRAM: "udp", socket.SOCK_STREAM: "tcp"}
_LISTENING = "0A"


def bound(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same port; 0 takes one that is free on both.

    Raises RequestError, with who holds the port where that can be found out.
    """
    for attempt in range(_TRIES):
        udp = _socket(host, port, socket.SOCK_DGRAM)
        try:
            return udp, _socket(host, udp.getsockname()[1], socket.SOCK_STREAM)
        except RequestError:
            udp.close()
            if port or attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _socket(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
    except OSError as error:
        raise RequestError(f"{host}: {error.strerror or error}", remedy="Name a host.") from error
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        elif sys.platform != "win32":  # where it lets two programs have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen()
    except OSError as error:
        sock.close()
        raise _refused(host, port, kind, error) from error
    return sock


def _refused(host: str, port: int, kind: socket.SocketKind, error: OSError) -> RequestError:
    where = f"{_KINDS[kind].upper()} port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        who = holder(port, kind)
        return RequestError(
            f"{where} is in use" + (f" by {who}" if who else ""),
            remedy="End that program (another stepedit-fx, a DAW?), or choose another --port.",
        )
    if error.errno == errno.EACCES:
        remedy = "Choose a --port of 1024 or more."
    else:
        remedy = "Choose an address of this computer with --host."
    return RequestError(f"{where} cannot be listened on: {error.strerror or error}", remedy=remedy)


def holder(port: int, kind: socket.SocketKind) -> str:
    """The program that listens on a port, as "name (process 123)"; "" where nobody can say.

    Found in /proc, which Linux has, and which shows the processes of the same user alone.
    """
    wanted = {f"socket:[{inode}]" for inode in _inodes(port, kind)}
    if not wanted:
        return ""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in wanted:
                process = link.parents[1]
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:  # ended, or another user's
            continue
    return ""


def _inodes(port: int, kind: socket.SocketKind) -> list[str]:
    found = []
    for name in (_KINDS[kind], f"{_KINDS[kind]}6"):
        try:
            lines = (Path("/proc/net") / name).read_text().splitlines()[1:]
        except OSError:
            continue
        rows = [line.split() for line in lines]
        found += [
            row[9]
            for row in rows
            if int(row[1].rpartition(":")[2], 16) == port
            and (kind == socket.SOCK_DGRAM or row[3] == _LISTENING)
        ]
    return found
