"""A request that sends a drop, or a piece of one: its parameters and headers, checked before a byte is read."""

import re
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core import inbox_names
from retraind.web.http.problems import Problem
from retraind.web.http.wsgi_environ import least_length
from retraind.web.lists import parameters
from retraind.web.lists.parameters import Kind, Parameter, Values

SUFFIXES = (".csv", ".csv.gz")
TYPES = ("", "text/csv", "application/csv", "application/gzip", "application/octet-stream")
"""Content types of a file; the suffix of its name decides how it is read."""

SHA256 = re.compile(r"[0-9a-f]{64}")

LONGEST_NAME = 200
"""Bytes of a name: its report and its rejected rows in `inbox/rejected` have longer ones."""

PARAMETERS = (
    Parameter(
        "name", "The file name of the drop, ending in .csv or .csv.gz. Default: `upload-` and the begin of its sha256."
    ),
    Parameter("sha256", "The sha256 (hexadecimal) of the whole file: a broken upload can then be continued."),
    Parameter("offset", "Bytes that the service has already, where the body continues; needs `sha256`.", Kind.WHOLE),
    Parameter("size", "Bytes of the whole file, if the body is not its last piece; needs `sha256`.", Kind.WHOLE, low=1),
    Parameter("again", "`true`: read the file although a drop with the same bytes was rejected.", choices=("true",)),
)


class UploadRequest(NamedTuple):
    """What a request sends: bytes of a file from `offset` on; `promised` is their number (None: chunked)."""

    name: str
    """Empty: to be named after the sha256."""
    sha256: str | None
    offset: int
    size: int | None
    again: bool
    promised: int | None


def typed(environ: WSGIEnvironment) -> None:
    """Refuse a body that is not a file (415): a form would become part of the drop."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in TYPES:
        hint = "Send Content-Type: text/csv; of curl, -T FILE sends none."
        raise Problem(415, f"The body must be a CSV file, not {kind!r:.80}.", hint=hint)
    if "HTTP_CONTENT_ENCODING" in environ:
        hint = "Name the file .csv.gz and send it as it is."
        raise Problem(415, "A Content-Encoding is not supported here.", hint=hint)


def parse(environ: WSGIEnvironment, most: int) -> UploadRequest:
    """The request; raises Problem 400 or 422 for a wrong one, 413 for more than `most` bytes."""
    values = parameters.read(parameters.parsed(environ["QUERY_STRING"]), PARAMETERS)
    offset, size, sha256 = values.whole("offset") or 0, values.whole("size"), values.text("sha256") or None
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise Problem(
            400, "'sha256' must be 64 hexadecimal digits in small letters.", hint="`sha256sum FILE` prints it."
        )
    if sha256 is None and (offset or size is not None):
        raise Problem(400, "'offset' and 'size' need 'sha256'.", hint="Without it, the body is the whole file.")
    promised = None if "HTTP_TRANSFER_ENCODING" in environ else least_length(environ)
    if promised == 0:
        raise Problem(422, "The body is empty.", hint="Send the file as the body; of curl, -T FILE does that.")
    if max(offset + (promised or 0), size or 0) > most:
        raise too_large(most)
    return UploadRequest(_name(values), sha256, offset, size, bool(values.text("again")), promised)


def too_large(most: int) -> Problem:
    """The answer to a file of more than `most` bytes."""
    return Problem(413, f"The file is larger than {most:,} bytes.", hint="Split it, or raise inbox.max_bytes.")


def _name(values: Values) -> str:
    name = values.text("name")
    if name and (
        "/" in name
        or not name.isprintable()
        or inbox_names.ignored(name)
        or not name.lower().endswith(SUFFIXES)
        or len(name.encode()) > LONGEST_NAME
    ):
        detail = f"{name!r:.100} can't be the name of a drop."
        raise Problem(400, detail, hint="It ends in .csv or .csv.gz, has no slash and does not begin with a dot.")
    return name
