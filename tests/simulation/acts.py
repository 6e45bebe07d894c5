"""What may happen in between two steps of the loop: everything that users, other processes and the machine do."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import deliveries
import postgres as servers
from players import Trainee
from points import Fault
from world import Asked

from benchmarks.postgres import Postgres
from retraind.daemon.core import requests
from retraind.daemon.records.server import reader
from retraind.daemon.storage.model_versions import CHAMPION

if TYPE_CHECKING:
    from lives import Life

DAY = 86_400.0


class Act(NamedTuple):
    """One kind of action: how likely it is beside the others, and what it does; the text that it gives goes into the trace."""

    weight: float
    do: "Callable[[Life], str]"


# Requests


def _ask(life: "Life", kind: requests.Kind, **about: Any) -> str:
    asked = requests.submit(life.home, kind, **about)
    life.world.asked.append(Asked(asked.id, kind, about.get("drop", ""), about.get("purge", False)))
    return f"{kind} {about} ({asked.id[:8]})"


def forget(life: "Life") -> str:
    world = life.world
    sha256 = world.random.choice([one for one, content in world.contents.items() if content.rows])
    text = _ask(life, "forget", drop=sha256, purge=world.random.random() < 0.5)
    world.asked[-1].known = sha256 in life.truths.accepted
    return text


def retrain(life: "Life") -> str:
    return _ask(life, "retrain", force=life.world.random.random() < 0.5)


def promote(life: "Life") -> str:
    versions = [None, *range(1, life.versions() + 2)]
    return _ask(life, "promote", version=life.world.random.choice(versions))


def refuse(life: "Life") -> str:
    return _ask(life, "refuse")


def rollback(life: "Life") -> str:
    return _ask(life, "rollback")


def alias(life: "Life") -> str:
    """The alias is moved on MLflow's page."""
    version = life.world.random.randint(1, max(1, life.versions()))
    life.registry.client.set_registered_model_alias("retraind", CHAMPION, str(version))
    return f"to version {version}"


# Other processes


def training(life: "Life") -> str:
    trainee: Trainee = life.trainee
    if trainee.job is None:
        return "none runs"
    return trainee.go_on(life.world.random.choice((85, 90, 95, 99)))


def training_fails(life: "Life") -> str:
    if life.trainee.job is None:
        return "none runs"
    life.trainee.fail()
    return ""


def trainer_dies(life: "Life") -> str:
    life.trainee.die(-signal.SIGKILL)
    return ""


def worker_dies(life: "Life") -> str:
    life.staff.alive = 0
    life.staff.said.append("HTTP worker 0 ended with -9; it restarts.")
    return ""


def complains(life: "Life") -> str:
    life.staff.complaints = () if life.staff.complaints else ("It does not load.",)
    return str(life.staff.complaints)


# People and the machine


def edit_schema(life: "Life") -> str:
    """An editor writes the schema: for a while the file is not a schema, or the same schema is written again."""
    path, world = life.home.schema, life.world
    if world.schema_broken:
        mend_schema(life)
        return "whole again"
    if world.random.random() < 0.5:
        path.write_bytes(path.read_bytes())
        return "written again"
    kept = path.with_name("schema.json.kept")
    kept.write_bytes(path.read_bytes())
    path.write_bytes(b"{")
    world.schema_broken = True
    world.disturb()
    return "broken"


def mend_schema(life: "Life") -> None:
    """The schema is as it was before it was broken."""
    (life.home.schema.with_name("schema.json.kept")).rename(life.home.schema)
    life.world.schema_broken = False
    life.world.disturb()


def set_clock(life: "Life") -> str:
    """The wall clock is set, both ways, by minutes to months."""
    world = life.world
    seconds = world.random.choice((60.0, 7200.0, DAY, 200 * DAY)) * world.random.choice((-1, 1))
    world.clock.set(seconds)
    return f"by {seconds:+.0f} s"


def time_passes(life: "Life") -> str:
    seconds = life.world.random.choice((1.0, 20.0, 600.0, 4000.0))
    life.world.clock.now += seconds
    return f"{seconds:.0f} s"


def full(life: "Life") -> str:
    world = life.world
    world.fault = Fault("full", world.random.randint(3, 25))
    world.disturb()
    return f"for {world.fault.left} turns"


def fails_once(life: "Life") -> str:
    world = life.world
    world.fault = Fault("once", world.random.randint(1, 40))
    world.disturb()
    return f"at change {world.fault.left}"


def dies_later(life: "Life") -> str:
    world = life.world
    world.fault = Fault("kill", world.random.randint(1, 60))
    world.disturb()
    return f"at change {world.fault.left}"


def dies(life: "Life") -> str:
    life.die("between two steps")
    return ""


def stops(life: "Life") -> str:
    life.stop()
    return ""


# The journal's server


def session_ends(life: "Life") -> str:
    """The server ends the daemon's sessions, as an administrator or a restart does."""
    servers.terminate(Postgres(Path(life.world.server)), f"retraind {os.getpid()} on %")
    reader.close()
    life.world.disturb()
    return ""


def server_goes(life: "Life") -> str:
    """The server takes no connections for a while."""
    session_ends(life)
    life.world.fault = Fault("away", life.world.random.randint(2, 20))
    return f"for {life.world.fault.left} turns"


def answer_lost(life: "Life") -> str:
    """The connection ends in a commit; the server may then be away for longer than the daemon waits for its answer."""
    random = life.world.random
    made, then = random.random() < 0.5, random.choice((0, 0, 10, MORE_THAN_PATIENCE))
    life.world.fault = Fault("made" if made else "unmade", random.randint(1, 15), then)
    life.world.disturb()
    return f"{life.world.fault.kind}, at commit {life.world.fault.left}, then {then} turns away"


MORE_THAN_PATIENCE = 200
"""Turns of a tenth of a second: see ANSWER_SECONDS in daemon/storage/server/database.py."""

ACTS = {
    "small drop": Act(10, deliveries.small), "drop with bad rows": Act(3, deliveries.mixed), "large drop": Act(3, deliveries.large),
    "packed drop": Act(2, deliveries.packed), "refused drop": Act(2, deliveries.refused), "drop again": Act(3, deliveries.again),
    "posted row": Act(2, deliveries.posted), "predictions": Act(3, deliveries.predicted), "late labels": Act(3, deliveries.labelled),
    "ask: forget": Act(4, forget), "ask: retrain": Act(2, retrain), "ask: promote": Act(2, promote),
    "ask: refuse": Act(1, refuse), "ask: rollback": Act(1.5, rollback), "alias moved": Act(0.7, alias),
    "training": Act(16, training), "training fails": Act(1, training_fails), "trainer dies": Act(1, trainer_dies),
    "worker dies": Act(0.5, worker_dies), "worker complains": Act(0.7, complains), "schema edited": Act(1, edit_schema),
    "clock set": Act(2, set_clock), "time passes": Act(3, time_passes), "disk full": Act(1, full),
    "disk fails": Act(1.5, fails_once), "death to come": Act(1.5, dies_later), "death": Act(0.7, dies),
    "stop": Act(0.5, stops),
}  # fmt: skip
"""Every kind of action by its name in the trace."""

SERVER_ACTS = {
    "session ends": Act(2, session_ends),
    "server goes": Act(2, server_goes),
    "answer lost": Act(4, answer_lost),
}
"""Those of a world whose journal is on a server."""
