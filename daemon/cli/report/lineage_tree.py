"""The lineage of a version as a tree for people, from the drops that it was trained on to its predictions."""

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from retraind.daemon.artifacts import evaluation, manifest
from retraind.daemon.artifacts.evaluation import Evaluation
from retraind.daemon.artifacts.manifest import Summary
from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.core.errors import NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.records import lineage
from retraind.daemon.records.lineage_chain import Links, TrainingBatches, TrainingDrop
from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import HOLDOUTS, Scores


class DescribedChain(Links):
    """The lineage of a version with its bundle described, and how it scored in detail."""

    bundle: Summary
    evaluation: Evaluation | None


WIDTH = 1000
"""Columns of the output; longer lines break."""


def read(home: Home, number: int, limit: int) -> DescribedChain:
    """A version's origin and use (see `retraind.daemon.records.lineage`), with its bundle; raises NotFound."""
    with reading(home):
        chain = lineage.of(home, number, limit)
    if chain is None:
        raise NotFound(f"There is no version {number}.", hint="`retraind versions` lists them.")
    folder, sha256 = home.bundle(number), chain["bundle"]
    return {**chain, "bundle": manifest.summary(folder, sha256), "evaluation": evaluation.of_bundle(folder, sha256)}


def show(chain: DescribedChain) -> None:
    """Print the result of `read`."""
    tree = Tree(_text(f"version {chain['version']} · {chain['candidate']} · {chain['state']}: {chain['reason']}"))
    for title, branches in _branches(chain):
        branch = tree.add(_text(title))
        for line in branches:
            branch.add(_text(line))
    # The terminal breaks long lines; rich would break the hashes that people want to copy.
    Console(width=WIDTH, markup=False, emoji=False, highlight=False).print(tree)


def _branches(chain: DescribedChain) -> Iterator[tuple[str, list[str]]]:
    yield _drops(chain)
    yield _batches(chain["batches"])
    revision, run = chain["revision"], chain["run"]
    yield f"revision {revision['commit']}", [f"DVC md5 {revision['dvc_md5']}", f"{revision['rows']:,} rows"]
    number = "run" if run["id"] is None else f"run {run['id']}"
    took = f"{run['seconds']:.1f} s, ended {run['ended_at']}" if run.get("seconds") else "its end was not recorded"
    yield f"{number}: {run['reason']}", [f"MLflow run {run['mlflow_run']}", took]
    bundle = chain["bundle"]
    trained = f"trained on {chain['trained_rows']:,} rows"
    said = "; ".join(filter(None, [trained, bundle.get("scored")]))
    yield f"version {chain['version']}, judged {chain['judged_at']}", [said, *_scores(chain["scores"])]
    files = [f"{name}  sha256 {sha256}" for name, sha256 in (bundle["files"] or {}).items()]
    yield f"bundle sha256 {bundle['sha256']}", files or [bundle["problem"] or ""]
    served = [f"from {one['from']} to {one['to'] or 'now'}: {one['reason']}" for one in chain["served"]]
    yield "served" if served else "never served", served
    if shadow := chain["shadow"]:
        yield "tried", [f"beside version {one['champion']}: {score_names.agreement(one)}" for one in shadow]
    made = chain["predictions"]
    times = [f"from {made['first_at']} to {made['last_at']}"] if made["count"] else []
    yield f"{made['count']:,} predictions in the history", times


def _drops(chain: DescribedChain) -> tuple[str, list[str]]:
    drops = chain["drops"]
    lines = [_drop(one) for one in drops["newest"]]
    if drops["count"] > len(lines):
        lines.append(f"… and {drops['count'] - len(lines):,} older ones (--limit)")
    return (
        f"{drops['count']:,} drops with {drops['rows']:,} rows{_window(chain['bundle'].get('settings') or {})}",
        lines,
    )


def _drop(drop: TrainingDrop) -> str:
    gone = (
        f"  FORGOTTEN {drop['forgotten_at']}, in batch {drop['forgotten_in']}"
        if drop["state"] == DropState.FORGOTTEN
        else ""
    )
    name = drop["origin"] or drop["name"]
    return f"{name}  {drop['rows']:,} rows  batch {drop['batch']}  {drop['source']}{gone}  sha256 {drop['sha256']}"


def _window(settings: Mapping[str, object]) -> str:
    """A note on the rows that a training on recent rows left out; empty for other trainings."""
    limits = {"rows": settings.get("window_rows"), "days": settings.get("window_days")}
    said = " and ".join(f"{value:g} {unit}" for unit, value in limits.items() if value)
    return f", of which it saw the newest {said}" if said else ""


def _batches(batches: TrainingBatches) -> tuple[str, list[str]]:
    lines = [
        f"batch {batch['seq']}  {batch['rows']:+,} rows  {batch['kind']}  {batch['accepted_at']}"
        for batch in batches["newest"]
    ]
    if batches["count"] > len(lines):
        lines.append(f"… and {batches['count'] - len(lines):,} older ones (--limit)")
    return f"{batches['count']:,} batches", lines


def _scores(scores: Scores) -> Iterator[str]:
    challenger = scores.get("challenger") or {}
    for name in HOLDOUTS:
        score = challenger.get(name)
        value = score_names.value(score)
        if score is not None and value is not None:
            yield f"{score_names.TITLES[score_names.deciding(score)]} {value:.4f} on the {name} holdout (n={score['n']})"


def _text(line: str) -> Text:
    return Text(printable(line))
