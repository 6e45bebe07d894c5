"""The source of a training's rows: all that another process or machine needs to read the same rows in the same order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.settings import Train
from retraind.daemon.schema.arrival_times import Era, Window
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.data.holdout_assignment import PastAssignment
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.split import By


@dataclass(frozen=True)
class Source:
    """A revision's segments and the rules by which its rows train or judge; small, and it can be pickled."""

    folder: Path
    segments: Mapping[str, str]
    """sha256 by name, oldest first."""
    schema: Schema
    first_rows: int
    settings: Train
    window: Window
    before: PastAssignment | None = None
    """The assignment of the served version."""
    era: Era | None = None
    by: By | None = None
    early_rows: int = 0
    kind: type[Data] = Data
    """The class of what is read: whether the rows come into memory, or stay in their segments."""

    def read(self) -> Data:
        """Read and verify the rows; raises as `Data.read` does."""
        rules = self.settings
        rows = (
            self.folder,
            self.segments,
            self.schema,
            self.first_rows,
            rules.holdout,
            self.window,
            self.by,
            self.before,
        )
        return self.kind.read(*rows, group=rules.group, era=self.era, time=rules.time, early_rows=self.early_rows)
