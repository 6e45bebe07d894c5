"""What the listings of an inbox's bucket say to people: whether there was one yet, and what is never taken because of its name."""

import time
from typing import NamedTuple

from retraind.daemon.inbox.bucket import object_names
from retraind.daemon.inbox.bucket.removal import Listing
from retraind.daemon.schema.score_names import counted

PATIENCE_SECONDS = 10.0
"""Time for the first listing after the start; after it, the check fails until there is one."""


class Ignored(NamedTuple):
    """Objects that are no drops because of their names: how many, and the first one."""

    number: int
    first: str


class Overview:
    """Of one bucket; the courier's thread notes listings, the loop asks."""

    def __init__(self, place: str) -> None:
        self._place, self._began = place, time.monotonic()
        self._listed = False
        self._ignored = Ignored(0, "")
        """As the last complete look at the bucket found them."""
        self._so_far = self._ignored
        """As far as they are listed by now."""

    def note(self, listing: Listing) -> None:
        """Note a listing, whose beginning begins another look at the bucket."""
        names = [one.name for one in listing.objects if object_names.is_odd(one.name)]
        earlier = self._so_far if listing.after else Ignored(0, "")
        self._so_far = Ignored(earlier.number + len(names), earlier.first or next(iter(names), ""))
        if listing.last is None or not self._listed:
            self._ignored = self._so_far
        self._listed = True

    def objection(self) -> str | None:
        """Why nothing is known of the bucket yet, if that is no longer usual."""
        if self._listed or self._seconds < PATIENCE_SECONDS:
            return None
        return f"{self._unlisted} Objects in it wait."

    def sentence(self, waiting: int) -> str:
        """What is in the bucket; `waiting` objects are listed and not fetched."""
        if not self._listed:
            return self._unlisted
        rest = ""
        if (ignored := self._ignored).number:
            kept = counted(ignored.number, "object")
            rest = f" {kept} there will not be taken because of the name, first {ignored.first}."
        return f"{counted(waiting, 'object')} wait in {self._place}.{rest}"

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def _unlisted(self) -> str:
        return f"{self._place} has not been listed in the {self._seconds:.0f} s since the start."
