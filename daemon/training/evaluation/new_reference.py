"""A new reference: newer rows judge if the older ones would refuse a challenger that is surely better on the newer.

`daemon/gate/concept_shift.py` has the rule. The newer rows then stay the reference for later versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts.bundle import Model
from retraind.daemon.core import logs
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import VersionState
from retraind.daemon.gate import concept_shift
from retraind.daemon.gate import rules as verdicts
from retraind.daemon.gate.concept_shift import Change, Codes, Evidence, Vector
from retraind.daemon.gate.terms import Terms
from retraind.daemon.model import Matrix
from retraind.daemon.schema.arrival_times import Era
from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.scores import PastScores, WorldChange
from retraind.daemon.training import losses
from retraind.daemon.training.data import split
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.evaluation import holdouts
from retraind.daemon.training.evaluation.baseline_comparison import Kept, Rules
from retraind.daemon.training.evaluation.holdouts import Compared

log = logs.Logger()


@dataclass(frozen=True)
class Gate:
    """The other inputs of a verdict: the settings, and earlier versions' scores (`daemon/registry/baseline.py`)."""

    promote: Promote
    past: Mapping[int, PastScores]


def gate(facts: Terms | None) -> Gate | None:
    """The gate of a job, from `baseline.gate_terms`; None if the job has none."""
    return Gate(Promote.model_validate(facts["promote"]), dict(facts["past"])) if facts else None


def era(facts: Terms | None) -> Era | None:
    """The time span in which a job's reference rows were accepted, if the world has changed; None: the first revision."""
    return Era(*facts["era"]) if facts and facts["era"] else None


def compare(
    fitted: Any, served: Model | None, data: Data, kept: Kept | None, rules: Rules, judging: Gate | None
) -> Compared:
    """As `holdouts.compare`, with `world`: the time since which rows judge, None for the first drop's.

    With `judging` None, the reference stays.
    """
    compared = holdouts.compare(fitted, served, data, kept, rules)
    compared.scores["world"] = None if data.era is None else {"since": data.era.since, "until": data.era.until}
    if judging is None or served is None or compared.scores["champion"] is None:
        return compared
    objection = _objection(compared, rules, judging)
    change = (
        None if objection is None else concept_shift.changed(_evidence(fitted, served, data, rules), judging.promote)
    )
    if change is None:
        return compared
    turned = holdouts.compare(fitted, served, data.moved(Era(change.since, change.until)), kept, rules)
    turned.scores["world"] = _world(change, objection)
    still = _objection(turned, rules, judging)
    log.info("world_changed", since=change.since, days=change.days, objection=objection, still=still)
    return compared if still else turned


def _world(change: Change, objection: str | None) -> WorldChange:
    """The change, and the older rows' objection to the challenger."""
    world: WorldChange = {
        "since": change.since,
        "until": change.until,
        "days": change.days,
        "drops": change.drops,
        "n": change.n,
        "gain": change.gain,
    }
    return world if objection is None else {**world, "objection": objection}


def _objection(compared: Compared, rules: Rules, judging: Gate) -> str | None:
    verdict = verdicts.judge({**compared.scores, "champion_version": rules.champion}, judging.promote, judging.past)
    return verdict.reason if verdict.state == VersionState.REFUSED else None


def _evidence(fitted: Any, served: Model, data: Data, rules: Rules) -> Evidence:
    """Challenger and champion on the held-out rows after the reference that neither was trained on.

    Only the oldest of copies.
    """
    held = data.held
    new, old = holdouts.answers_of(fitted, data), holdouts.answers_of_served(served, data)
    assert old is not None
    part, truth = _newer(data), data.targets[held]
    answers = new[part], old[part], truth[part]
    gain, arrived = -losses.by_row(*answers, rules.judged_by(data.schema.task), rules.costs), data.arrived
    rows = arrived.times[held][part], arrived.drops[held][part], arrived.sources[held][part].astype(np.int64)
    return Evidence(gain, *rows, *_by_class(*answers, data, rules.costs), int(data.reference.sum()))


def _newer(data: Data) -> NDArray[np.bool_]:
    """The held-out rows (m,) that came after the reference and trained neither version; only the oldest of copies."""
    held = data.held
    times, reference = data.arrived.times[held], data.reference[held]
    everything = np.ones(len(times), dtype=bool)
    oldest = split.without_copies(data.copies[held], data.targets[held].astype(np.float64), everything)
    after = times[reference].max() if reference.any() else -np.inf
    return np.asarray(oldest & data.fair[held] & data.recent[held] & ~reference & (times > after))


def _by_class(
    new: Matrix, old: Matrix, truth: NDArray[Any], data: Data, costs: Costs | None
) -> tuple[Codes, Vector, Vector]:
    """For each row: its class; 1 or -1 if only challenger or only champion has it right; whether the champion has."""
    if data.schema.task == "regression":
        nothing = np.zeros(len(truth))
        return nothing.astype(np.int64), nothing, nothing
    now, before = ((named(answers, costs) == truth).astype(np.float64) for answers in (new, old))
    return truth.astype(np.int64), now - before, before
