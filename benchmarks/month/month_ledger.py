"""What must be in the dataset after a month, by what was dropped: each row has a length of its own."""

import random
from collections import Counter
from dataclasses import dataclass, field

from benchmarks import inputs
from benchmarks.inputs import Rows
from benchmarks.rows import header, lines

BAD_LINE = "not a number,3.5,1.4,0.2,setosa\n"


@dataclass
class Dropped:
    """A file and what it must bring; `asked_at` is when it lay in the inbox, in seconds of the service's own running time."""

    name: str
    rows: Rows
    bad: int
    asked_at: float
    state: str = ""
    """What the journal says became of it; empty as long as it says nothing."""
    forgotten: bool = False


@dataclass
class Ledger:
    """All that was dropped or sent."""

    source: random.Random
    base: Rows
    drops: dict[str, Dropped] = field(default_factory=dict)
    sent: Rows = field(default_factory=Counter)
    """Rows that came by HTTP or by a late label, each acknowledged or accepted."""
    _unique: int = 0

    def file(self, count: int, bad: int, now: float) -> tuple[str, str]:
        """Name and text of a new file with `count` good rows and `bad` others; it is on the ledger from now on."""
        name = f"drop-{len(self.drops):05}.csv"
        good = [self._marked(line) for line in lines(self.source, count).splitlines()]
        text = [f"{line}\n" for line in good] + [BAD_LINE] * bad
        self.source.shuffle(text)
        self.drops[name] = Dropped(name, Counter(map(row_of, good)), bad, now)
        return name, header() + "".join(text)

    def flower(self) -> list[float]:
        """Four measurements that no other row has."""
        return [float(value) for value in self._marked(lines(self.source, 1).strip()).split(",")[:4]]

    def _marked(self, line: str) -> str:
        self._unique += 1
        length, _, rest = line.partition(",")
        return f"{float(length) + self._unique * 1e-7:.7f},{rest}"

    @property
    def expected(self) -> Rows:
        """What the dataset has to hold, each row as often."""
        here = (one.rows for one in self.drops.values() if one.state != "rejected" and not one.forgotten)
        return sum(here, self.base + self.sent)

    def waiting(self) -> list[Dropped]:
        """Files whose outcome is not known yet."""
        return [one for one in self.drops.values() if not one.state]

    def wrong(self, found: Rows) -> int:
        """Rows by which the dataset differs from what it has to hold: 0 means that none was lost or doubled."""
        return inputs.differing(found, self.expected)


def row_of(line: str) -> tuple[float | str, ...]:
    """A line of a file as `benchmarks.inputs` reads it."""
    *numbers, label = line.split(",")
    return (*map(float, numbers), label)
