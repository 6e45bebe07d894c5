"""The champion's path from the drops to the service, with a station for each step."""

from typing import TypedDict

from retraind.daemon.core.journal_rows import BatchRow
from retraind.daemon.core.states import BatchKind
from retraind.daemon.records.lineage_chain import TrainingDrop
from retraind.daemon.records.records import Records
from retraind.web.dashboard.facts import Facts


class Station(TypedDict):
    """One step of the path."""

    kind: str
    name: str
    detail: str
    id: str
    """The full identity that `name` shortens; empty without one."""


def stations(facts: Facts, records: Records) -> list[Station]:
    """The stations, the drops first; none without a champion in the journal."""
    row = facts.champion
    if row is None or facts.pointer is None:
        return []
    batch = records.batches.at(row["revision"])
    run = records.runs.of_version(row["version"])
    stations = [
        _station("revision", row["revision"][:10], f"{row['rows']:,} rows, DVC {row['dvc_md5'][:10]}", row["revision"])
    ]
    if batch:
        earlier = f" after {batch['seq'] - 1} earlier" if batch["seq"] > 1 else ""
        stations.insert(0, _station("batch", f"no. {batch['seq']}{earlier}", _brought(batch), batch["sha256"]))
        stations.insert(0, _dropped(records.drops.until(batch["seq"], 4)))
    seconds = f", {run['seconds']:.1f} s" if run and run["seconds"] else ""
    stations.append(_station("run", row["mlflow_run"][:8], f"{row['trigger']}{seconds}", row["mlflow_run"]))
    stations.append(_station("version", f"v{row['version']} · {row['candidate']}", row["reason"], row["bundle"]))
    stations.append(_station("predictor", f"since {facts.pointer.since[:16].replace('T', ' ')} UTC", row["backend"]))
    return stations


def _dropped(drops: list[TrainingDrop]) -> Station:
    """The step of the newest drops; it names the first three."""
    names = ", ".join(drop["name"] for drop in drops[:3]) + (", …" if len(drops) > 3 else "")
    at = f"accepted {drops[0]['decided_at'][:16].replace('T', ' ')} UTC" if drops else ""
    return _station("drops", names or "all forgotten", at)


def _brought(batch: BatchRow) -> str:
    return f"{-batch['rows']:,} rows forgotten" if batch["kind"] == BatchKind.FORGET else f"{batch['rows']:,} rows"


def _station(kind: str, name: str, detail: str, identity: str = "") -> Station:
    return {"kind": kind, "name": name, "detail": detail, "id": identity}
