"""The metrics of the service, as JSON and for Prometheus."""

from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema.scores import Agreement
from retraind.web.api import node
from retraind.web.http.reply import Reply, json_object
from retraind.web.metrics import totals
from retraind.web.worker_state import Worker

RECENT = 1000
"""Number of newest predictions that are counted by class."""

CLASSES = 20
"""Maximum number of classes with a count of their own; a label with more values would burden Prometheus."""

VERSIONS = 20
"""Number of newest versions whose scores are shown."""


class ServedSummary(totals.Summary):
    """The figures, and the version that this worker serves."""

    model_version: int | None


class Figures:
    """The metrics of all workers; each method raises what the records raise."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def metrics(self, accept: str) -> Reply:
        """Metrics as JSON, or in the format of Prometheus if `accept` (the header Accept) comes from a scraper."""
        # Clients that expect JSON may accept text as well, as axios does in all its requests.
        plain = "text/plain" in accept and "application/json" not in accept
        scraped = plain or "application/openmetrics-text" in accept
        return self.exposition(accept) if scraped else json_object(self.summary())

    def exposition(self, accept: str) -> Reply:
        """Metrics in the format of Prometheus."""
        from retraind.web.api import prometheus
        from retraind.web.dashboard import drift

        worker, records = self._worker, self._worker.records
        last, predictor = records.swaps.newest(1), worker.slot.current
        report = prometheus.Report(
            worker.totals(),
            records.totals.counts(),
            last[0]["id"] if last else 0,
            records.totals.labels(),
            records.versions.live(predictor.version) if predictor else None,
            drift.newest(records, worker.slot.version, worker.settings),
            worker.slot.status,
            predictor,
            self._agreement(predictor.version) if predictor else None,
            records.drops.prequential(),
            records.held.total(),
            node.reports(worker),
            self._versions(predictor.version if predictor else None),
            records.totals.latest(),
            records.predictions.answers(predictor.version, RECENT, CLASSES) if predictor else {},
        )
        body, content_type = prometheus.expose(report, accept)
        return Reply(body, 200, {"Content-Type": content_type})

    def _versions(self, served: int | None) -> list[JudgedVersion]:
        """The newest versions, and the served one."""
        records = self._worker.records.versions
        newest = records.newest(VERSIONS)
        if served is None or any(row["version"] == served for row in newest):
            return newest
        champion = records.get(served)
        return [*newest, champion] if champion else newest

    def summary(self) -> ServedSummary:
        """The content of GET /metrics."""
        worker = self._worker
        figures = totals.summary(worker.totals(), worker.records.totals.counts(), worker.slot.status, worker.uptime)
        return {**figures, "model_version": worker.slot.version}

    def _agreement(self, champion: int) -> Agreement | None:
        """The agreement of the held version with the served one."""
        held = self._worker.slot.challenger
        return self._worker.records.versions.agreements(champion, [held]).get(held) if held else None
