"""Failed tokens, counted and limited by address.

Tokens have 256 random bits, so guessing is hopeless, but a person may have chosen the one in `registry/token`.
"""

import threading
import time
from collections import OrderedDict

MOST = 10
"""Wrong tokens of one address within WINDOW_SECONDS, for each worker; further ones are refused unchecked."""

WINDOW_SECONDS = 60.0

KEPT = 4096
"""Addresses that are remembered; the one that failed longest ago is dropped first."""


class Failures:
    """Wrong tokens of the last minute and valid tokens, by address; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.count = 0
        """Wrong tokens so far, including those refused unchecked."""

    def wait(self, address: str) -> float:
        """Seconds until a token from this address is checked again; 0.0: immediately."""
        with self._lock:
            times = self._failed.get(address, [])
            return 0.0 if len(times) < MOST else max(0.0, times[-MOST] + WINDOW_SECONDS - time.monotonic())

    def add(self, address: str) -> bool:
        """Record a wrong or unchecked token of this address; True if this reaches the limit."""
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

    def mark_proven(self, address: str, digest: str) -> None:
        """Record that the token with this sha256 was valid from this address, so others there can't lock it out."""
        with self._lock:
            self._proven[address, digest] = None
            self._proven.move_to_end((address, digest))
            while len(self._proven) > KEPT:
                self._proven.popitem(last=False)

    def is_proven(self, address: str, digest: str) -> bool:
        """Whether that token was valid from that address."""
        return (address, digest) in self._proven
