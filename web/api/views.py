"""Endpoints that show the records."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from retraind.daemon.artifacts import evaluation, manifest
from retraind.daemon.core.drift_report import DriftCheck
from retraind.daemon.core.status import Status
from retraind.daemon.records import lineage
from retraind.web.downloads.version_archive import FORMATS, VersionArchives
from retraind.web.http import payload
from retraind.web.http.problems import FieldError, Problem
from retraind.web.http.reply import Reply, json_object
from retraind.web.worker_state import Worker

if TYPE_CHECKING:
    from retraind.web.lists.listing import List

Query = Mapping[str, str]

MOST_HELD = 100
"""Number of held drops in one answer; `state=held` lists more."""


class Waiting(TypedDict):
    """Files in the inbox that are not held."""

    files: int
    bytes: int
    not_taken: dict[str, str]


class Views:
    """The records as one worker shows them; each raises Problem or what the records raise. `query` is the parsed query string.

    Lists are imported at the first request for one.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._archives = VersionArchives(worker.home, worker.settings.server.request_seconds)

    def history(self, query: Query) -> Reply:
        """Predictions with their late labels, newest first; see `retraind.web.lists.predictions`."""
        from retraind.web.lists import predictions

        return self._listed(predictions.find(self._worker.home, query, old=self._worker.old_predictions))

    def upload(self, sha256: str) -> Reply:
        """How far an upload is; see `retraind.web.uploads.receiving`."""
        from retraind.web.uploads import receiving

        return receiving.progress(self._worker, sha256)

    def versions(self, query: Query) -> Reply:
        """Judged versions with their live scores (null before the first late label), newest first.

        `before` is the last one seen. `shadow` is the agreement of a held version with the champion. `lineage` is the
        path of its full lineage.
        """
        limit = payload.number(query, "limit", 100, 1, 1000)
        records = self._worker.records
        judged = records.versions.newest(limit or 100, payload.number(query, "before", None, 0))
        numbers = [row["version"] for row in judged]
        live, agreements = (
            records.versions.live_scores(judged),
            records.versions.agreements(self._worker.slot.version, numbers),
        )
        root = self._worker.settings.server.root_path
        rows = [
            {
                **row,
                "live": live.get(version),
                "shadow": agreements.get(version),
                "lineage": f"{root}/versions/{version}",
            }
            for row, version in zip(judged, numbers, strict=True)
        ]
        return _list("versions", rows, champion=self._worker.slot.version)

    def version(self, key: str, query: Query) -> Reply:
        """One version, from the drops of its training to its predictions; `before` is the last drop seen.

        `evaluation` is how it scored in detail; null if its bundle does not have that.
        """
        limit = payload.number(query, "limit", lineage.SHOWN, 1, 1000)
        before = payload.number(query, "before", None, 0)
        number = payload.whole(key, 9) or 0
        chain = self._worker.records.versions.lineage(number, limit or lineage.SHOWN, before)
        if chain is None:
            raise Problem(404, f"There is no version {key!r:.60}.", hint="GET /versions lists them.")
        folder = self._worker.home.bundle(number)
        described = manifest.summary(folder, chain["bundle"])
        detailed = evaluation.of_bundle(folder, chain["bundle"])
        return json_object({**chain, "bundle": described, "evaluation": detailed})

    def export(self, key: str, query: Query) -> Reply:
        """A version in the format `format` (onnx, mlflow, pickle), as a ZIP file."""
        form, number = query.get("format", FORMATS[0]), payload.whole(key, 9)
        if form not in FORMATS:
            fault = f"{form!r:.40} is not a format."
            errors: list[FieldError] = [{"field": "format", "detail": f"It must be one of {', '.join(FORMATS)}."}]
            raise Problem(422, fault, errors=errors)
        if number is None:
            raise Problem(404, f"There is no version {key!r:.60}.", hint="GET /versions lists them.")
        name = f"retraind-{number}-{form}.zip"
        headers = {"Content-Type": "application/zip", "Content-Disposition": f'attachment; filename="{name}"'}
        return Reply(self._archives.get(number, form), headers=headers)

    def drops(self, query: Query) -> Reply:
        """Drops with their outcomes, newest first; see `retraind.web.lists.drops`.

        `held` are drops that wait for a decision, longest first, of `held_total`. `waiting` are the other files in the inbox, as
        the daemon last saw it (null: not known); `not_taken` are entries that are not regular files.
        """
        from retraind.web.lists import drops

        entries, records = drops.find(self._worker.home, query), self._worker.records
        status = self._worker.slot.status
        waiting = _waiting(status) if status else None
        most = min(entries.values.whole("limit") or MOST_HELD, MOST_HELD)
        held = {"held": records.held.oldest(most), "held_total": records.held.total()}
        return self._listed(entries, **held, waiting=waiting, exams=records.drops.prequential())

    def drop(self, key: str) -> Reply:
        """One drop by sha256, id or name, with its outcome and the versions trained on it. A held one takes precedence.

        A file that has this name, lies in the inbox and is not decided is one in the state `waiting`.
        """
        if drop := self._recorded(key):
            return json_object(drop)
        from retraind.web.lists import unread_files

        if unread_files.has(self._worker.home, key):
            return json_object({"name": key, "state": unread_files.WAITING})
        if drop := self._recorded(key):  # decided between these two looks
            return json_object(drop)
        hint = "GET /drops lists them; a file that waits in the inbox is known by its name only."
        raise Problem(404, f"There is no drop {key!r:.100}.", hint=hint)

    def _recorded(self, key: str) -> Mapping[str, object] | None:
        """A held or decided drop."""
        if held := self._worker.records.held.like(key):
            return held[0]
        drop = self._worker.records.drops.find(key)
        return {**drop, "taught": self._worker.records.drops.versions_trained_on(drop)} if drop else None

    def columns(self, key: str) -> Reply:
        """The columns of an accepted drop beside the usual ones; see `retraind.web.pages.drop.distributions`."""
        from retraind.web.pages.drop import distributions

        worker = self._worker
        drop = worker.records.drops.find(key)
        made = distributions.of(worker.home, worker.records, drop, worker.slot.version) if drop else None
        if made is None:
            raise Problem(404, f"The dataset holds no rows of a drop {key!r:.100}.", hint="GET /drops lists the drops.")
        return json_object(made)

    def rows(self, key: str, query: Query) -> Reply:
        """Rows of an accepted drop as the dataset has them; see `retraind.web.pages.drop.rows`."""
        from retraind.web.pages.drop import rows

        return rows.reply(self._worker.home, self._worker.records, key, query)

    def prediction(self, key: str) -> Reply:
        """One logged prediction with its late label; raises Problem 404, Unavailable."""
        from retraind.web.pages.predicting import prediction

        return json_object(
            prediction.record(self._worker.home, self._worker.records, key, self._worker.old_predictions)
        )

    def bad_rows(self, key: str) -> Reply:
        """The rejected rows of a drop, as the file in inbox/rejected has them."""
        from retraind.web.pages.drop import bad_rows

        drop = self._worker.records.drops.find(key)
        if drop is None or drop["bad_file"] is None:
            raise Problem(
                404, f"There are no rejected rows of a drop {key!r:.100}.", hint="GET /drops lists the drops."
            )
        headers = {"Content-Type": "text/csv; charset=utf-8"}
        headers["Content-Disposition"] = f'attachment; filename="drop-{drop["id"]}.bad.csv"'
        return Reply(bad_rows.whole(self._worker.home, drop["bad_file"]), 200, headers)

    def compare(self, query: Query) -> Reply:
        """Two versions side by side; see `retraind.web.pages.version.compare`."""
        from retraind.web.pages.version import compare

        worker = self._worker
        return json_object(compare.of(worker.home, worker.records, query, worker.slot.version))

    def events(self, query: Query) -> Reply:
        """Events; see `retraind.web.lists.events`. With Accept: text/event-stream the server streams them instead."""
        from retraind.web.lists import events

        return self._listed(events.find(self._worker.home, query))

    def queue(self, query: Query) -> Reply:
        """Everything that waits; see `web.lists.queue`."""
        from retraind.web.lists import parameters, queue

        parameters.read(query, ())
        worker = self._worker
        return json_object(queue.read(worker.home, worker.records, worker.settings, worker.slot.status))

    def settings(self, query: Query) -> Reply:
        """The settings in force; see `web.lists.settings`."""
        from retraind.web.lists import settings

        return json_object(settings.find(self._worker.home, self._worker.settings, query))

    def drift(self) -> DriftCheck:
        """The newest check for drift of the served version, feature by feature."""
        from retraind.web.dashboard import drift

        return drift.newest(self._worker.records, self._worker.slot.version, self._worker.settings)

    def trends(self, query: Query) -> Reply:
        """Figures over time; see `retraind.web.trends`."""
        from retraind.web.trends import answer

        return answer.reply(self._worker.home.trends, query)

    def _listed(self, entries: "List", **more: object) -> Reply:
        from retraind.web.lists import listing

        return listing.reply(entries, self._worker.settings.server.root_path, more)


def _waiting(status: Status) -> Waiting:
    """The content of the inbox: drops to be read, and by name entries that are not files (a link, a folder, a pipe)."""
    return {"files": status.backlog_files, "bytes": status.backlog_bytes, "not_taken": status.not_taken}


def _list(name: str, rows: Sequence[Mapping[str, object]], **more: object) -> Reply:
    return json_object({name: rows, "count": len(rows), **more})
