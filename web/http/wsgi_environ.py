"""An RSGI request as a WSGI environment, whose text is bytes decoded as Latin-1."""

import io
import sys
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.web.http.client_address import FORWARDED, LONGEST, PROXIED
from retraind.web.http.problems import Problem

MOST_KEYS = 256

SLASHED = "retraind.slashed"
"""Key of the environment: present if the path ended in a slash, which was removed."""


COMMON: WSGIEnvironment = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "retraind",
    "SERVER_PORT": "0",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
"""The common entries of all requests. Nothing can be read from the empty body, so requests share it until their own
arrives."""


def environ_of(scope: Any, root: str = "") -> WSGIEnvironment:
    """The WSGI environment of a request without its body; the path has neither the prefix `root` nor a trailing slash."""
    path = scope.path
    if root and f"{path}/".startswith(f"{root}/"):  # a proxy may have removed it already
        path = path[len(root) :] or "/"
    slashed = path.endswith("/") and len(path) > 1
    if slashed:
        path = path[:-1]
    environ = COMMON.copy()
    environ["REQUEST_METHOD"] = scope.method
    environ["PATH_INFO"] = path if path.isascii() else path.encode().decode("latin-1")
    environ["QUERY_STRING"] = scope.query_string
    environ["REMOTE_ADDR"] = scope.client.rpartition(":")[0]
    headers = scope.headers
    # By name only: items() omits a header with a non-ASCII value, so a client could hide one that a proxy extends.
    environ[PROXIED] = not FORWARDED.isdisjoint(headers.keys())
    for name, value in headers.items():
        key = _KEYS[name]
        if key is not None:
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    if scope.authority:  # of `GET http://name/path`, which overrides the header (RFC 9112, 3.2.2)
        environ["HTTP_HOST"] = scope.authority
    elif "HTTP_HOST" not in environ and scope.http_version == "1":
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"
    if slashed:
        environ[SLASHED] = True
    return environ


def content_length(environ: WSGIEnvironment) -> int | None:
    """The length of the body; None for a chunked body or no body. Granian has checked that it is a number.

    Raises Problem 400 for any other transfer coding.
    """
    if "CONTENT_LENGTH" in environ:
        return int(environ["CONTENT_LENGTH"])
    coding = environ.get("HTTP_TRANSFER_ENCODING", "chunked")
    if coding.strip().lower() != "chunked":
        raise Problem(400, f"The Transfer-Encoding {coding!r:.80} is not supported; send `chunked`.")
    return None


def up(environ: WSGIEnvironment) -> str:
    """The relative path from a request to the root of the service, since a proxy may add any prefix."""
    path: str = environ["PATH_INFO"]
    return "../" * (path.count("/") - 1 + (SLASHED in environ))


def least_length(environ: WSGIEnvironment) -> int:
    """The minimum length of the body: 0 without one, 1 for a chunked one."""
    if "CONTENT_LENGTH" in environ:
        return int(environ["CONTENT_LENGTH"])
    return int("HTTP_TRANSFER_ENCODING" in environ)


class Keys(dict[str, str | None]):
    """A bounded cache of WSGI keys by header name; None for a header that is left out."""

    def __missing__(self, name: str) -> str | None:
        key = _key(name)
        if len(name) <= LONGEST:
            if len(self) >= MOST_KEYS:
                self.clear()
            self[name] = key
        return key


def _key(name: str) -> str | None:
    # In a WSGI key, `Content_Length` would look like `Content-Length`, which Granian has checked.
    if "_" in name or len(name) > LONGEST:
        return None
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_KEYS = Keys()
