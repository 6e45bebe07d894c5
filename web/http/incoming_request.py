"""A request in progress, and its body."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.web.http.wsgi_environ import least_length

MOST_SKIPPED = 256 << 20
"""Bytes of an unwanted body that are discarded so that the client can read the answer; a longer body is cut off."""

TOO_LARGE = 413


@dataclass(slots=True)
class Request:
    """A request in progress; `protocol` is RSGI's object for sending the answer."""

    environ: WSGIEnvironment
    protocol: Any
    started: float
    begun: bool = False
    """Whether its body has been requested."""
    _pieces: AsyncIterator[bytes] | None = None

    def pieces(self) -> AsyncIterator[bytes]:
        """The rest of the body, piece by piece; raises RuntimeError if it was requested as a whole."""
        if self._pieces is None:
            self._pieces = _each(self.protocol)
        return self._pieces

    def sends_on(self, status: int) -> bool:
        """Whether a refused client may still be sending its body, so that it must be read for the client to see the answer."""
        if self.begun and status != TOO_LARGE:
            return False
        # A client that waits for 100-continue has sent nothing.
        return "HTTP_EXPECT" not in self.environ and 0 < least_length(self.environ) <= MOST_SKIPPED


async def _each(protocol: Any) -> AsyncIterator[bytes]:
    """The pieces of a body; Granian's own iterator can be started only once."""
    async for piece in protocol:
        yield piece
