"""Failures: tokens that were wrong, counted, and slowed for who goes on.

Tokens have 256 bits, so guessing is hopeless; but one in `registry/token` a person may have chosen.
"""

import threading
import time
from collections import OrderedDict

MOST = 10
"""Wrong tokens of one address within WINDOW_SECONDS, by each worker; further ones are not even looked at."""

WINDOW_SECONDS = 60.0

KEPT = 4096
"""Addresses that are remembered; the one that failed longest ago goes first."""


class Failures:
    """Wrong tokens of the last minute by address, and which token was right from where; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.count = 0
        """Wrong tokens so far, also those that were not looked at."""

    def wait(self, address: str) -> float:
        """Seconds until a token of this address is looked at again; 0.0: at once."""
        with self._lock:
            times = self._failed.get(address, [])
            return 0.0 if len(times) < MOST else max(0.0, times[-MOST] + WINDOW_SECONDS - time.monotonic())

    def add(self, address: str) -> bool:
        """A token of this address was wrong, or was not looked at; True: from now on they are not."""
        now = time.monotonic()
        with self._lock:
            self.count += 1
            times = [at for at in self._failed.pop(address, []) if now - at < WINDOW_SECONDS]
            if full := len(times) >= MOST:
                self._failed[address] = times
            else:
                self._failed[address] = [*times, now]
            while len(self._failed) > KEPT:
                self._failed.popitem(last=False)
            return not full and len(times) + 1 == MOST

    def prove(self, address: str, digest: str) -> None:
        """The token with this sha256 was right from this address: what others do there must not shut it out."""
        with self._lock:
            self._proven[address, digest] = None
            self._proven.move_to_end((address, digest))
            while len(self._proven) > KEPT:
                self._proven.popitem(last=False)

    def is_proven(self, address: str, digest: str) -> bool:
        """Whether it was."""
        return (address, digest) in self._proven
