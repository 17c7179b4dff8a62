"""Which address a base URL means, and which ones a gateway must never call."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

# Cloud metadata services hand out credentials to whoever can make a server call them.
METADATA_HOSTS: Final = frozenset(
    {"metadata.google.internal", "metadata", "instance-data", "instance-data.ec2.internal"}
)
METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "fd00:ec2::254")
)
# Shared address space (RFC 6598) is neither private nor global in `ipaddress`.
SHARED: Final = ipaddress.ip_network("100.64.0.0/10")


class Origin(Struct, frozen=True):
    """Scheme, host and port of an upstream; `prefix` is the path that every call starts with."""

    tls: bool
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """What the Host header says; the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_origin(url: str, *, allow_private: bool = False) -> Origin:
    """The origin of a base URL. Raises `ValueError` with the rule that it breaks.

    Plain http, loopback and private addresses need `allow_private`; metadata services are never
    allowed. Names are checked again by address when they are connected to (`check_address`).
    """
    parts = urlsplit(url)
    # These first: what follows shows the URL.
    if "@" in url:
        raise ValueError("the URL carries a user or password; keys have settings of their own")
    if parts.query or parts.fragment:
        raise ValueError("the URL has a query or fragment; a base URL ends with its path")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{url!r} has the scheme {parts.scheme!r}; use https")
    host = (parts.hostname or "").rstrip(".")
    if not host or not host.isascii() or any(ch <= " " or ch in "\\^|`<>{}%" for ch in host):
        raise ValueError(f"{url!r} has no usable host name")
    if not parts.path.isascii() or any(ch <= " " for ch in parts.path):
        raise ValueError(f"{url!r} has a path with characters that are not URL characters")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{url!r} has no usable port") from None
    if host in METADATA_HOSTS:
        raise ValueError(f"{host} is a cloud metadata service")
    tls = parts.scheme == "https"
    try:
        check_address(host, allow_private=allow_private)
    except UnsafeAddress as error:
        raise ValueError(str(error)) from None
    except ValueError:
        # A name. Numbers in odd notations ("127.1", "0x7f000001") are addresses to a resolver.
        last = host.rpartition(".")[2]
        if last.isdigit() or last.startswith("0x"):
            raise ValueError(f"{host} is an address in an unusual notation; write it plainly") from None
        if not allow_private and (host == "localhost" or host.endswith(".localhost")):
            raise ValueError(f"{host} is this machine; set allow_private to call it") from None
    if not tls and not allow_private:
        raise ValueError(f"{url!r} is not encrypted; use https, or set allow_private for a local upstream")
    return Origin(tls, host, port or (443 if tls else 80), parts.path.rstrip("/"))


class UnsafeAddress(ValueError):
    """An address that must not be called."""


def check_address(address: str, *, allow_private: bool) -> None:
    """Raise `UnsafeAddress` for one that must not be called, plain `ValueError` when it is no address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    ip = mapped or ip
    if ip in METADATA_ADDRESSES or ip.is_link_local:
        raise UnsafeAddress(f"{address} is a link-local or metadata address")
    if ip.is_multicast or ip.is_unspecified or (ip.is_reserved and not ip.is_loopback):
        raise UnsafeAddress(f"{address} is not the address of a server")
    inside = ip.is_private or ip.is_loopback or (ip.version == 4 and ip in SHARED)
    if inside and not allow_private:
        raise UnsafeAddress(f"{address} is a private address; set allow_private to call it")
