"""Telling the local network, by mDNS, that an OSCQuery server is here. Only when asked for."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from stepedit_fx.errors import RequestError

NAME = "StepEdit FX"
TYPES = {"_oscjson._tcp.local.": "http", "_osc._udp.local.": "osc"}


class Announcement:
    """The services of one server, announced until it is withdrawn.

    host: what the server is bound to; a wildcard announces every address of this machine.
    """

    def __init__(self, host: str, http_port: int, osc_port: int) -> None:
        self._host = host
        self._ports = {"http": http_port, "osc": osc_port}
        self._zeroconf: Any = None

    async def start(self) -> None:
        """Announce. Raises RequestError without zeroconf, and where the network refuses."""
        try:
            from zeroconf import NonUniqueNameException, ServiceInfo
            from zeroconf.asyncio import AsyncZeroconf
        except ImportError as error:
            raise RequestError(
                "mDNS needs the library zeroconf", remedy="pip install 'stepedit-fx[mdns]'"
            ) from error
        addresses = _addresses(self._host)
        try:
            self._zeroconf = AsyncZeroconf(interfaces=addresses)
            registered = []
            for kind, what in TYPES.items():
                info = ServiceInfo(
                    kind,
                    f"{NAME}.{kind}",
                    port=self._ports[what],
                    parsed_addresses=addresses,
                    server=f"stepedit-fx-{self._ports['http']}.local.",
                )
                # A second daemon on the network gets a number behind its name.
                registering = self._zeroconf.async_register_service(info, allow_name_change=True)
                registered.append(asyncio.ensure_future(registering))
            for done in await asyncio.gather(*registered):
                await done
        except (OSError, NonUniqueNameException) as error:
            await self.stop()
            raise RequestError(
                f"mDNS: {error}", remedy="Leave --mdns out, and give others the address."
            ) from error

    async def stop(self) -> None:
        """Withdraw it."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()


def _addresses(host: str) -> list[str]:
    """The IPv4 addresses, and with a bound IPv6 address that one, where a server can be reached."""
    try:
        bound = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        import socket

        return [str(socket.gethostbyname(host))]
    if not bound.is_unspecified:
        return [str(bound)]
    import ifaddr  # comes with zeroconf

    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [str(ip) for ip in found if not ipaddress.ip_address(str(ip)).is_loopback] or [
        "127.0.0.1"
    ]
