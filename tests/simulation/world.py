"""What a simulated daemon is given, and what has to become of it: the state that outlives each of its lives."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from clock import Clock
from points import Fault


class Violated(BaseException):
    """Something that must hold does not. No `Exception`: the loop would take it for a failing step."""


@dataclass(frozen=True)
class Content:
    """The bytes of a drop: the first feature of each good row, the marks of its bad ones; no good rows: it is to be refused."""

    rows: tuple[float, ...]
    bad: tuple[str, ...]
    data: bytes
    suffix: str = ".csv"


@dataclass
class Put:
    """A file that was put into the inbox, and how long the loop has left it there while nothing stood in the way."""

    name: str
    sha256: str
    waits: int = 0


@dataclass
class Asked:
    """A request, whether it must be done (None: unknown), and how long it has been left."""

    identity: str
    what: str
    drop: str = ""
    purge: bool = False
    known: bool = False
    """To forget: the drop was in the dataset when it was asked for."""
    waits: int = 0


@dataclass
class World:
    """One seed's world."""

    seed: int
    random: Random
    clock: Clock
    actions: int
    """Actions that are still to come."""
    pace: float
    """How likely there is one between two steps."""
    weights: dict[str, float]
    """How likely each kind of action is; those that are missing never come."""
    settings: str
    """The daemon's settings as JSON."""
    server: str = ""
    """The folder of the PostgreSQL server that has the journal; empty: it is in its file."""
    contents: dict[str, Content] = field(default_factory=dict)
    """By sha256."""
    puts: list[Put] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    predictions: dict[str, float] = field(default_factory=dict)
    """Of each prediction that has no label yet, its first feature."""
    number: int = 1000
    """The next row's number, which no other row has."""
    schema_broken: bool = False
    complaints: tuple[str, ...] = ()
    workers: int = 1
    fault: Fault | None = None
    faults: int = 0
    quiet: int = 0
    """Turns since the last thing that may make steps fail."""
    old: bool = False
    """Whether what was refused may be gone because of its age."""
    turns: int = 0
    idle: int = 0
    lives: int = 0
    settling: int = 0
    """Turns since the last action."""
    trace: list[str] = field(default_factory=list)
    rows: dict[str, Counter[float]] = field(default_factory=dict)
    """The first features of a segment, by its name."""
    ended: str = ""
    """How the life at hand ended: `killed`, `stopped`, `failed to start`, `overtaken`, `rest`, or what was violated."""

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.lives}.{self.turns} +{self.clock.now:.1f}s {text}")

    def disturb(self) -> None:
        """Steps may fail now without anything being wrong."""
        self.quiet = 0
        self.faults += 1
