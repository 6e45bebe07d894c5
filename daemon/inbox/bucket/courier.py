"""The courier: a thread that lists the bucket, then fetches new objects with some more threads while another one deletes."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future

from retraind.daemon.core import logs
from retraind.daemon.inbox.bucket import origin
from retraind.daemon.inbox.bucket.object_names import is_ignored
from retraind.daemon.inbox.bucket.overview import Overview
from retraind.daemon.inbox.bucket.removal import Listing, Removal
from retraind.daemon.inbox.bucket.shelf import Arrival, Shelf
from retraind.daemon.inbox.bucket.staging import HashedFile, Staging
from retraind.daemon.objects.bucket_objects import BucketObjects, Version
from retraind.daemon.objects.retried_work import RetriedWork
from retraind.daemon.objects.s3 import Refused
from retraind.daemon.objects.store import ObjectLost, StoreUnavailable
from retraind.daemon.schema.score_names import counted

log = logs.Logger()

THREADS = 32
"""Objects that are fetched at the same time, because an answer may take 50 ms; no more connections are kept."""

WAKE_SECONDS = 0.25
"""Interval at which the loop hears of fetched objects: each look costs it as much as many objects."""

MOST_LISTED = 20_000
"""Maximum number of objects of one listing; the next one goes on after the last of them."""

LISTING_SHARE = 5.0
"""Fetching goes on for this multiple of a listing's time before the bucket is listed again."""

AGAIN_SECONDS = 60.0
"""Seconds until an object is fetched again that could not be read."""

MOST_REFUSED = 8
"""Objects that the server may refuse in one round, before it counts as a failure of all."""

MOST_UNDELETABLE = 1000
"""Objects that could not be deleted, above which no others are taken."""

UNREADABLE = {"AccessDenied", "403", "InvalidObjectState", "MethodNotAllowed"}
"""Error codes that may concern one object only, such as one in an archive."""

CONSEQUENCE = "Objects in it wait."

DELETING = (
    f"No more are taken above {MOST_UNDELETABLE}. Grant s3:DeleteObject and s3:DeleteObjectVersion on this prefix."
)

READING = f"That is tried again every {AGAIN_SECONDS:g} s."


class Courier(RetriedWork):
    """The thread between a bucket and the shelf."""

    def __init__(
        self,
        bucket: BucketObjects,
        url: str,
        shelf: Shelf,
        staging: Staging,
        wake: Callable[[], None],
        *,
        seconds: float,
        max_bytes: int,
        may_take: Callable[[], object],
        may_delete: Callable[[], object],
    ) -> None:
        """The bucket is listed every `seconds`, and objects above `max_bytes` are not fetched.

        `may_take` and `may_delete` raise if this home may not.
        """
        super().__init__("bucket-inbox", self._round, CONSEQUENCE)
        self._bucket, self._url, self._shelf, self._staging, self._wake = bucket, url, shelf, staging, wake
        self._seconds, self._max_bytes = seconds, max_bytes
        self._may_take, self._removal = may_take, Removal(bucket, url, shelf, wake, may_delete)
        self._after, self._woken_at = "", 0.0
        self.overview = Overview(self.place)
        self._unreadable: dict[str, tuple[str, float, str]] = {}
        """Objects that can't be read: ETag, when that is tried again (monotonic seconds), and why."""

    @property
    def place(self) -> str:
        """The location of the bucket, for people."""
        return self._bucket.place

    @property
    def objection(self) -> str | None:
        """Why objects are not taken, or stay in the bucket, for people; None if all is well."""
        if self.problem:
            return self.problem
        undeletable, unreadable = list(self._removal.refused.items()), list(self._unreadable.items())
        if undeletable:
            first, code = undeletable[0]
            return f"{counted(len(undeletable), 'object')} can't be deleted after they were taken, first {first} ({code}). {DELETING}"
        if unreadable:
            name, (_, _, reason) = unreadable[0]
            return f"{counted(len(unreadable), 'object')} can't be read, first {name}: {reason} {READING}"
        return None

    def _round(self) -> float:
        self._staging.prepare()
        began, after = time.monotonic(), self._after
        listed = self._bucket.objects(after, MOST_LISTED)
        self._may_take()
        complete = len(listed) < MOST_LISTED
        self._after = "" if complete else listed[-1].name
        spent = time.monotonic() - began
        here = self._shelf.stamps()
        leaving = self._shelf.leaving()  # after `here`, so that one which is leaving at this moment is in one of both
        listing = Listing(listed, after, self._after or None)
        self.overview.note(listing)
        fresh = self._fresh(listing, began, here.keys(), leaving)
        self._shelf.expect({self._place_of(one): one.size for one in fresh}, complete=complete)
        self._compare(listed, after)
        removing = self._removal.begin(listing, leaving)
        try:
            if len(self._removal.refused) < MOST_UNDELETABLE:
                self._fetch(fresh, time.monotonic() + max(self._seconds, LISTING_SHARE * spent), removing)
        finally:
            if removing is not None:
                removing.result()
        rest = self._seconds - (time.monotonic() - began)
        return max(0.0, rest) if complete else 0.0

    def _place_of(self, version: Version) -> str:
        return f"{self._url}/{version.name}"

    def _fresh(self, listing: Listing, now: float, here: Collection[str], origins: Sequence[str]) -> list[Version]:
        """The objects to fetch, oldest first: neither `here`, nor leaving with one of these origins."""
        ids = (origin.parsed(self._url, text) for text in origins)
        leaving = {one.name for one in ids if one is not None}
        present = {one.name: one.etag for one in listing.objects}
        self._unreadable = {
            name: refusal
            for name, refusal in self._unreadable.items()
            if not listing.covers(name) or (present.get(name) == refusal[0] and now < refusal[1])
        }
        fresh = [
            one
            for one in listing.objects
            if not is_ignored(one.name)
            and one.name not in leaving
            and one.name not in self._unreadable
            and self._place_of(one) not in here
        ]
        return sorted(fresh, key=lambda one: (one.modified, one.name))

    def _compare(self, listed: Sequence[Version], after: str) -> None:
        current = {self._place_of(one): one.etag for one in listed}
        last = f"{self._url}/{self._after}" if self._after else None
        self._shelf.note_listed(current, f"{self._url}/{after}", last)

    # Fetching

    def _fetch(self, fresh: Sequence[Version], deadline: float, removing: "Future[None] | None") -> None:
        """Fetch objects until a time (monotonic seconds), and while others are deleted.

        Raises the first failure that concerns them all.
        """
        queue, failures = deque(fresh), list[Exception]()
        refused: list[str] = []

        def work() -> None:
            while queue and not failures and not self.stopping and len(refused) < MOST_REFUSED:
                left = deadline - time.monotonic()
                if left <= 0 and removing is not None and not removing.done():
                    left = WAKE_SECONDS
                try:
                    version = queue.popleft()
                    if left <= 0 or not self._bring(version, left, refused):
                        return
                except IndexError:
                    return
                except Exception as error:  # noqa: BLE001 - it is raised below, in the thread that retries
                    failures.append(error)

        threads = [
            threading.Thread(target=work, name="bucket-get", daemon=True) for _ in range(min(THREADS, len(queue)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if threads:
            self._wake()
        if failures:
            raise failures[0]
        if len(refused) >= MOST_REFUSED:
            raise StoreUnavailable(refused[0])

    def _bring(self, listed: Version, seconds: float, refused: list[str]) -> bool:
        """Fetch an object; False if there is no room for it within some seconds."""
        size = listed.size if listed.size <= self._max_bytes else 0
        if not self._shelf.reserve(size, seconds):
            return False
        arrival: Arrival | None = None
        try:
            arrival = self._fetched(listed) if listed.size <= self._max_bytes else self._arrival(listed, "", None)
        except ObjectLost:
            log.info("object_gone", name=self._place_of(listed))
        except Refused as error:
            if error.code not in UNREADABLE:
                raise
            refused.append(str(error))
            self._unreadable[listed.name] = (listed.etag, time.monotonic() + AGAIN_SECONDS, str(error))
        finally:
            if arrival is None:
                self._shelf.release(self._place_of(listed), size)
        if arrival is not None:
            refused.clear()
            self._shelf.put(arrival, size)
            self._wake_sometimes()
        return True

    def _wake_sometimes(self) -> None:
        if (now := time.monotonic()) - self._woken_at >= WAKE_SECONDS:
            self._woken_at = now
            self._wake()

    def _fetched(self, listed: Version) -> Arrival:
        staged, fd = self._staging.create()
        try:
            with os.fdopen(fd, "wb") as file:
                sink = HashedFile(file)
                version = self._bucket.fetch(listed.name, sink)
        except BaseException:
            self._staging.remove(staged)
            raise
        return self._arrival(version, sink.sha256, staged)

    def _arrival(self, version: Version, sha256: str, staged: str | None) -> Arrival:
        stamp, source = origin.stamp(version), origin.of(self._url, version)
        return Arrival(self._place_of(version), version, stamp, source, sha256, staged)
