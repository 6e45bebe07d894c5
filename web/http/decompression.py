"""Decompression of request bodies, within the limit for bodies."""

import io
import zlib
from wsgiref.types import WSGIEnvironment

from retraind.web.http.problems import Problem

CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content codings to zlib's window bits: gzip, and zlib's own format, which HTTP calls deflate (RFC 9110, 8.4.1)."""


def inflate(environ: WSGIEnvironment, most: int) -> None:
    """Replace a compressed body by the plain one of at most `most` bytes; raises Problem 400, 413 or 415."""
    coding = environ.pop("HTTP_CONTENT_ENCODING", None)
    if coding is None or (name := coding.strip().lower()) in ("", "identity"):
        return
    if name not in CODINGS:
        hint = f"Send it uncompressed, or as one of {', '.join(CODINGS)}."
        raise Problem(
            415, f"The Content-Encoding {coding!r:.40} is not supported.", hint=hint, Accept_Encoding="gzip, deflate"
        )
    environ["wsgi.input"] = io.BytesIO(_inflated(environ["wsgi.input"].read(), CODINGS[name], most))


def _inflated(packed: bytes, bits: int, most: int) -> bytes:
    """The decompressed bytes. At most one byte beyond `most` is ever produced, because a few kilobytes may expand to gigabytes."""
    plain, rest, ended = bytearray(), packed, False
    try:
        while rest or not ended:
            inflater = zlib.decompressobj(wbits=bits)
            plain += inflater.decompress(rest, most + 1 - len(plain))
            if len(plain) > most:
                raise Problem(413, f"The body is larger than {most} bytes after decompression.")
            if not inflater.eof:
                raise Problem(400, "The compressed body ends too early.")
            rest, ended = inflater.unused_data, True
    except zlib.error as error:
        raise Problem(400, f"The body does not match its Content-Encoding: {error}.") from None
    return bytes(plain)
