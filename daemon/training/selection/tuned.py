"""A version's tuned parameters, as its manifest records them: a candidate with parameters, or a blend of such."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from retraind.daemon.blend import BlendClassifier, BlendRegressor
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Calibrated
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import Scores, TunedParameters
from retraind.daemon.training.selection import candidates
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.search_spaces import Parameters

BLEND = "blend"


class Member(NamedTuple):
    """One model of a blend, its weight, and the slope that corrects its probabilities (1.0: none)."""

    tuned: "Tuned"
    weight: int
    slope: float = 1.0

    def made(self, schema: Schema, settings: Train) -> Any:
        """The unfitted estimator."""
        estimator = self.tuned.made(schema, settings).estimator
        return estimator if self.slope == 1.0 else Calibrated(estimator, self.slope)


@dataclass(frozen=True)
class Tuned:
    """A candidate's name and its parameters; a blend's parameters are its members."""

    candidate: str
    parameters: Parameters
    tried: int = 0
    seconds: float = 0.0
    encoded: bool = False
    """Whether it gets categories with many names target-encoded; not recorded if it does not."""

    @classmethod
    def of(cls, scores: Scores) -> "Tuned | None":
        """The entry in a manifest's scores; None for a version that was not tuned."""
        tuned = scores.get("tuned")
        return None if tuned is None else cls(**tuned)

    @classmethod
    def blend(cls, members: Sequence[Member]) -> "Tuned":
        """The blend of these members."""
        return cls(BLEND, {"members": [_entry(member) for member in members]})

    @property
    def members(self) -> list[Member]:
        """The members of a blend; empty for another candidate."""
        entries: Any = self.parameters["members"] if self.candidate == BLEND else []
        return [
            Member(Tuned(each["candidate"], each["parameters"], encoded=each["encoded"]), each["weight"], each["slope"])
            for each in entries
        ]

    def figures(self) -> TunedParameters:
        """The entry for a manifest."""
        figures: TunedParameters = {
            "candidate": self.candidate,
            "parameters": self.parameters,
            "tried": self.tried,
            "seconds": self.seconds,
        }
        return {**figures, "encoded": True} if self.encoded else figures

    def title(self, schema: Schema, settings: Train) -> str:
        """The candidate's name with these parameters; without them where there are no such parameters any more."""
        try:
            return self.made(schema, settings).name
        except TrainingFailed:
            return self.candidate

    def made(self, schema: Schema, settings: Train) -> Candidate:
        """The unfitted candidate with these parameters; raises TrainingFailed for a parameter that no longer exists."""
        if self.candidate != BLEND:
            return candidates.with_parameters(self.candidate, self.parameters, schema, settings, encoded=self.encoded)
        estimators = [member.made(schema, settings) for member in self.members]
        name = ", ".join(f"{member.weight} {member.tuned.candidate}" for member in self.members)
        kind = BlendRegressor if schema.task == "regression" else BlendClassifier
        return Candidate(f"{BLEND}({name})", kind(estimators, [member.weight for member in self.members]))


def _entry(member: Member) -> dict[str, object]:
    tuned, weight, slope = member
    entry: dict[str, object] = {"candidate": tuned.candidate, "parameters": tuned.parameters, "encoded": tuned.encoded}
    return entry | {"weight": weight, "slope": slope}
