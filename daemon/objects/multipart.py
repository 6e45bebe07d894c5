"""Puts a large file as several parts, because servers take at most 5 GiB at once, and a part is repeated sooner than the whole.

The object exists only when all parts are there. A failed upload is aborted. What a killed process leaves is found by a
listing of uploads, and aborted a day later.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from retraind.daemon.objects.store import ObjectLost, StoreUnavailable

SINGLE_BYTES = 64 << 20
"""Size (bytes) up to which a file is put at once."""

PART_BYTES = 16 << 20
"""Size (bytes) of a part, which is in memory; larger for a file that would have more than MOST_PARTS."""

MOST_PARTS = 9_000
"""Servers accept 10,000."""

Ask = Callable[..., Any]
"""`S3Store._ask`: action, object's name, operation, values."""


def put(ask: Ask, client: Any, name: str, source: Path) -> None:
    """Put a file in parts, each with its md5, which the server compares; raises StoreUnavailable, OSError."""
    upload = ask("put", name, client.create_multipart_upload)["UploadId"]
    size, parts = 0, []
    try:
        for number, data in enumerate(pieces(source), 1):
            values = {"UploadId": upload, "PartNumber": number, "Body": data, "ContentMD5": md5(data)}
            parts.append({"PartNumber": number, "ETag": ask("put", name, client.upload_part, **values)["ETag"]})
            size += len(data)
        _complete(ask, client, name, upload, parts)
        if ask("look at", name, client.head_object)["ContentLength"] != size:
            raise StoreUnavailable(f"The object store has not joined all parts of {name}.", hint="It is put again.")
    except BaseException:
        with suppress(StoreUnavailable, ObjectLost):
            ask("abort", name, client.abort_multipart_upload, UploadId=upload)
        raise


def _complete(ask: Ask, client: Any, name: str, upload: str, parts: Sequence[Mapping[str, Any]]) -> None:
    """Join the parts. A large object may take longer than an answer may; then the object itself tells that it is there."""
    try:
        ask("put", name, client.complete_multipart_upload, UploadId=upload, MultipartUpload={"Parts": parts})
    except StoreUnavailable as error:
        with suppress(ObjectLost):
            ask("look at", name, client.head_object)
            return
        raise error from None


def pieces(source: Path) -> Iterator[bytes]:
    """The bytes of a file in parts."""
    most = max(PART_BYTES, -(-source.stat().st_size // MOST_PARTS))
    with source.open("rb") as file:
        while data := file.read(most):
            yield data


def md5(data: bytes) -> str:
    """The md5 of some bytes, as a header has it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
