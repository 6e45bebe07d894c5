"""The chain of a version as a tree that a person can read, from the drops that taught it to the predictions that it made."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from daemon.cli.report import printable
from daemon.core.states import DropState
from daemon.schema import score_names

WIDTH = 1000
"""Columns; lines are as long as they are, up to this."""


def show(found: dict[str, Any]) -> None:
    """`daemon.records.lineage.of` on standard output."""
    tree = Tree(_text(f"version {found['version']} · {found['candidate']} · {found['state']}: {found['reason']}"))
    for title, branches in _branches(found):
        branch = tree.add(_text(title))
        for line in branches:
            branch.add(_text(line))
    # The terminal breaks long lines where it must; rich would break the sums of bytes that people want to copy.
    Console(width=WIDTH, markup=False, emoji=False, highlight=False).print(tree)


def _branches(found: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    yield _drops(found)
    yield _batches(found["batches"])
    revision, run = found["revision"], found["run"]
    yield f"revision {revision['commit']}", [f"DVC md5 {revision['dvc_md5']}", f"{revision['rows']:,} rows"]
    number = "run" if run["id"] is None else f"run {run['id']}"
    took = f"{run['seconds']:.1f} s, ended {run['ended_at']}" if run.get("seconds") else "its end was not recorded"
    yield f"{number}: {run['reason']}", [f"MLflow run {run['mlflow_run']}", took]
    bundle = found["bundle"]
    trained = f"trained on {found['trained_rows']:,} rows"
    said = "; ".join(filter(None, [trained, bundle.get("scored")]))
    yield f"version {found['version']}, judged {found['judged_at']}", [said, *_scores(found["scores"])]
    files = [f"{name}  sha256 {sha256}" for name, sha256 in (bundle["files"] or {}).items()]
    yield f"bundle sha256 {bundle['sha256']}", files or [bundle["problem"]]
    served = [f"from {one['from']} to {one['to'] or 'now'}: {one['reason']}" for one in found["served"]]
    yield "served" if served else "never served", served
    if shadow := found["shadow"]:
        yield "tried", [f"beside version {one['champion']}: {score_names.agreement(one)}" for one in shadow]
    made = found["predictions"]
    times = [f"from {made['first_at']} to {made['last_at']}"] if made["count"] else []
    yield f"{made['count']:,} predictions in the history", times


def _drops(found: dict[str, Any]) -> tuple[str, list[str]]:
    drops = found["drops"]
    lines = [_drop(one) for one in drops["newest"]]
    if drops["count"] > len(lines):
        lines.append(f"… and {drops['count'] - len(lines):,} older ones (--limit)")
    return (
        f"{drops['count']:,} drops with {drops['rows']:,} rows{_window(found['bundle'].get('settings') or {})}",
        lines,
    )


def _drop(one: dict[str, Any]) -> str:
    gone = (
        f"  FORGOTTEN {one['forgotten_at']}, in batch {one['forgotten_in']}"
        if one["state"] == DropState.FORGOTTEN
        else ""
    )
    return f"{one['name']}  {one['rows']:,} rows  batch {one['batch']}  {one['source']}{gone}  sha256 {one['sha256']}"


def _window(settings: dict[str, Any]) -> str:
    """What a training that looked at recent rows only left out."""
    limits = {"rows": settings.get("window_rows"), "days": settings.get("window_days")}
    said = " and ".join(f"{value:g} {unit}" for unit, value in limits.items() if value)
    return f", of which it saw the newest {said}" if said else ""


def _batches(batches: dict[str, Any]) -> tuple[str, list[str]]:
    lines = [
        f"batch {one['seq']}  {one['rows']:+,} rows  {one['kind']}  {one['accepted_at']}" for one in batches["newest"]
    ]
    if batches["count"] > len(lines):
        lines.append(f"… and {batches['count'] - len(lines):,} older ones (--limit)")
    return f"{batches['count']:,} batches", lines


def _scores(scores: dict[str, Any]) -> Iterator[str]:
    for name, score in scores.get("challenger", {}).items():
        value = score_names.value(score)
        if value is not None:
            yield f"{score_names.TITLES[score_names.deciding(score)]} {value:.4f} on the {name} holdout (n={score['n']})"


def _text(line: str) -> Text:
    return Text(printable(line))
