"""Answers to requests that send drops: `POST /drops` and `GET /uploads/SHA256`.

A drop is durable and has its name before it is acknowledged. Its bytes are its identity: a file that is sent again,
because an answer was lost, counts once.
"""

import threading
import time
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core import home_integrity, logs, shared_folder
from retraind.daemon.core.states import DropState
from retraind.web.auth.access import CALLER
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply, json_object
from retraind.web.uploads import partial_file, upload_request
from retraind.web.uploads.partial_file import PartialFile
from retraind.web.uploads.upload_request import SHA256, UploadRequest
from retraind.web.worker_state import Worker

SWEEP_SECONDS = 3600.0

COUNTED = (DropState.ACCEPTED, DropState.FORGOTTEN)
"""States of bytes whose rows count, or have counted, once: read again, they are a duplicate."""

log = logs.Logger()


class Interval:
    """Whether something that happens once in `seconds` is due; any thread may ask."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._due, self._asking = seconds, 0.0, threading.Lock()

    def is_due(self, now: float) -> bool:
        """Whether it is; then not again for its seconds. `now` is monotonic seconds."""
        with self._asking:
            due = now >= self._due
            if due:
                self._due = now + self._seconds
            return due


_sweeping = Interval(SWEEP_SECONDS)


def send(worker: Worker, environ: WSGIEnvironment) -> Reply:
    """Take a file, or a piece of one, into the inbox.

    202 once it is there; 200 for a piece, and for bytes that are known. Raises Problem 400, 409, 413, 415, 422, 507.
    """
    upload_request.typed(environ)
    most = worker.settings.inbox.max_bytes
    asked = upload_request.parse(environ, most)
    if objection := home_integrity.disk(worker.home):
        raise Problem(507, objection)
    if asked.sha256 and (known := _known(worker, asked.sha256, again=asked.again)):
        return json_object(known)
    folder = shared_folder.inbox(worker.home)
    if not asked.offset and _sweeping.is_due(time.monotonic()):
        partial_file.sweep(folder)
    with PartialFile.opened(folder, asked.sha256) as part:
        part.begin_at(asked.offset)
        if part.take(environ["wsgi.input"], most) > most:
            part.remove()
            raise upload_request.too_large(most)
        return _taken(worker, asked, part, environ)


def progress(worker: Worker, sha256: str) -> Reply:
    """How far an upload is; raises Problem 404 if there is none."""
    if SHA256.fullmatch(sha256):
        if known := _known(worker, sha256):
            return json_object(known)
        size = partial_file.received(shared_folder.inbox(worker.home), sha256)
        if size is not None:
            return json_object({"status": "partial", "drop": sha256, "received": size})
    raise Problem(404, f"There is no upload {sha256!r:.80}.", hint="Send the file to POST /drops.")


def _taken(worker: Worker, asked: UploadRequest, part: PartialFile, environ: WSGIEnvironment) -> Reply:
    """The answer once the body has ended."""
    if asked.promised is not None and part.size != asked.offset + asked.promised:
        sent = part.size - asked.offset
        raise Problem(400, f"The body ended after {sent} of its {asked.promised} bytes.", hint="Send the rest.")
    if asked.size is not None and part.size < asked.size:
        part.sync()
        return json_object({"status": "partial", "drop": asked.sha256, "received": part.size})
    sha256 = part.sha256()
    if not part.size or asked.sha256 not in (None, sha256):
        part.remove()
        detail = f"The sha256 of the {part.size} bytes is {sha256}." if part.size else "The file is empty."
        raise Problem(422, detail, hint="It was not taken: send the whole file again.")
    if known := _known(worker, sha256, again=asked.again):
        part.remove()
        return json_object(known)
    name = part.publish(asked.name or f"upload-{sha256[:12]}.csv", sha256)
    log.info("uploaded", file=name, drop=sha256, bytes=part.size, caller=environ[CALLER].name)
    return json_object({"status": "accepted", "drop": sha256, "name": name}, 202)


def _known(worker: Worker, sha256: str, *, again: bool = False) -> dict[str, object] | None:
    """The decided or held drop with these bytes; with `again` only one that would not be taken if it was read again."""
    if held := worker.records.held.like(sha256):
        return {"status": "known", "drop": sha256, "name": held[0]["name"], "state": "held"}
    drop = worker.records.drops.find(sha256)
    if drop is None or drop["sha256"] != sha256 or (again and drop["state"] not in COUNTED):
        return None
    return {"status": "known", "drop": sha256, "name": drop["name"], "state": drop["state"]}
