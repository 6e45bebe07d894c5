"""The origin of a drop that was an object: its URL and version, as the journal records it.

`s3://bucket/key?versionId=ID`, or `s3://bucket/key?etag=ETAG` from a bucket without versions.
"""

from retraind.daemon.core import durable
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.objects.bucket_objects import Version

VERSION, ETAG = "?versionId=", "?etag="


def of(url: str, version: Version) -> str:
    """The origin of an object below the prefix `url`."""
    ending = f"{VERSION}{version.id}" if version.id else f"{ETAG}{version.etag}"
    return f"{url}/{version.name}{ending}"


def parsed(url: str, origin: str) -> Version | None:
    """The object of an origin, without size and time; None if it is not below the prefix `url`."""
    if not origin.startswith(f"{url}/"):
        return None
    rest = origin.removeprefix(f"{url}/")
    for mark in (VERSION, ETAG):
        name, found, ending = rest.rpartition(mark)
        if found:
            return Version(name, ending if mark == ETAG else "", 0, 0, ending if mark == VERSION else None)
    return None


def stamp(version: Version) -> Stamp:
    """The stamp of an object, which is the same after a restart: the journal compares it."""
    inode = int(durable.sha256(version.etag.encode())[:13], 16)
    return Stamp(inode, version.size, version.modified * 1_000_000_000)
