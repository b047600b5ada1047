"""Addresses of visitors: networks, and the address that a proxy forwards."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from starlette.requests import HTTPConnection

from sagakit.errors import InvalidConfig

IpAddress: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]
HOME = 64
"""Bits of an IPv6 address that name a network: one visitor may have all addresses of it."""


def networks_of(texts: Sequence[str]) -> Networks:
    """Return networks such as 10.0.0.0/8. Raises InvalidConfig."""
    try:
        return [ip_network(text) for text in texts]
    except ValueError as error:
        raise InvalidConfig(f"{error}: write a network such as 10.0.0.0/8 or 127.0.0.1") from None


def comes_from(connection: HTTPConnection, networks: Networks) -> bool:
    """Return True if the sender that the ASGI server reports has an address of these networks."""
    address = _parsed("" if connection.client is None else connection.client.host)
    return address is not None and _is_in(address, networks)


def place_of_sender(connection: HTTPConnection, proxies: Networks) -> str:
    """Return the address of a request's sender: of IPv6 the network of 64 bits; empty if there is none.

    From an address of `proxies`, the last address of X-Forwarded-For that is not of a proxy counts.
    """
    sender = _parsed("" if connection.client is None else connection.client.host)
    if sender is None:
        return ""
    hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    while _is_in(sender, proxies) and hops:
        before = _parsed(hops.pop())
        if before is None:  # what is left of it is not to be believed either
            break
        sender = before
    return str(sender if sender.version == 4 else ip_network((sender, HOME), strict=False))


def _is_in(address: IpAddress, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _parsed(text: str) -> IpAddress | None:
    """Return an address, which may have a port after it as in 10.0.0.1:80 and [::1]:80; None if it is none."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ip_address(host)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
