"""Where a web hook may be sent: never into the network that the service itself stands in.

A URL is checked when it is given, the addresses that its host has are checked at every delivery,
and the connection goes to an address that was checked (:mod:`core.webhooks.connection`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2000
_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_-]+)*\.?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")

# IANA special-purpose registries; spelled out, because the library's answer changes with Python.
_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
"""The only unicast space that is routed in the internet; loopback, ULA and the rest lie outside."""
_REFUSED_V6 = tuple(
    IPv6Network(text)
    # protocol assignments with Teredo and ORCHID, documentation, 6to4
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        # link-local of nearly all clouds; ECS and EKS; Azure; Alibaba; Oracle; AWS and GCP in IPv6
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16"),
        *("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)
"""Hand out credentials to whoever asks: refused also within a network that is allowed."""


class Refused(Exception):
    """A web hook must not be sent there; ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows beyond https to public addresses."""

    networks: tuple[Network, ...] = ()
    http: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in the parts that a connection needs; ``path`` holds the query as well."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """Return the Host header (RFC 9110 7.2): brackets around IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return networks separated by commas; ValueError names one that is none."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def check_url(url: str, policy: Policy) -> Target:
    """Return the parts of a URL whose form is allowed; Refused otherwise.

    A host that is an address is checked here as well; a name is resolved at delivery only.
    """
    if len(url) > MAX_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise Refused(
            "invalid_url",
            f"Up to {MAX_URL} printable ASCII characters; write other letters of a name as xn--, "
            "of a path as %XX",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise Refused("invalid_url", f"This is not a URL: {error}") from None
    _check_scheme(parts.scheme, policy)
    if "@" in parts.netloc or "#" in url:
        raise Refused("invalid_url", "The URL must hold neither a password nor a fragment")
    if port == 0:
        raise Refused("invalid_url", "Port 0 is no port")
    _check_host(host, policy)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def _check_scheme(scheme: str, policy: Policy) -> None:
    if scheme != "https" and not (scheme == "http" and policy.http):
        raise Refused(
            "scheme_refused",
            "The URL must start with https://"
            + (" or http://" if policy.http else "; DERMSYNTH_WEBHOOK_HTTP=true allows http://"),
        )


def _check_host(host: str, policy: Policy) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _check_name(host, policy)
        return
    if "%" in host:
        raise Refused("invalid_url", "An address with a zone (%) is not reached from here")
    check_address(address, policy)


def _check_name(host: str, policy: Policy) -> None:
    if not _HOST.fullmatch(host):
        raise Refused("invalid_url", f"{host!r} is not the name of a host")
    labels = host.rstrip(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1, 0177.0.0.1 and 127.1 are 127.0.0.1 to a resolver
        raise Refused("invalid_url", "Write an IPv4 address as four decimal numbers without zeros")
    if labels[-1] == "localhost":
        check_address(IPv4Address("127.0.0.1"), policy)


def check_address(address: Address, policy: Policy) -> None:
    """Refuse an address that is not public, unless the policy allows its network."""
    plain = _plain(address)
    if plain in _METADATA:
        raise Refused("address_refused", f"{address} is a metadata service")
    if any(plain in network for network in policy.networks):
        return
    if not _is_public(plain):
        raise Refused(
            "address_refused",
            f"{address} is not a public address; DERMSYNTH_WEBHOOK_NETWORKS can allow its network",
        )


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for (mapped, NAT64), else itself."""
    if isinstance(address, IPv4Address):
        return address
    address = IPv6Address(int(address))  # without a zone
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)
