"""Deletes the objects that are done, in a thread beside the fetches of the same round, none of which has the same name.

The courier waits for its end before it lists again, so no listing is older than a deletion.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from retraind.daemon.core import logs
from retraind.daemon.inbox.bucket import origin
from retraind.daemon.inbox.bucket.shelf import Shelf
from retraind.daemon.objects import background
from retraind.daemon.objects.bucket_objects import BucketObjects, Version

log = logs.Logger()


class Listing(NamedTuple):
    """A listing of all objects with names after `after`, up to `last`; None is the end of the bucket."""

    objects: Sequence[Version]
    after: str
    last: str | None

    def covers(self, name: str) -> bool:
        """Whether an object of this name would be listed."""
        return self.after < name and (self.last is None or name <= self.last)


class Removal:
    """The deletions of one courier."""

    def __init__(
        self, bucket: BucketObjects, url: str, shelf: Shelf, wake: Callable[[], None], may_delete: Callable[[], object]
    ) -> None:
        """`may_delete` raises if this home may not."""
        self._bucket, self._url, self._shelf, self._wake, self._may_delete = bucket, url, shelf, wake, may_delete
        self.refused: dict[str, str] = {}
        """Origins that the server does not delete, with its error code."""

    def begin(self, listing: Listing, leaving: Sequence[str]) -> "Future[None] | None":
        """Start to delete the objects with these origins; None if there are none.

        Without a lasting version, only an object that still has its ETag is deleted: another one is a new drop.
        """
        present = {one.name: one.etag for one in listing.objects}
        doomed: dict[Version, str] = {}
        gone = []
        for text in leaving:
            version = origin.parsed(self._url, text)
            if version is None:
                log.warning("object_of_another_bucket", origin=text)
                gone.append(text)
            elif version.is_lasting or present.get(version.name) == version.etag:
                doomed[version] = text
            elif listing.covers(version.name):
                gone.append(text)
        if doomed:
            self._may_delete()
        return background.start("bucket-delete", lambda: self._remove(doomed, gone)) if doomed or gone else None

    def _remove(self, doomed: Mapping[Version, str], gone: Sequence[str]) -> None:
        failed = self._bucket.remove(list(doomed)) if doomed else {}
        refused = {doomed[version]: code for version, code in failed.items()}
        tried = {*gone, *doomed.values()}
        # Others may be outside of this listing, in a bucket with more objects than one has.
        self.refused = {text: code for text, code in self.refused.items() if text not in tried} | refused
        self._shelf.note_gone([*gone, *(text for text in doomed.values() if text not in refused)])
        self._wake()  # to record it
