"""Streams: who listens to events, so that whoever listens a lot gives way to who does not."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from web.auth.access import Access, Caller
from web.http.problems import Problem

MOST = 32
"""Streams of one worker; each holds a connection."""

EACH = 8
"""Streams of one token, or of one address without a token: a page that is seen has one."""


@dataclass(eq=False, slots=True)
class Stream:
    """One listener."""

    caller: Caller
    client: str
    """Whom the limits hold for."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has to end before its client does."""


class Streams:
    """The streams of one worker, oldest first; on the loop only."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: list[Stream] = []

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, caller: Caller, address: str) -> Stream:
        """Another stream, for which the oldest of its client, or of whoever has more, may have to end; raises Problem 503."""
        stream = Stream(caller, caller.client or address)
        counts = Counter(other.client for other in self._open)
        client, most = counts.most_common(1)[0] if counts else ("", 0)
        own, full = counts[stream.client], len(self._open) >= MOST
        if full and most > own + 1:
            self._end_oldest(client)
        elif own >= EACH or (full and own):
            self._end_oldest(stream.client)
        elif full:
            raise Problem(503, f"{MOST} listeners are connected already.", hint="Ask for JSON instead.")
        self._open.append(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        """The stream has ended."""
        if stream in self._open:
            self._open.remove(stream)

    def end_withdrawn(self) -> None:
        """End the streams of those who would not be let in now."""
        for stream in [stream for stream in self._open if not self._access.still(stream.caller)]:
            stream.ended.set()
            self.leave(stream)

    def _end_oldest(self, client: str) -> None:
        oldest = next(stream for stream in self._open if stream.client == client)
        oldest.ended.set()
        self.leave(oldest)
