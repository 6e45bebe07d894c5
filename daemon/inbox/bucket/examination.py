"""What `retraind doctor` finds out about the inbox's bucket, with an object of its own that it removes again."""

import secrets
from contextlib import closing
from io import BytesIO

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings import Settings
from retraind.daemon.inbox.bucket import object_names, opening
from retraind.daemon.objects import ownership
from retraind.daemon.objects.bucket_objects import BucketObjects
from retraind.daemon.schema.score_names import counted

WITH_VERSIONS = "keeps versions, so that an object which is overwritten meanwhile is not deleted unread"

WITHOUT_VERSIONS = "keeps no versions: give each object a new key, because one that is overwritten at the moment of the deletion is lost"


def describe(home: Home, settings: Settings) -> str:
    """The bucket's abilities in a sentence; raises StoreUnavailable, RetraindError."""
    with closing(opening.open_own(settings)) as own:
        ownership.require(own, journal_server.identity(home))
    with closing(opening.open_bucket(settings)) as bucket:
        kept = WITH_VERSIONS if _keeps_versions(bucket) else WITHOUT_VERSIONS
        earlier = bucket.earlier_versions() if kept == WITH_VERSIONS else 0
        later = f" {counted(earlier, 'replaced version')} will be taken, too, after the newer ones." if earlier else ""
        return f"{bucket.place}: objects can be put, listed, read and deleted; it {kept}.{later}"


def _keeps_versions(bucket: BucketObjects) -> bool:
    """Put an object, replace it, and delete the first version; whether the second one is still there."""
    name = f"{object_names.OWN}/probe-{secrets.token_hex(8)}"
    bucket.put(name, b"first")
    first = bucket.fetch(name, BytesIO())
    bucket.put(name, b"second")
    if all(one.name != name for one in bucket.objects(name[:-1], 10)):
        raise RetraindError(f"{bucket.place} does not list a new object at once.", hint="Use another server.")
    keeps = first.is_lasting
    failed = bucket.remove([first])
    if keeps:
        failed |= bucket.remove([bucket.fetch(name, BytesIO())])  # the newer one, which the deletion must have spared
    if failed:
        hint = "Grant s3:DeleteObject and s3:DeleteObjectVersion on this prefix."
        raise RetraindError(f"{bucket.place} does not delete objects ({next(iter(failed.values()))}).", hint=hint)
    return keeps
