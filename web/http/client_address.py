"""The address of a client, from its connection and from the headers of trusted proxies.

A request is local if it comes over a loopback address, asks for a loopback name and shows no trace of a proxy. A proxy
that leaves no trace can't be distinguished from a local program: set `server.auth = "always"` for such a proxy. If the
settings mention a proxy, `retraind.web.auth.access` treats no request as local.
"""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core.settings import Server

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix"
"""Replaces the address for clients of the Unix socket."""

FORWARDED = frozenset(
    {
        *("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-forwarded", "x-forwarded-for"),
        *("x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server", "x-forwarded-by"),
        *("x-forwarded-prefix", "x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-client-cert", "x-original-host"),
        *("x-original-forwarded-for", "true-client-ip", "cf-connecting-ip", "fly-client-ip", "cdn-loop"),
        *("x-envoy-external-address", "x-amzn-trace-id"),
    }
)
"""Headers that proxies add. A request with any of them is not local, whatever the value."""

PROXIED = "retraind.proxied"
"""Key of the environment: whether the request has any of these headers. No entry: not checked."""

LOOPBACK = frozenset({"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"})
"""The common loopback addresses, as the server writes them."""

LONGEST = 300
"""Maximum length of a header that is parsed and cached: names have up to 253 characters, addresses fewer."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Peers:
    """Tells the clients of one server apart."""

    def __init__(self, server: Server) -> None:
        self._unix = UNIX in server.trusted_proxies
        self._networks = [ipaddress.ip_network(proxy) for proxy in server.trusted_proxies if proxy != UNIX]
        self._public = urlsplit(server.public_url)
        host = server.host.strip("[]").lower()
        self._names = LOCAL_NAMES | ({host} if _is_loopback(host) else set())
        self._hosts: set[str] = set()

    def is_local(self, environ: WSGIEnvironment) -> bool:
        """Whether the request comes directly from a program on this machine."""
        host, peer = environ.get("HTTP_HOST", ""), environ.get("REMOTE_ADDR", "")
        ours = (host in self._hosts or self._is_local_name(host)) and (peer in LOOPBACK or _is_loopback(peer))
        return ours and environ.get(PROXIED) is False

    def address(self, environ: WSGIEnvironment) -> str:
        """The address that limits apply to: the nearest one that is not a trusted proxy; for IPv6 its /64 network."""
        peer = _address(environ.get("REMOTE_ADDR", ""))
        if not self._trusts(peer):
            return _named(peer)
        # From the right, where the nearest proxy has written; any client may have sent the entries further left.
        for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            client = _address(hop)
            if client is None:
                break
            peer = client
            if not self._trusts(client):
                break
        return _named(peer)

    def scheme(self, environ: WSGIEnvironment) -> str | None:
        """`http` or `https`, as the browser sees it; None: unknown."""
        if self._trusts(_address(environ.get("REMOTE_ADDR", ""))):
            scheme: str = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                return scheme
        name: str = hostname(environ.get("HTTP_HOST", ""))
        return str(self._public.scheme) if name and name == self._public.hostname else None

    def _is_local_name(self, header: str) -> bool:
        if hostname(header) not in self._names:
            return False
        # Bounded, because ports make the number of valid headers large.
        if len(self._hosts) < 64:
            self._hosts.add(header)
        return True

    def _trusts(self, peer: Address | None) -> bool:
        if peer is None:
            return self._unix
        return any(peer in network for network in self._networks)


def hostname(header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty if invalid or too long."""
    return _hostname(header) if len(header) <= LONGEST else ""


@lru_cache(maxsize=256)  # bounded: the texts are the client's
def _hostname(header: str) -> str:
    name, bracket, rest = header.partition("]") if header.startswith("[") else ("", "", header)
    host, _, port = rest.partition(":")
    if (bracket and host) or (port and not port.isdecimal()):
        return ""
    return (name[1:] if bracket else host).rstrip(".").lower()


def is_address(name: str) -> bool:
    """Whether a name is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def _is_loopback(peer: str) -> bool:
    address = _address(peer)
    return address is not None and address.is_loopback


def _address(text: str) -> Address | None:
    """The address in `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`; None if there is none, as on a Unix socket."""
    return _parsed(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    name = text.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _named(address: Address | None) -> str:
    if address is None:
        return UNIX
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
