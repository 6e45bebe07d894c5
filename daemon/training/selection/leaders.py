"""The leaders of a search: the best model so far of each candidate and of all, with its tuned parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

from retraind.daemon.model import Matrix, calibrate
from retraind.daemon.training.selection import candidates, comparison
from retraind.daemon.training.selection.cross_validation import Scored, Trial, settled_by_loss
from retraind.daemon.training.selection.search_spaces import Parameters
from retraind.daemon.training.selection.tuned import Tuned


@dataclass(frozen=True)
class Leader:
    """The best model of one candidate, or of all."""

    scored: Scored
    tuned: Tuned | None
    """Its tuned parameters, empty for the candidate's defaults; None if they come from the settings' grid."""
    rank: tuple[float, ...]
    """The figure by which tries are compared; smaller is better."""
    slope: float
    """The slope that corrects its probabilities; 1.0 if they are not corrected."""

    @property
    def answers(self) -> Matrix:
        """The corrected answers kept from cross-validation: (n, classes), or (n, 1) values."""
        kept = self.scored.kept.answers
        return kept if self.slope == 1.0 else calibrate(kept, self.slope)

    @property
    def parameters(self) -> Parameters:
        """The estimator's own parameters, including unset ones."""
        return dict(candidates.core(self.scored.estimator).get_params())

    @property
    def encoded(self) -> bool:
        """Whether it gets categories with many names target-encoded."""
        return candidates.is_encoded(self.scored.name)


class Leaders:
    """The best models of each candidate, by name, and of all; at first in the comparison's ranking."""

    def __init__(self, trial: Trial, ranking: Sequence[Scored]) -> None:
        self._trial = trial
        self.of: dict[str, Leader] = {}
        for scored in ranking:
            # For each candidate only the better encoding of categories with many names is tuned: cross-validation has
            # tried both.
            if family(scored) not in self.of:
                self.of[family(scored)] = self.made(scored, _untuned(scored))
        self.best = self.of[family(ranking[0])]

    @property
    def names(self) -> list[str]:
        """The candidates, the best first."""
        return sorted(self.of, key=lambda name: self.of[name].rank)

    def made(self, scored: Scored, tuned: Tuned | None) -> Leader:
        """A model with its rank.

        With `auto`, if accuracy chooses, the rank is the log loss: the best accuracy of many tries on few rows is luck,
        and the log loss uses more information per row.
        """
        forward = self._trial.times is not None
        correction = comparison.correction_of(scored, self._trial.settings, forward=forward)
        by_loss = settled_by_loss(scored, self._trial.settings)
        rank = (comparison.corrected_loss(scored, correction),) if by_loss else scored.rank
        return Leader(scored, tuned, rank, 1.0 if correction is None else correction.slope)

    def take(self, candidate: str, scored: Scored, tuned: Tuned) -> bool:
        """Another model of a candidate; returns whether it is better and so leads."""
        reached = self.made(scored, tuned)
        if leads := candidate not in self.of or reached.rank < self.of[candidate].rank:
            self.of[candidate] = reached
        if reached.rank < self.best.rank:
            self.best = reached
        return leads


def family(scored: Scored) -> str:
    """The candidate's name without its parameters."""
    return scored.name.partition("(")[0]


def _untuned(scored: Scored) -> Tuned | None:
    encoded = candidates.is_encoded(scored.name)
    as_it_comes = scored.name in (family(scored), f"{family(scored)}({candidates.ENCODED})")
    return Tuned(family(scored), {}, encoded=encoded) if as_it_comes else None
