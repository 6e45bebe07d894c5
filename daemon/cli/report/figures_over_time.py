"""What `retraind doctor` says of `logs/trends.db`, the figures over time."""

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.trends.spans import Span
from retraind.daemon.records.query import ask
from retraind.daemon.records.trends import reader

NAMES = {Span.MINUTE: "minutes", Span.HOUR: "hours", Span.DAY: "days"}
KEPT_ASIDE = ".damaged-"


def describe(home: Home) -> str:
    """How many spans it has; raises RetraindError if it is damaged, sqlite3.Error if it can't be read.

    The daemon sets a damaged file aside and begins again, so a file that was set aside is named, too: its figures are
    missing from the charts.
    """
    aside = sorted(path.name for path in home.trends.parent.glob(f"{home.trends.name}{KEPT_ASIDE}*"))
    lost = f" A damaged one was set aside, its figures are not shown: logs/{aside[-1]}." if aside else ""
    if not home.trends.exists():
        return f"None yet; a daemon begins them.{lost}"
    damage = [row["quick_check"] for row in ask(home.trends, "PRAGMA quick_check(3)") if row["quick_check"] != "ok"]
    if damage:
        hint = "A running daemon sets it aside and begins again; the rest of the home does not need it."
        raise RetraindError(f"{home.trends} is damaged: {damage[0]}.", hint=hint)
    counts = reader.counts(home.trends)
    return f"{', '.join(f'{counts.get(span, 0)} {name}' for span, name in NAMES.items())}; whole.{lost}"
