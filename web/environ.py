"""Environ: a request of RSGI as the environment that WSGI knows, in which text is bytes in Latin-1 clothing."""

import io
import sys
from typing import Any

from web.peers import FORWARDED, LONGEST, PROXIED
from web.problems import Problem

MOST_KEYS = 256


def environ_of(scope: Any) -> dict[str, Any]:
    """The WSGI environment of a request, without its body."""
    path = scope.path
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path if path.isascii() else path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": "retraind",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    headers = scope.headers
    # By the names alone: a header whose value is no ASCII is left out of the items, so a client could hide what a proxy adds to.
    environ[PROXIED] = not FORWARDED.isdisjoint(headers.keys())
    for name, value in headers.items():
        key = _KEYS[name]
        if key is not None:
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    if scope.authority:  # of `GET http://name/path`, which overrules the header (RFC 9112, 3.2.2)
        environ["HTTP_HOST"] = scope.authority
    return environ


def promised(environ: dict[str, Any]) -> int | None:
    """The length of the body; None for a chunked one, or none. Granian has checked that it is a number.

    Raises Problem 400 for a transfer coding that only a proxy might undo.
    """
    if "CONTENT_LENGTH" in environ:
        return int(environ["CONTENT_LENGTH"])
    coding = environ.get("HTTP_TRANSFER_ENCODING", "chunked")
    if coding.strip().lower() != "chunked":
        raise Problem(400, f"The transfer coding {coding!r:.80} is not known; chunked is.")
    return None


class Keys(dict[str, str | None]):
    """The WSGI keys of headers by name, found out once; None for one that is left out. Bounded, because names are the client's."""

    def __missing__(self, name: str) -> str | None:
        key = _key(name)
        if len(name) <= LONGEST:
            if len(self) >= MOST_KEYS:
                self.clear()
            self[name] = key
        return key


def _key(name: str) -> str | None:
    # In CGI's spelling `Content_Length` would pass for `Content-Length`, which Granian has checked.
    if "_" in name or len(name) > LONGEST:
        return None
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_KEYS = Keys()
