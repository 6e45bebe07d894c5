"""The search for better parameters: random tries of the best candidates, and a blend of the best of each.

Quickly fitted candidates are tried first, since a few tries of each cost little and their defaults may be far from
their best. Then the two best candidates are tried, every second time near their best parameters so far. A try ends at
the first fold after which it is behind the best of its candidate on the same folds, so most tries cost one fit.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retraind.daemon.core import logs
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.training.selection import blending
from retraind.daemon.training.selection.attempt import Attempt
from retraind.daemon.training.selection.budget import Budget, BudgetUsed
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Scored, Trial, is_behind, settled_by_loss
from retraind.daemon.training.selection.leaders import Leaders
from retraind.daemon.training.selection.search_spaces import SPACES, Draws
from retraind.daemon.training.selection.tasks import Engine, OneByOne
from retraind.daemon.training.selection.tuned import BLEND, Member, Tuned

log = logs.Logger()

FAMILIES = 2
"""Number of the best tunable candidates that are tuned for most of the time."""

QUICK = 0.05
"""A candidate with a cross-validation of at most this share of the time gets FIRST tries, whatever its rank."""

FIRST = 8

MARGIN_TRIES = 4
"""Number of first tries that are drawn from the whole space, because nothing is known about good parameters yet."""

BLEND_SHARE = 0.4
"""Maximum share of the time for a blend's cross-validation; a longer one is not tried."""

LATE = 1.5
"""Factor by which a blend may take longer than its members one by one."""


class Search:
    """A search in progress: `tried` counts its tries."""

    def __init__(self, trial: Trial, ranking: Sequence[Scored], engine: Engine | None = None) -> None:
        self.trial, self.tried = trial, 0
        self.budget = Budget(trial.settings.tune_seconds)
        self.limit = Budget(0)
        """The time that the present tries may take; BudgetUsed is raised after it."""
        self._engine = engine or OneByOne(trial)
        self.leaders = Leaders(trial, ranking)
        self._random = np.random.default_rng(trial.settings.seed)
        self._draws = Draws(self._random, trial.settings.grids)
        self._first = self._first_tries()
        self._members: list[Member] | None = None

    @property
    def families(self) -> list[str]:
        """The tunable candidates, at most FAMILIES, best first."""
        return [name for name in self.leaders.names if name in SPACES][:FAMILIES]

    @property
    def spare(self) -> float:
        """Remaining seconds for tries."""
        return self.budget.left - self._blend_seconds()

    def keep(self, before: Tuned) -> None:
        """Try the champion's parameters on all folds.

        Of a blend, the members' parameters are tried one by one, then the blend itself, if allowed.
        """
        names = [member.tuned.candidate for member in before.members]
        blendable = self.trial.settings.blend and blending.are_joinable(names, len(self.trial.schema.classes))
        for tuned in [*(member.tuned for member in before.members), *([before] if blendable or not names else [])]:
            self.take(tuned, raced=False)

    def step(self) -> None:
        """Make one try.

        First each quick candidate is tried in turn, then the best candidate twice as often as the next, near its best
        or anywhere.
        """
        if self._first:
            self.take(self._first.pop())
            return
        name = self.families[int(self._random.random() < 1 / 3) if len(self.families) > 1 else 0]
        leader, near = self.leaders.of[name], self.tried >= MARGIN_TRIES and self.tried % 2 == 0
        self.take(Tuned(name, self._draws.one(name, leader.parameters if near else None), encoded=leader.encoded))

    def take(self, tuned: Tuned, *, raced: bool = True) -> None:
        """Try these parameters, and keep them if they are the best of their candidate; on all folds unless `raced`."""
        self.tried += 1
        leader = self.leaders.best if tuned.candidate == BLEND else self.leaders.of.get(tuned.candidate)
        against = leader.scored if leader is not None and raced else None
        try:
            attempt = Attempt(self.trial, tuned.made(self.trial.schema, self.trial.settings))
        except TrainingFailed as error:
            self._log_failure(tuned, str(error))
            return
        if not self._finish(attempt, against):
            return
        outcome = attempt.outcome()
        if isinstance(outcome, str):
            self._log_failure(tuned, outcome)
        elif self.leaders.take(tuned.candidate, outcome, tuned):
            self._members = None

    def _finish(self, attempt: Attempt, against: Scored | None) -> bool:
        """Run the folds of a try; False as soon as it is behind `against` on the same folds. Raises BudgetUsed."""
        waiting = list(attempt.tasks)
        try:
            while not attempt.finished:
                # A try that is compared with a better one rarely needs more than one fold.
                count = len(waiting) if against is None else 1
                self._engine.add(waiting[:count])
                del waiting[:count]
                self._collect(attempt)
                if against is not None and self._is_behind(attempt, against):
                    return False
        finally:
            self._engine.drop(attempt.open)
        return True

    def _collect(self, attempt: Attempt) -> None:
        results = self._engine.wait(self.limit.left)
        if not results:
            raise BudgetUsed
        for result in results:
            self._engine.drop(attempt.take(result))

    def _is_behind(self, attempt: Attempt, against: Scored) -> bool:
        folds, by_loss = attempt.first_folds, settled_by_loss(against, self.trial.settings)
        return any(is_behind(folds[:count], against, by_loss=by_loss) for count in range(1, len(folds) + 1))

    @staticmethod
    def _log_failure(tuned: Tuned, reason: str) -> None:
        log.info("try_failed", candidate=tuned.candidate, parameters=tuned.parameters, reason=reason[:200])

    def blend(self) -> None:
        """Try the blend of each candidate's best, if it promises more than the best alone."""
        if members := self._blended():
            self.take(Tuned.blend(members), raced=False)

    def result(self, outcome: Outcome) -> Outcome:
        """The outcome with the best parameters; unchanged if the candidates' defaults remain best."""
        seconds, scored = self.trial.settings.tune_seconds - self.budget.left, set(map(id, outcome.scored))
        for name in self.leaders.names:
            leader = self.leaders.of[name]
            better = replace(outcome, scored=[*outcome.scored, leader.scored])
            # The comparison's own ranking decides: a lower log loss may have come with a far lower accuracy.
            if id(leader.scored) in scored or leader.tuned is None or better.ranking[0] is not leader.scored:
                continue
            self.trial.progress.note(f"Tuning: the best of {self.tried} tries is {leader.scored.sentence}", seconds)
            tuned = replace(leader.tuned, tried=self.tried, seconds=round(seconds, 3))
            return replace(better, tuned=tuned.figures())
        self.trial.progress.note(f"Tuning: none of {self.tried} tries was better.", seconds)
        return outcome

    def _first_tries(self) -> list[Tuned]:
        """Some of each quick candidate in turn."""
        most, leaders = QUICK * self.trial.settings.tune_seconds, self.leaders.of
        quick = [name for name in leaders if name in SPACES and leaders[name].scored.fit_seconds <= most]
        tries = [
            [Tuned(name, each, encoded=leaders[name].encoded) for each in self._draws.spread(name, FIRST)]
            for name in quick
        ]
        return [each for turn in zip(*tries, strict=True) for each in turn]

    def _blended(self) -> list[Member]:
        """The members of the best blend; empty if it is not better than its best member, or takes too long to try."""
        if self._members is None:
            self._members = blending.members(self.leaders, self.trial) if self.trial.settings.blend else []
            if self._blend_seconds() > BLEND_SHARE * self.trial.settings.tune_seconds:
                self._members = []
        return self._members

    def _blend_seconds(self) -> float:
        """How long the blend's cross-validation will take; 0 if there is none to try."""
        members = self._blended()
        return LATE * sum(self.leaders.of[one.tuned.candidate].scored.fit_seconds for one in members)
