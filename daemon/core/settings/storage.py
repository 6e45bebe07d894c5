"""Settings of copies outside this machine: `storage` and `data`."""

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from retraind.daemon.core.settings.section import Section

AUTHORITY = re.compile(r"([^@:]*@)?(\[[0-9A-Za-z:.%]+\]|[^@:\[\]]*)(:\d*)?")
"""User, host and port of an address, without a password."""

SHORT = re.compile(r"[^/@]*:[^/@]*@")
"""The beginning of `user:password@host:path`."""

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"(/[A-Za-z0-9._-]+)*/?")


def bucket_url(url: str) -> str:
    """The URL of a prefix, checked; raises ValueError."""
    if not url:
        return url
    parts = urlsplit(url)
    plain = parts.scheme == "s3" and not parts.query and not parts.fragment
    relative = {".", ".."} & set(parts.path.split("/"))  # which servers and proxies resolve: out of the prefix
    if relative or not (plain and BUCKET.fullmatch(parts.netloc) and PREFIX.fullmatch(parts.path)):
        raise ValueError("write s3://bucket or s3://bucket/prefix, without credentials")
    return url.rstrip("/")


def server_address(endpoint: str) -> str:
    """The address of an S3 server, checked; raises ValueError."""
    parts = urlsplit(endpoint)
    plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    plain = plain and bool(AUTHORITY.fullmatch(parts.netloc)) and not parts.fragment
    if endpoint and not (plain and not parts.query and parts.path in ("", "/")):
        raise ValueError("write http://host:port or https://host:port, without credentials")
    return endpoint.rstrip("/")


class Data(Section):
    """The remote for the history of the data."""

    git_remote: str = Field(
        "",
        description="Git repository to which the history of `data/` is pushed, such as `git@host:data.git` or a path. Empty: none.",
    )

    @field_validator("git_remote")
    @classmethod
    def _holds_no_password(cls, remote: str) -> str:
        if remote.startswith("-") or not _is_plain(remote):
            raise ValueError("write an address without a password; git finds credentials in ~/.ssh or data/.git/config")
        return remote


def _is_plain(remote: str) -> bool:
    """Whether the address of a git remote has no password. Over HTTP even a user alone is mostly a token."""
    scheme, mark, rest = remote.partition("://")
    if not mark:
        return not SHORT.match(remote)
    authority = AUTHORITY.fullmatch(re.split("[/?#]", rest, maxsplit=1)[0])
    if not scheme.lower().endswith(("http", "https")):  # also `helper::https`
        return authority is not None
    return authority is not None and authority[1] is None and not set("?#@") & set(rest)


class Storage(Section):
    """The object store that also holds segments and bundles. Credentials come only from AWS_* variables or ~/.aws."""

    url: str = Field(
        "",
        description="Object store, such as `s3://bucket/prefix`: segments and bundles are also stored there. Empty: only on this machine.",
    )
    endpoint: str = Field(
        "",
        description="Address of an S3-compatible server, such as `https://store.example:9000`. Empty: AWS's, or AWS_ENDPOINT_URL.",
    )
    timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=120,
        description="Time limit (seconds) for an answer of the object store. A request is tried twice.",
    )

    _names_a_bucket = field_validator("url")(bucket_url)
    _is_an_address = field_validator("endpoint")(server_address)
