"""Event streams, sent without the application until the client leaves, the stream is ended, or the feed is over."""

import asyncio
import contextlib
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.web.api.event_stream import Feed
from retraind.web.auth.access import CALLER
from retraind.web.http import payload, security_headers
from retraind.web.http.incoming_request import Request
from retraind.web.server.refusals import Headers

SEND_SECONDS = 10.0
"""An event that the server does not accept within this time ends its stream. The kernel cuts off clients that stop reading."""

STREAM: Headers = [
    ("Content-Type", "text/event-stream"),
    ("X-Accel-Buffering", "no"),  # a proxy must pass each event on at once
    *security_headers.SECURED,
]


def wants(environ: WSGIEnvironment) -> bool:
    """Whether a request asks for the events as a stream."""
    if environ["PATH_INFO"] != "/events" or environ["REQUEST_METHOD"] != "GET":
        return False
    return "text/event-stream" in environ.get("HTTP_ACCEPT", "")


async def send(request: Request, feed: Feed, address: str) -> None:
    """Send the requested events to `address` until the stream ends; raises Problem before anything is sent."""
    after = _after(request.environ)
    stream = feed.streams.begin(request.environ[CALLER], address)
    transport = request.protocol.response_stream(200, STREAM)
    sending = asyncio.ensure_future(_send(transport, feed.follow(after)))
    gone = asyncio.ensure_future(request.protocol.client_disconnect())
    ended = asyncio.ensure_future(stream.ended.wait())
    await asyncio.wait({sending, gone, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (sending, gone, ended):
        task.cancel()
    # Without `gone`, a future of Granian's: `gather` can't see how it was cancelled, and would wait forever.
    await asyncio.gather(sending, ended, return_exceptions=True)
    feed.streams.leave(stream)


def _after(environ: WSGIEnvironment) -> int | None:
    """The id of the event after which a stream continues; raises Problem 400, as the list does for the same query."""
    from retraind.web.lists import events, parameters

    after = parameters.read(parameters.parsed(environ["QUERY_STRING"]), events.PARAMETERS).whole("after")
    # A client that reconnects repeats its address, and names the last event it received here.
    header = environ.get("HTTP_LAST_EVENT_ID", "")
    number = payload.whole(header, 15)
    return after if number is None else number


async def _send(transport: Any, texts: Any) -> None:
    async with contextlib.aclosing(texts):
        async for text in texts:
            async with asyncio.timeout(SEND_SECONDS):
                await transport.send_str(text)
