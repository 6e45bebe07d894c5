"""The origin of a drop that was an object: its URL and version, as the journal records it.

`s3://bucket/key?versionId=ID`, or `s3://bucket/key?etag=ETAG` from a bucket without versions, or
`s3://bucket/key?versionId=null&etag=ETAG` from one whose versioning is suspended. A key may contain any of this itself;
the ending has no `?`, so it is what follows the last one.
"""

from urllib.parse import quote, unquote

from retraind.daemon.core import durable
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.objects.bucket_objects import Version

VERSION, ETAG = "versionId", "etag"

SAFE = "/+=:;,@!$*'()-_.~"
"""Characters of version ids and ETags that are written as they are."""


def of(url: str, version: Version) -> str:
    """The origin of an object below the prefix `url`."""
    fields = {VERSION: version.id or "", ETAG: "" if version.is_lasting else version.etag}
    ending = "&".join(f"{key}={quote(value, safe=SAFE)}" for key, value in fields.items() if value)
    return f"{url}/{version.name}?{ending}"


def parsed(url: str, origin: str) -> Version | None:
    """The object of an origin, without size and time; None if it is not below the prefix `url`.

    One with the version `null` and no ETag, as earlier releases wrote them, matches no object.
    """
    if not origin.startswith(f"{url}/"):
        return None
    name, found, ending = origin.removeprefix(f"{url}/").rpartition("?")
    fields = dict(field.partition("=")[::2] for field in ending.split("&"))
    if not found or not fields.keys() & {VERSION, ETAG}:
        return None
    return Version(name, unquote(fields.get(ETAG, "")), 0, 0, unquote(fields.get(VERSION, "")) or None)


def stamp(version: Version) -> Stamp:
    """The stamp of an object, which is the same after a restart: the journal compares it."""
    inode = int(durable.sha256(version.etag.encode())[:13], 16)
    return Stamp(inode, version.size, version.modified * 1_000_000_000)
