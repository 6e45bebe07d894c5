"""Open event streams, with limits in total and for each client."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from retraind.web.auth.access import Access, Caller
from retraind.web.http.problems import Problem

MOST = 32
"""Maximum streams of one worker; each holds a connection."""

EACH = 8
"""Maximum streams of one token, or of one address without a token; an open page has one."""


@dataclass(eq=False, slots=True)
class Stream:
    """One open stream."""

    caller: Caller
    client: str
    """What the limits apply to: the token or the address."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server ends the stream."""


class Streams:
    """The streams of one worker, oldest first; on the loop only."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: list[Stream] = []

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, caller: Caller, address: str) -> Stream:
        """Begin a stream. At the limit, the oldest one of the same client, or of the client with the most, ends; raises Problem 503."""
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
        """Forget an ended stream."""
        if stream in self._open:
            self._open.remove(stream)

    def end_withdrawn(self) -> None:
        """End the streams of callers that would no longer be admitted."""
        for stream in [stream for stream in self._open if not self._access.still_admitted(stream.caller)]:
            stream.ended.set()
            self.leave(stream)

    def _end_oldest(self, client: str) -> None:
        oldest = next(stream for stream in self._open if stream.client == client)
        oldest.ended.set()
        self.leave(oldest)
