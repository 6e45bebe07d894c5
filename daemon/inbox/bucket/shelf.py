"""The shelf: which objects are fetched, which wait to be, and which must be deleted. Two threads share it.

The courier's threads put objects on it; the loop takes them as drops and says which are done.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.objects.bucket_objects import Version


@dataclass(frozen=True)
class Arrival:
    """A fetched object."""

    name: str
    """Its URL."""
    version: Version
    stamp: Stamp
    origin: str
    sha256: str
    """Of its bytes; empty for one that is too large to be fetched."""
    staged: str | None
    """Its file in the staging folder; None for one that is too large to be fetched."""

    @property
    def room(self) -> int:
        """Bytes of its file."""
        return 0 if self.staged is None else self.version.size


class Shelf:
    """What is known of the objects, by URL; any thread may call its methods.

    At most `most` objects of together `most_bytes` are on it, except those that wait for a person.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._changed = threading.Condition()
        self._arrivals: dict[str, Arrival] = {}
        self._aside: frozenset[str] = frozenset()
        self._reserved = [0, 0]
        self._waiting: dict[str, int] = {}
        self._leaving: dict[str, None] = {}
        self._gone: list[str] = []
        self._vanished: set[str] = set()
        self._is_complete = False

    # The courier

    def expect(self, sizes: Mapping[str, int], *, complete: bool) -> None:
        """Note the objects that are about to be fetched; `complete`: all of the bucket has been listed by now."""
        with self._changed:
            self._waiting = dict(sizes)
            self._is_complete |= complete

    def reserve(self, size: int, seconds: float) -> bool:
        """Wait until there is room for an object of `size` bytes; False if there is none after some seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(size), seconds):
                return False
            self._reserved[0] += 1
            self._reserved[1] += size
            return True

    def _has_room(self, size: int) -> bool:
        held = [self._arrivals[name].room for name in self._aside & self._arrivals.keys()]
        count, total = self._reserved[0] - len(held), self._reserved[1] - sum(held)
        return count == 0 or (count < self._most and total + size <= self._most_bytes)

    def release(self, name: str, size: int) -> None:
        """Give back room whose object did not arrive, because it is gone or can't be read."""
        with self._changed:
            self._waiting.pop(name, None)
            self._free(size)

    def _free(self, size: int) -> None:
        self._reserved[0] -= 1
        self._reserved[1] -= size
        self._changed.notify_all()

    def put(self, arrival: Arrival, reserved: int) -> None:
        """Add an object, for which `reserved` bytes were reserved."""
        with self._changed:
            self._reserved[1] += arrival.room - reserved
            self._arrivals[arrival.name] = arrival
            self._waiting.pop(arrival.name, None)

    def leaving(self) -> list[str]:
        """The origins of the objects to delete."""
        with self._changed:
            return list(self._leaving)

    def note_gone(self, origins: Iterable[str]) -> None:
        """Note that objects are deleted."""
        with self._changed:
            for origin in origins:
                if origin in self._leaving:
                    del self._leaving[origin]
                    self._gone.append(origin)

    def note_listed(self, current: Mapping[str, str], first: str, last: str | None) -> None:
        """Compare with a listing (name: ETag) of all names from `first` to `last`; arrivals that it lacks have vanished."""
        with self._changed:
            for name, arrival in self._arrivals.items():
                if first <= name and (last is None or name <= last) and current.get(name) != arrival.version.etag:
                    self._vanished.add(name)

    # The loop

    def stamps(self) -> dict[str, Stamp]:
        """The fetched objects."""
        with self._changed:
            return {name: arrival.stamp for name, arrival in self._arrivals.items()}

    def count(self) -> int:
        """The number of fetched objects."""
        with self._changed:
            return len(self._arrivals)

    def get(self, name: str) -> Arrival | None:
        """A fetched object."""
        with self._changed:
            return self._arrivals.get(name)

    def set_aside(self, names: Iterable[str]) -> list[str]:
        """Note which objects wait for a person, and so take no room; returns those that the bucket no longer has."""
        with self._changed:
            self._aside = frozenset(names) & self._arrivals.keys()
            self._changed.notify_all()
            return [name for name in self._aside if name in self._vanished]

    def take(self, name: str) -> Arrival | None:
        """Remove an object."""
        with self._changed:
            arrival = self._arrivals.pop(name, None)
            self._vanished.discard(name)
            if arrival is not None:
                self._free(arrival.room)
            return arrival

    def leave(self, origins: Iterable[str]) -> None:
        """Have objects deleted."""
        with self._changed:
            self._leaving |= dict.fromkeys(origins)

    def gone(self) -> list[str]:
        """The origins that were deleted since the last call."""
        with self._changed:
            gone, self._gone = self._gone, []
            return gone

    def waiting(self) -> list[int]:
        """The sizes of the objects that are not fetched yet, as far as they are listed."""
        with self._changed:
            return list(self._waiting.values())

    def awaits(self, name: str) -> bool:
        """Whether an object of this name may still come: it is listed, or not all is listed yet."""
        with self._changed:
            return name in self._waiting or not self._is_complete
