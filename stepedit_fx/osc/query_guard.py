"""Who may ask over HTTP: pages of other sites may not, and strangers only with the token.

A page in a browser may send requests to this machine, and by a name that resolves here (DNS
rebinding) read the answers too. So the Host must be a name of ours and the Origin, which browsers
send and programs do not, a page of this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from stepedit_fx.osc.settings import is_loopback


def host_name(value: str) -> str:
    """The name in a Host header or an origin's authority, in lower case; "" for none that is."""
    try:
        return (urlsplit(f"//{value}").hostname or "").lower()
    except ValueError:
        return ""


@dataclass(frozen=True)
class Guard:
    """What a server that is bound to `host` lets through. token: "" for none."""

    host: str
    token: str = ""

    def knows(self, host_header: str) -> bool:
        """Whether a request is for us by a name of ours."""
        name = host_name(host_header)
        if is_loopback(name) or name == self.host.lower():
            return True
        if is_loopback(self.host):
            return False
        # Bound to a network: addresses name a machine, and no site can make one its own name.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            here = socket.gethostname().lower().removesuffix(".local")
            return name in (here, f"{here}.local")
        return True

    def trusts(self, origin: str | None) -> bool:
        """Whether a request is from no page, or from a page of this machine."""
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
            name = parts.hostname or ""
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and is_loopback(name)

    def admits(self, authorization: str, token: str) -> bool:
        """Whether the token, where there is one, was given, in the header or in the query."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            given = ""
        wanted = self.token.encode()
        return any(
            hmac.compare_digest(one.strip().encode(errors="replace"), wanted)
            for one in (given, token)
        )
