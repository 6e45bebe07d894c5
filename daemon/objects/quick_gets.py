"""GETs of many small objects: over connections that are kept, with a third of the processor time of the client's own.

Only a plain answer with status 200 counts. For everything else the caller asks the client, which repeats, follows
redirections, and knows the errors.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import quote, urlsplit

SAFE = "/-_.~"
"""Characters of a name that the signature does not encode."""


class QuickGets:
    """The connections to one server; any thread may use them."""

    def __init__(
        self, base: str, sign: Callable[[str], Mapping[str, str]], seconds: float, authorities: str | None
    ) -> None:
        """`base` is the address of the prefix, `sign` returns the headers for an address, `seconds` the time limit.

        `authorities` is the file with the certificates to trust.
        """
        parts = urlsplit(base)
        self._origin, self._path, self._host = f"{parts.scheme}://{parts.netloc}", parts.path, parts.netloc
        self._sign, self._seconds = sign, seconds
        self._context = ssl.create_default_context(cafile=authorities) if parts.scheme == "https" else None
        self._idle = deque[HTTPConnection]()

    @contextmanager
    def get(self, name: str) -> Iterator[HTTPResponse | None]:
        """The answer with the bytes of an object; None if the client must be asked."""
        path = f"{self._path}{quote(name, safe=SAFE)}"
        headers = self._sign(f"{self._origin}{path}")
        connection = self._connection()
        try:
            answer = _answer(connection, path, headers)
            yield answer
        except BaseException:
            connection.close()
            raise
        if answer is not None and answer.isclosed() and not answer.will_close:  # it was read to its end
            self._idle.append(connection)
        else:
            connection.close()

    def _connection(self) -> HTTPConnection:
        try:
            return self._idle.pop()
        except IndexError:
            if self._context is None:
                return HTTPConnection(self._host, timeout=self._seconds)
            return HTTPSConnection(self._host, timeout=self._seconds, context=self._context)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()


def _answer(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> HTTPResponse | None:
    try:
        connection.request("GET", path, headers=dict(headers))
        # A server that sends head and body apart, as Ceph's does, holds the body back until the head is acknowledged,
        # for which the kernel takes up to 40 ms. It forgets this option, so it is set for each answer.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        answer = connection.getresponse()
    except (OSError, HTTPException):  # also a connection that the server has closed meanwhile
        return None
    return answer if answer.status == 200 and "transfer-encoding" not in answer.headers else None
