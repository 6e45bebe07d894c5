"""A request on its way, and what is known of the body that follows it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from wsgiref.types import WSGIEnvironment

from web.http.wsgi_environ import announced

MOST_SKIPPED = 256 << 20
"""Bytes of a body that is not wanted which go by, so that the client hears why; who announces more is cut off."""

TOO_LARGE = 413


@dataclass(slots=True)
class Request:
    """A request on its way: RSGI's protocol answers it."""

    environ: WSGIEnvironment
    protocol: Any
    started: float
    begun: bool = False
    """Whether its body has been asked for."""
    _pieces: AsyncIterator[bytes] | None = None

    def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece, from where it was left; raises RuntimeError when it was asked for as a whole."""
        if self._pieces is None:
            self._pieces = _each(self.protocol)
        return self._pieces

    def sends_on(self, status: int) -> bool:
        """Whether the client may still be sending its body while it is refused, and would rather hear why than be cut off."""
        if self.begun and status != TOO_LARGE:
            return False
        # Who waits to be asked for the body has sent nothing.
        return "HTTP_EXPECT" not in self.environ and 0 < announced(self.environ) <= MOST_SKIPPED


async def _each(protocol: Any) -> AsyncIterator[bytes]:
    """The pieces of a body; Granian's own iterator can't be asked for a second time."""
    async for piece in protocol:
        yield piece
