"""Endpoints that write: each makes a durable file for the daemon before it answers 202."""

import threading
from collections.abc import Mapping
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core import durable, inbox_names, requests, shared_folder
from retraind.daemon.core.journal_rows import RequestRow
from retraind.daemon.core.requests import Kind
from retraind.daemon.core.states import RequestState
from retraind.daemon.schema import labelled_row, schema
from retraind.daemon.schema.labelled_row import Sample
from retraind.web.auth.access import CALLER
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.worker_state import Worker

_asking = threading.Lock()
"""Held while a request to retrain is made, so that many at once share one file."""


def add_training_data(worker: Worker, environ: WSGIEnvironment) -> tuple[int, Mapping[str, str | None]]:
    """Put one labelled row into the inbox; the same Idempotency-Key puts it there once."""
    body = payload.parse(payload.Labelled, environ)
    key = payload.idempotency_key(environ)
    schema_now = schema.load(worker.home.schema)
    if schema_now is None:
        hint = "Drop a CSV into the inbox or run `retraind init` first."
        raise Problem(409, "There is no schema yet, so the columns of a row are unknown.", hint=hint)
    row = labelled_row.make(schema_now, body.features, body.target, key)
    digest = durable.sha256(row.dump())
    earlier = _earlier(worker, row) if key else None
    if earlier is None and not labelled_row.drop(worker.home, row):
        earlier = _earlier(worker, row)
        if earlier is None:
            raise Problem(503, f"inbox/{row.name} is not a regular file.", hint="Remove it, and send the sample again.")
    if earlier not in (None, digest):
        raise Problem(422, "This Idempotency-Key was used for another sample.", hint="Use a new key for each sample.")
    return 202, {"status": "accepted", "drop": digest, "name": row.name}


def _earlier(worker: Worker, row: Sample) -> str | None:
    """The sha256 of the drop that already has this name, in the inbox or in the journal."""
    # Other programs write there too: the name may be a link, or a pipe that would block.
    if (waiting := shared_folder.inbox(worker.home).sha256(row.name)) is not None:
        return waiting
    drop = worker.records.drops.find(row.name)
    return drop["sha256"] if drop else None


def trigger_retrain(worker: Worker, environ: WSGIEnvironment) -> tuple[int, Mapping[str, str | None]]:
    """Request a training; without force only if there are rows since the last one."""
    force = payload.parse(payload.Trigger, environ).force_retrain
    if not force and not _has_news(worker):
        reason = "There are no new rows since the last training; send force_retrain: true to train anyway."
        return 200, {"status": "skipped", "reason": reason}
    with _asking:
        waiting = (item for item in requests.pending(worker.home) if item.kind == "retrain" and item.force >= force)
        request = next(waiting, None) or requests.ask(worker.home, "retrain", force=force, by="http")
    return 202, {"status": "accepted", "request": request.id}


def _has_news(worker: Worker) -> bool:
    # Unknown without a running daemon; a row posted just now is a file that the daemon has not counted yet.
    status = worker.slot.status
    if status is None or not status.alive or status.rows_pending or status.backlog_files:
        return True
    held = worker.records.held.names()
    entries = (
        entry
        for entry in worker.home.inbox.iterdir()
        if not inbox_names.ignored(entry.name) and inbox_names.shown(entry.name) not in held
    )
    return any(entry.is_file() and not entry.is_symlink() for entry in entries)


def choose(worker: Worker, environ: WSGIEnvironment, kind: Kind) -> tuple[int, Mapping[str, str | None]]:
    """Ask the daemon to `promote`, `refuse` or `rollback`; the version must have a verdict."""
    version = payload.parse(payload.Choice, environ).version
    if version is not None and worker.records.versions.get(version) is None:
        raise Problem(404, f"There is no version {version}.", hint="GET /versions lists them.")
    request = requests.ask(worker.home, kind, version=version, by="http")
    return 202, {"status": "accepted", "request": request.id}


def decide(worker: Worker, environ: WSGIEnvironment, kind: Kind) -> tuple[int, Mapping[str, str | None]]:
    """Ask the daemon to `accept` or `reject` a drop that is held."""
    key = payload.parse(payload.Decision, environ).drop
    waiting = worker.records.held.like(key)
    if not waiting:
        raise Problem(404, f"No held drop is called {key!r:.100}.", hint="GET /drops lists those that are held.")
    if len(waiting) > 1:
        raise Problem(422, f"{len(waiting)} held drops are called {key!r:.100}.", hint="Name one by its sha256.")
    request = requests.ask(worker.home, kind, drop=waiting[0]["sha256"], by="http")
    return 202, {"status": "accepted", "request": request.id}


def forget(worker: Worker, environ: WSGIEnvironment) -> tuple[int, Mapping[str, str | None]]:
    """Ask the daemon to remove the rows of a drop from the dataset."""
    body = payload.parse(payload.Forget, environ)
    drops = worker.records.drops.taken(body.drop)
    if not drops:
        hint = "GET /drops lists the drops and their states."
        raise Problem(404, f"The dataset holds no rows of a drop {body.drop!r:.100}.", hint=hint)
    if len({drop["sha256"] for drop in drops}) > 1:
        raise Problem(
            422, f"{body.drop!r:.100} may be any of {len(drops)} drops.", hint="Name one by its id or sha256."
        )
    request = requests.ask(worker.home, "forget", drop=drops[0]["sha256"], purge=body.purge, by="http")
    return 202, {"status": "accepted", "request": request.id}


def acknowledge(worker: Worker, environ: WSGIEnvironment) -> tuple[int, Mapping[str, str | None]]:
    """Ask the daemon to record that a person has seen to an event, to those of a drop, or to all up to an event."""
    body, by = payload.parse(payload.Acknowledgement, environ), _person(environ)
    sha256 = None
    if body.drop is not None:
        drop = next(iter(worker.records.held.like(body.drop)), None) or worker.records.drops.find(body.drop)
        if drop is None:
            raise Problem(404, f"There is no drop {body.drop!r:.100}.", hint="GET /drops lists them.")
        sha256 = drop["sha256"]
    if body.event is not None and not worker.records.events.after(body.event - 1, 1):
        raise Problem(404, f"There is no event {body.event}.", hint="GET /events lists them.")
    request = requests.ask(worker.home, "acknowledge", event=body.event, drop=sha256, until=body.until, by=by)
    return 202, {"status": "accepted", "request": request.id}


def _person(environ: WSGIEnvironment) -> str:
    """Who asks, for the journal: the token's name, if there is one."""
    name = environ[CALLER].name
    return f"http ({name})" if name else "http"


def find_request(worker: Worker, request: str) -> tuple[int, RequestRow]:
    """A request and its outcome; `pending` until the daemon has read it."""
    entry = worker.records.requests.get(request)
    if entry is None:
        waiting = (item for item in requests.pending(worker.home) if item.id == request)
        if (item := next(waiting, None)) is None:
            raise Problem(404, f"There is no request {request!r:.60}.")
        entry = {
            "id": item.id,
            "kind": item.kind,
            "state": RequestState.PENDING,
            "detail": "",
            "at": item.at.isoformat(),
            "ended_at": None,
        }
    return 200, entry
