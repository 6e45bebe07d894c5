"""Settings of the HTTP side: `server`."""

import ipaddress
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings.section import Section

PART = re.compile(r"[A-Za-z0-9._~-]+")
"""Part of a path that needs no escaping."""


class Server(Section):
    """Where and how the HTTP workers listen."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. The default, loopback, exposes nothing. Empty: listen on `unix_socket` only.",
    )
    port: int = Field(5000, ge=0, le=65535, description="TCP port. 0 takes a free one and prints it.")
    unix_socket: str = Field(
        "",
        description="Also listen on this Unix socket (mode 0660), relative to the home folder. Empty: none.",
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Number of HTTP worker processes. 0 means one per two cores, at least one, because training needs the others.",
    )
    auth: Literal["always", "beyond_loopback", "none"] = Field(
        "beyond_loopback",
        description="Who needs a token. `always`: every caller. `beyond_loopback`: every caller except programs that connect to a loopback address directly (with `public_url`, `trusted_proxies` or `root_path` set, those need one too). `none`: no caller.",
    )
    anonymous: list[Scope] = Field(
        default_factory=list,
        description='What callers without a token may do, such as `["predict"]`.',
    )
    public_url: str = Field(
        "",
        description="The address that browsers use through a proxy, such as `https://models.example.org`. It is accepted as Host, and as Origin of the pages.",
    )
    root_path: str = Field(
        "",
        description="Path prefix that a proxy adds, such as `/models/iris`. It works whether the proxy strips it or passes it on.",
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description="Proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted: addresses, networks, or `unix` for callers of `unix_socket`.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Additional Host names. Loopback names, `host` and the name in `public_url` are always allowed.",
    )
    max_body_bytes: int = Field(
        8_388_608, ge=1024, description="Maximum size (bytes) of a request body. Larger ones get 413."
    )
    body_seconds: float = Field(
        10.0, gt=0, description="Time limit (seconds) for receiving a request body. Slower ones get 408."
    )
    versions_loaded: int = Field(
        2,
        ge=0,
        le=100,
        description="Number of other versions that each worker keeps loaded for requests that name a version. 0: none.",
    )
    max_inflight: int = Field(
        64,
        ge=1,
        description="Concurrent large predictions per worker. The same limit applies separately to pages and to writes. Requests over it get 503 with Retry-After.",
    )
    request_seconds: float = Field(
        30.0,
        gt=0,
        description="Time limit (seconds) for a request. One that waits longer for its turn gets 503, one that runs longer gets 504.",
    )
    drain_seconds: float = Field(
        5.0, ge=0, description="Time (seconds) that requests in flight get to finish when the service stops."
    )

    @field_validator("auth", mode="before")
    @classmethod
    def _rename(cls, value: Any) -> Any:
        return "beyond_loopback" if value == "token" else value  # its name until 2026

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        url = urlsplit(value.rstrip("/"))
        if value and (url.scheme not in ("http", "https") or not url.hostname or url.path or url.query or url.username):
            raise ValueError("it must be http:// or https:// and a name, with a port where it is another than usual")
        return value.rstrip("/").lower()

    @field_validator("root_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        path = value.rstrip("/")
        parts = path.split("/")[1:]
        if path and not (path.startswith("/") and all(PART.fullmatch(part) and part.strip(".") for part in parts)):
            raise ValueError("it must begin with a slash; between slashes are letters, digits and any of . _ ~ -")
        return path

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, values: list[str]) -> list[str]:
        for proxy in values:
            if proxy != "unix":
                ipaddress.ip_network(proxy)
        return values

    @model_validator(mode="after")
    def _listens(self) -> "Server":
        if not self.host and not self.unix_socket:
            raise ValueError("an empty host needs unix_socket")
        return self
