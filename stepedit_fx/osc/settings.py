"""What an OSC service is told when it starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from stepedit_fx.errors import RequestError

DEFAULT_PORT = 9100
MAX_INPUT_BYTES = 4 << 30  # of a recording that a client names: what a wav's header can say


@dataclass(frozen=True)
class OscSettings:
    """Where to listen, and what a client may do.

    port: of UDP and of TCP; 0 takes any that is free. token: what a client has to say first; ""
    for none, which only this computer's own address may have. roots: the folders that a client
    may name recordings and graphs in. http_port: where OSCQuery answers, None for nowhere, 0 for
    any. mdns: announce it on the network. notify: host, port and address of those who are sent
    the id of every render that is done. Raises RequestError.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str = ""
    roots: tuple[Path, ...] = ()
    http_port: int | None = None
    mdns: bool = False
    notify: tuple[tuple[str, int, str], ...] = ()
    max_input_bytes: int = MAX_INPUT_BYTES

    def __post_init__(self) -> None:
        for port in (self.port, self.http_port or 0, *(port for _, port, _ in self.notify)):
            if not 0 <= port < 1 << 16:
                raise RequestError(f"a port is a number from 0 to 65535, got {port}")
        for _, port, address in self.notify:
            if not port or not address.startswith("/"):
                raise RequestError(
                    f"cannot notify port {port}, address '{address}'",
                    remedy="Give HOST:PORT/ADDRESS, as in 127.0.0.1:8000/stepedit/done.",
                )
        if not self.token and not is_loopback(self.host):
            raise RequestError(
                f"{self.host} can be reached from other computers, and no token was given",
                remedy="Give a token (--token-file), or listen on 127.0.0.1.",
            )


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches an address; names other than localhost do not count."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_everywhere(host: str) -> bool:
    """Whether a name means every address of this computer, and so none in particular."""
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
