"""MODEL_CARD.md: data, scores, limits and lineage of a version, for whoever gets the model without the home."""

from collections.abc import Iterator, Sequence

from retraind.daemon.core.settings import Train
from retraind.daemon.export import card_columns, card_intervals
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.export.table_columns import cell, code
from retraind.daemon.records import live_score
from retraind.daemon.records.versions import Versions
from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.scores import HOLDOUTS, DummyScore, Holdout, Metric, Score

TITLES = {"reference": "held-out rows of the first data", "rolling": "all held-out rows"}

FIGURES: tuple[Metric, ...] = ("accuracy", "balanced_accuracy", "log_loss", "roc_auc", "cost", "r2", "rmse", "mae")


def text(version: ExportedVersion) -> str:
    """The whole card, in Markdown; equal records give equal bytes."""
    parts = [_about, _data, _scores, _limits, _lineage, _licence]
    return "\n".join(line for part in parts for line in [*part(version), ""])


def _about(version: ExportedVersion) -> Iterator[str]:
    manifest, schema, chain = version.manifest, version.schema, version.chain
    yield f"# Model card: {cell(schema.target)}, version {version.number}"
    yield ""
    yield f"* Task: {schema.task} of {code(schema.target)}" + (
        f" ({len(schema.classes)} classes)" if schema.classes else ""
    )
    yield f"* Candidate: {code(manifest.candidate)}"
    yield f"* Estimator: {code(' '.join(manifest.estimator.split()))}"
    yield f"* Verdict: {chain['state']}, {chain['judged_at']}: {cell(chain['reason'])}"
    yield f"* Trained: {manifest.created}. The figures are those that the records had at {_as_of(version)}."


def _as_of(version: ExportedVersion) -> str:
    """The newest moment in the records that the card shows; the time of the export would make each card another one."""
    chain = version.chain
    times = [version.manifest.created, chain["judged_at"], *(period["from"] for period in chain["served"])]
    return max([*times, *(period["to"] for period in chain["served"] if period["to"])])


def _data(version: ExportedVersion) -> Iterator[str]:
    manifest, drops, scores = version.manifest, version.chain["drops"], version.manifest.scores
    yield "## Data"
    yield ""
    yield f"* Rows: {manifest.rows:,} in the revision; {manifest.trained_rows:,} trained this model."
    yield f"* Revision: git commit `{manifest.revision}`, DVC `{manifest.dvc_md5}`"
    trained, held = (
        (scores.get("taught") or {}).get("support", {}),
        (score_caveats.rolling(scores) or Score(n=0)).get("support", {}),
    )
    if version.schema.classes:
        yield ""
        yield "| class | rows that trained the scored model | held-out rows |"
        yield "|---|---:|---:|"
        for name in version.schema.classes:
            yield f"| {cell(name)} | {trained.get(name, 0):,} | {held.get(name, 0):,} |"
    yield ""
    yield "| drop | sha256 | rows | accepted |"
    yield "|---|---|---:|---|"
    for drop in drops["newest"]:
        yield f"| {cell(drop['name'])} | `{drop['sha256']}` | {drop['rows']:,} | {drop['decided_at']} |"
    if (more := drops["count"] - len(drops["newest"])) > 0:
        yield f"| … and {more:,} older drops | | | |"


def _scores(version: ExportedVersion) -> Iterator[str]:
    scores = version.manifest.scores
    yield "## Scores"
    yield ""
    yield f"On rows that did not train the scored model. {_capital(version.manifest.scored)}"
    yield ""
    yield "| rows | n | metric | value | 95 % interval | always the same answer |"
    yield "|---|---:|---|---:|---|---:|"
    for name in HOLDOUTS:
        if (score := (scores.get("challenger") or {}).get(name)) and score["n"]:
            yield from _holdout(version, name, score)
    yield ""
    yield "Intervals of accuracy are Wilson's; others resample the held-out rows of the first data, whose answers the bundle keeps."
    yield ""
    yield from _by_class(score_caveats.rolling(scores))
    if caveats := score_caveats.of(scores):
        yield f"Caveats: {cell('; '.join(caveats))}."
        yield ""
    yield from _live(version)


def _holdout(version: ExportedVersion, name: Holdout, score: Score) -> Iterator[str]:
    """A line for each figure on one holdout."""
    dummy = (version.manifest.scores.get("dummy") or {}).get(name) or DummyScore(n=0)
    intervals = dict(card_intervals.bootstrapped(version, score, FIGURES)) if name == "reference" else {}
    if "accuracy" in score:
        intervals["accuracy"] = live_score.wilson(round(score["accuracy"] * score["n"]), score["n"])
    for metric in FIGURES:
        value = score.get(metric)
        if isinstance(value, float):
            ends = intervals.get(metric)
            interval = f"{_plain(ends[0])} to {_plain(ends[1])}" if ends else "–"
            figures = f"{_plain(value)} | {interval} | {_plain(dummy.get(metric))}"
            yield f"| {TITLES[name]} | {score['n']:,} | {score_names.TITLES[metric]} | {figures} |"


def _by_class(score: Score | None) -> Iterator[str]:
    if score is None or not (recall := score.get("recall")):
        return
    yield "| class | recall on all held-out rows | 95 % interval | rows |"
    yield "|---|---:|---|---:|"
    for name, share in recall.items():
        n = score.get("support", {}).get(name, 0)
        yield f"| {cell(name)} | {share:.4f} | {_wilson(share, n)} | {n:,} |"
    yield ""


def _live(version: ExportedVersion) -> Iterator[str]:
    live = version.chain["live"]
    if not live or not live["n"]:
        yield "No late labels: how well it answers live requests is not known."
        return
    yield f"On late labels of live requests: {score_names.with_name(live, score_names.judged(live))} ({live['n']:,} labels)."


def _capital(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}." if sentence else ""


def _plain(value: object) -> str:
    return score_names.plain(value) if isinstance(value, float) else "–"


def _wilson(share: float, n: int) -> str:
    if not n:
        return "–"
    low, high = live_score.wilson(round(share * n), n)
    return f"{low:.4f} to {high:.4f}"


def _limits(version: ExportedVersion) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "It has seen these values in training; beyond them its answers are extrapolated. The ranges and shares are those of a sample of its training rows."
    yield ""
    yield from card_columns.table(version.schema, version.sample)
    yield ""
    yield "* A category that is not listed, and one that is missing, are the same to the model."
    importance = sorted((version.manifest.scores.get("importance") or {}).items(), key=lambda entry: -entry[1])
    if importance:
        shown = ", ".join(f"{cell(name)} {value:.3f}" for name, value in importance[:10])
        yield f"* Most important columns (loss of score if their values are shuffled): {shown}."
    yield f"* Drift: {_drift(version)}"


def _drift(version: ExportedVersion) -> str:
    check = Versions(version.home).drift(version.number)
    if check is None:
        return "the newest check, if there is one, was not of this version."
    return f"{check['state']} at {check['at']}. {cell(check['reason'])}"


def _lineage(version: ExportedVersion) -> Iterator[str]:
    manifest, chain, run = version.manifest, version.chain, version.chain["run"]
    yield "## Lineage"
    yield ""
    yield f"* Training: run {run['id'] or 'not recorded'}, MLflow run `{manifest.run}`, because: {cell(manifest.reason)}"
    yield f"* Bundle: manifest sha256 `{version.model.sha256}`"
    if tuned := manifest.scores.get("tuned"):
        yield f"* Tuned parameters: {code(repr(tuned['parameters']))} ({tuned['tried']} tried)"
    defaults = Train().model_dump()
    changed = {key: value for key, value in manifest.settings.items() if value != defaults.get(key)}
    yield f"* Seed {manifest.seed}; settings of the training that differ from the defaults: " + (
        ", ".join(code(f"train.{key} = {value!r}") for key, value in sorted(changed.items())) or "none"
    )
    yield f"* Libraries of the training: {', '.join(f'{name} {release}' for name, release in manifest.libraries.items())}"
    yield from _candidates(version)
    for period in chain["served"]:
        yield f"* Served from {period['from']} to {period['to'] or 'now'}: {cell(period['reason'])}"


def _candidates(version: ExportedVersion) -> Iterator[str]:
    scores = version.manifest.scores
    if compared := scores.get("compared_rows"):
        yield f"* The candidates were compared on a sample of {compared:,} training rows."
    for candidate in scores.get("candidates", []):
        figures: Sequence[str] = [
            f"{name} {value:.4f}"
            for name, value in candidate.items()
            if name.startswith("cv_") and isinstance(value, float)
        ]
        yield f"* Candidate {code(candidate['name'])}: {', '.join(figures)}"
    for name, reason in (scores.get("left_out") or {}).items():
        yield f"* Left out {code(name)}: {cell(reason)}"


def _licence(version: ExportedVersion) -> Iterator[str]:
    yield "## Licence"
    yield ""
    yield "The records name no licence for the data or the model: ask whoever owns the data. The files of code in this folder are retraind's, under the Apache License 2.0."
