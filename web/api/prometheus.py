"""The metrics in the formats of Prometheus; the only module that imports prometheus-client."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from retraind import release
from retraind.daemon.core.drift_report import DriftCheck
from retraind.daemon.core.node.messages import NodeReport
from retraind.daemon.core.states import RunState
from retraind.daemon.core.status import Status
from retraind.daemon.core.trends.latency import BOUNDS
from retraind.daemon.records.drops.exams import Prequential
from retraind.daemon.records.totals import TIMES, Latest
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import Agreement, Score, Scored
from retraind.web.metrics.families import DAEMON, FAMILIES
from retraind.web.metrics.totals import Totals
from retraind.web.protocols import routes
from retraind.web.serving.predictor import Predictor

Samples = list[tuple[list[str], float]]


@dataclass(frozen=True, eq=False)
class Report(Collector):
    """All data of one scrape; `counts` is `records.totals.counts()`, `swaps` and `labels` are totals.

    `live` is the live score of the predictor's version, see `retraind.daemon.records.live_score`; `drift` the newest check, see `retraind.web.dashboard.drift`.
    """

    totals: Totals
    counts: dict[str, dict[str, int]]
    swaps: int
    labels: int
    live: Score | None
    drift: DriftCheck
    status: Status | None
    predictor: Predictor | None
    agreement: Agreement | None = None
    """Agreement of the held version with the served one; see `retraind.daemon.records.lineage.agreements`."""
    exams: Prequential | None = None
    """Results of the exams of drops; see `retraind.daemon.records.drops.exams.prequential`."""
    held: int = 0
    """Drops that wait for a decision."""
    nodes: Sequence[NodeReport] = ()
    """On a leader all serving nodes, on a node itself."""
    versions: Sequence[JudgedVersion] = ()
    """Those whose scores are shown."""
    latest: Latest | None = None
    answers: Mapping[str, int] = field(default_factory=dict)
    """The served version's newest predictions by class."""

    def collect(self) -> Iterator[Metric]:
        """All families of the closed list, including those without a sample yet."""
        samples = {
            **self._serving(),
            **self._shadow(),
            **self._journal(),
            **self._model(),
            **self._latest(),
            **self._drift(),
            **self._daemon(),
            **self._leader(),
            **self._nodes(),
        }
        for name, kind, meaning, labels in FAMILIES:
            if kind == "histogram":
                yield self._durations(name, meaning)
                continue
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, meaning, labels=labels)
            for values, number in samples[name]:
                family.add_metric(values, number)
            yield family

    def _predicting(self) -> dict[str, float]:
        codes: dict[str, float] = {}
        for (route, code), number in self.totals.requests.items():
            if routes.predicts(route):
                codes[code] = codes.get(code, 0.0) + number
        return codes

    def _serving(self) -> dict[str, Samples]:
        requests = self.totals.requests.items()
        model = self.predictor
        live = score_names.value(self.live)
        info = [([str(model.version), model.manifest.candidate, model.manifest.backend], 1.0)] if model else []
        return {
            "prediction_requests": [([code], number) for code, number in self._predicting().items()],
            "retraind_predictions": [([version], number) for version, number in self.totals.predictions.items()],
            "retraind_predictions_lost": [([], self.totals.lost)],
            "retraind_http_requests": [([route, code], number) for (route, code), number in requests],
            "retraind_auth_failures": [([], self.totals.auth_failures)],
            "retraind_http_workers": [([], len(self.totals.live))],
            "retraind_build_info": [([release.VERSION, release.COMMIT or "", platform.python_version()], 1.0)],
            "retraind_model_info": info,
            "retraind_live_score": [([str(model.version)], live)] if model and live is not None else [],
            "retraind_model_load_failures": [([], self.totals.load_failures)],
        }

    def _model(self) -> dict[str, Samples]:
        scores = [
            ([str(row["version"]), holdout], score_names.value(score))
            for row in self.versions
            for holdout, score in _holdouts(row["scores"].get("challenger"))
        ]
        return {
            "retraind_holdout_score": [(labels, score) for labels, score in scores if score is not None],
            "retraind_recent_predictions": [([name], number) for name, number in self.answers.items()],
        }

    def _latest(self) -> dict[str, Samples]:
        latest, exam = self.latest, self.latest["exam"] if self.latest else None
        times = {name: latest[name] if latest else None for name in TIMES}
        samples: dict[str, Samples] = {
            f"retraind_last_{name}_timestamp_seconds": [([], datetime.fromisoformat(at).timestamp())] if at else []
            for name, at in times.items()
        }
        samples["retraind_exam_last_error"] = [([], exam["error"])] if exam else []
        samples["retraind_exam_usual_error"] = [([], exam["usual"])] if exam else []
        return samples

    def _shadow(self) -> dict[str, Samples]:
        agreement = self.agreement
        version = [str(agreement["version"])] if agreement else []
        share = (
            agreement["agreed"] / agreement["n"]
            if agreement and agreement["n"] and agreement["agreed"] is not None
            else None
        )
        difference = agreement["difference"] if agreement else None
        return {
            "retraind_shadow_answers": [(version, agreement["n"])] if agreement else [],
            "retraind_shadow_agreement": [(version, share)] if share is not None else [],
            "retraind_shadow_difference": [(version, difference)] if difference is not None else [],
            "retraind_shadow_dropped": [([], self.totals.shadow_dropped)],
        }

    def _journal(self) -> dict[str, Samples]:
        runs, rows = self.counts["runs"], self.counts["rows"]
        return {
            "retraind_model_swaps": [([], self.swaps)],
            "retraind_labels": [([], self.labels)],
            "retraind_versions": [([state], number) for state, number in self.counts["versions"].items()],
            "retraind_training_runs": [
                ([state], number) for state, number in runs.items() if state != RunState.STARTED
            ],
            "retraind_drops": [([state], number) for state, number in self.counts["drops"].items()],
            "retraind_rows_refused": [([], rows["refused"] + rows["rejected"])],
            "retraind_exam_error": [([], self.exams["error"])] if self.exams else [],
            "retraind_drops_held": [([], self.held)],
            "retraind_drops_suspicious": [([], self.exams["suspicious"] if self.exams else 0)],
        }

    def _drift(self) -> dict[str, Samples]:
        tested, drifted = self.drift["tested"], self.drift["drifted"]
        sizes = [
            ([feature["name"]], feature["size"]) for feature in self.drift["features"] if feature["size"] is not None
        ]
        return {
            "retraind_drift": sizes,
            "retraind_drift_features": [([], drifted)],
            "retraind_drift_share": [([], drifted / tested)] if tested else [],
            "retraind_drift_alarm": [([], self.drift["alarm"])],
        }

    def _daemon(self) -> dict[str, Samples]:
        status = self.status
        samples: dict[str, Samples] = {"retraind_daemon_up": [([], float(status is not None and status.alive))]}
        for family, figure in DAEMON.items():
            value = getattr(status, figure) if status else None
            samples[family] = [] if value is None else [([], value)]
        longest = status.longest_step if status else None
        samples["retraind_longest_step_seconds"] = [([], longest.seconds)] if longest else []
        checks = status.checks.items() if status else ()
        return {**samples, "retraind_check_ok": [([name], float(check.ok)) for name, check in checks]}

    def _leader(self) -> dict[str, Samples]:
        status = self.status
        if status is None or status.leadership is None:
            return {"retraind_leader": [], "retraind_leader_epoch": []}
        leads = float(status.alive and status.state != "standby")
        return {"retraind_leader": [([], leads)], "retraind_leader_epoch": [([], float(status.leadership.epoch))]}

    def _nodes(self) -> dict[str, Samples]:
        return {
            "retraind_node_generation": [([node.name], float(node.generation)) for node in self.nodes],
            "retraind_node_generation_age_seconds": [([node.name], node.age) for node in self.nodes],
        }

    def _durations(self, name: str, meaning: str) -> HistogramMetricFamily:
        cumulative, seen = [], 0
        for bound, number in zip([*map(str, BOUNDS), "+Inf"], self.totals.buckets, strict=True):
            seen += number
            cumulative.append((bound, float(seen)))
        return HistogramMetricFamily(name, meaning, buckets=cumulative, sum_value=self.totals.seconds)


def _holdouts(scored: Scored | None) -> list[tuple[str, Score | None]]:
    """The scores of a version by the name of the holdout."""
    return [("reference", scored.get("reference")), ("rolling", scored.get("rolling"))] if scored else []


def expose(report: Report, accept: str) -> tuple[bytes, str]:
    """The exposition text and its content type, in the format that the Accept header prefers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(report)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
