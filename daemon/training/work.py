"""What the steps of a training share."""

from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.schema import Schema


@dataclass(frozen=True)
class Work:
    """The state that a training's steps share. `run` is its MLflow run, `started` when it began (monotonic)."""

    home: Home
    job: Job
    schema: Schema
    registry: Registry
    run: str
    started: float

    @property
    def costs(self) -> Costs | None:
        """The costs of answers; raises TrainingFailed if the settings name an unknown class."""
        return Costs.of(self.job.train.costs, self.schema.classes)

    @property
    def staging(self) -> Path:
        """Folder in which the bundle is made; the daemon gives it its final name."""
        return self.home.staging(self.run)
