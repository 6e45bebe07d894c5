"""The search for better parameters: random tries of the best candidates, and a blend of the best of each.

Quickly fitted candidates are tried first, since a few tries of each cost little and their defaults may be far from
their best. Then the two best candidates are tried, every second time near their best parameters so far. A try ends at
the first fold after which it is behind the best of its candidate on the same folds, so most tries cost one fit.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from retraind.daemon.core import logs
from retraind.daemon.training.selection import blending
from retraind.daemon.training.selection.attempt import Attempt
from retraind.daemon.training.selection.budget import Budget, BudgetUsed
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Scored, Trial
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


AHEAD = 2
"""Number of tries under way for each of several jobs, because their folds take different times."""

State = tuple[Any, list[Tuned]]
"""The state of the random numbers, and the first tries that are left."""


class Drawn(NamedTuple):
    """Parameters to try, and the state before they were drawn."""

    tuned: Tuned
    before: State


class Try(NamedTuple):
    """A try under way; without an attempt, no candidate can be made of its parameters, which is the problem."""

    drawn: Drawn
    attempt: Attempt | None
    problem: str = ""


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
        self._ahead: deque[Try] = deque()

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
        """Make one try, while the engine already runs the first folds of those after it.

        They are drawn as if no try before them became the best of its candidate. If one does, they are drawn once more,
        so the tries are the same for any number of jobs.
        """
        depth = AHEAD * self._engine.jobs if self._engine.jobs > 1 else 1
        while len(self._ahead) < depth:
            self._ahead.append(self._begun(self._drawn()))
        if self._end(self._ahead.popleft(), raced=True):
            self._draw_again()

    def take(self, tuned: Tuned, *, raced: bool = True) -> None:
        """Try these parameters, and keep them if they are the best of their candidate; on all folds unless `raced`."""
        self._abandon()
        self._end(self._begun(Drawn(tuned, self._state)), raced=raced)

    @property
    def _state(self) -> State:
        return self._random.bit_generator.state, list(self._first)

    def _drawn(self) -> Drawn:
        """The parameters of the next try.

        First each quick candidate is tried in turn, then the best candidate twice as often as the next, near its best
        or anywhere.
        """
        before, number = self._state, self.tried + len(self._ahead)
        if self._first:
            return Drawn(self._first.pop(), before)
        name = self.families[int(self._random.random() < 1 / 3) if len(self.families) > 1 else 0]
        leader, near = self.leaders.of[name], number >= MARGIN_TRIES and number % 2 == 0
        drawn = self._draws.one(name, leader.parameters if near else None)
        return Drawn(Tuned(name, drawn, encoded=leader.encoded), before)

    def _draw_again(self) -> None:
        """Draw the tries ahead once more, because the leaders have changed; those that come out equal go on."""
        stale, self._ahead = self._ahead, deque()
        if stale:
            self._random.bit_generator.state, self._first = stale[0].drawn.before
        for old in stale:
            drawn = self._drawn()
            if drawn.tuned == old.drawn.tuned:
                self._ahead.append(old._replace(drawn=drawn))
                continue
            if old.attempt:
                self._engine.drop(old.attempt.open)
            self._ahead.append(self._begun(drawn))

    def _begun(self, drawn: Drawn) -> Try:
        """A try whose first fold is queued."""
        try:
            attempt = Attempt(self.trial, drawn.tuned.made(self.trial.schema, self.trial.settings))
        except Exception as error:  # noqa: BLE001 - estimators raise what they like: these parameters are no good
            return Try(drawn, None, str(error))
        self._engine.add(attempt.tasks[:1])
        return Try(drawn, attempt)

    def _end(self, begun: Try, *, raced: bool) -> bool:
        """Finish a try; whether it is the best of its candidate now. Raises BudgetUsed."""
        self.tried += 1
        tuned, attempt = begun.drawn.tuned, begun.attempt
        leader = self.leaders.best if tuned.candidate == BLEND else self.leaders.of.get(tuned.candidate)
        against = leader.scored if leader is not None and raced else None
        if attempt is not None and not self._finish(attempt, against):
            return False
        outcome = begun.problem if attempt is None else attempt.outcome()
        if isinstance(outcome, str):
            log.info("try_failed", candidate=tuned.candidate, parameters=tuned.parameters, reason=outcome[:200])
            return False
        if leads := self.leaders.take(tuned.candidate, outcome, tuned):
            self._members = None
        return leads

    def _finish(self, attempt: Attempt, against: Scored | None) -> bool:
        """Run the folds of a try; False as soon as it is behind `against` on the same folds."""
        waiting = attempt.tasks[1:]
        try:
            while not attempt.finished:
                if against is None or attempt.first_folds:
                    # A try that is compared with a better one rarely needs all folds.
                    count = len(waiting) if against is None else self._engine.jobs
                    self._engine.add(waiting[:count])
                    del waiting[:count]
                self._collect(attempt)
                if against is not None and attempt.is_behind(against):
                    return False
        finally:
            self._engine.drop(attempt.open)
        return True

    def _collect(self, attempt: Attempt) -> None:
        """Wait for results, of this attempt or of one ahead."""
        results = self._engine.wait(self.limit.left)
        if not results:
            self._abandon()
            raise BudgetUsed
        attempts = [attempt, *(one.attempt for one in self._ahead if one.attempt)]
        for result in results:
            for owner in attempts:
                if owner.candidate is result.task.candidate:
                    self._engine.drop(owner.take(result))

    def _abandon(self) -> None:
        """Forget the tries ahead."""
        for begun in self._ahead:
            if begun.attempt:
                self._engine.drop(begun.attempt.open)
        if self._ahead:
            self._random.bit_generator.state, self._first = self._ahead[0].drawn.before
        self._ahead.clear()

    def blend(self) -> None:
        """Try the blend of each candidate's best, if it promises more than the best alone."""
        self._abandon()
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
