"""Costs of answers, from counts by true and answered class: pure Python, so reports need no numpy (see `costs.py`)."""

import math
from collections.abc import Mapping

from retraind.daemon.schema.scores import Table


def saved(counts: Mapping[tuple[str, str], int], table: Table) -> tuple[float, tuple[float, float] | None]:
    """The mean cost of answers, counted by true and answered class, and the share saved, with its standard error.

    The share is relative to the best constant answer's cost: 1 saves all of it, below 0 costs more. None if the
    constant answer costs nothing, because it is right for every row.
    """
    priced = [(n, price(true, answered, table)) for (true, answered), n in counts.items()]
    total = sum(n for n, _ in priced)
    mean = sum(n * cost for n, cost in priced) / total
    variance = sum(n * cost**2 for n, cost in priced) / total - mean**2
    classes = {name for pair in counts for name in pair}
    constant = [sum(n * price(true, name, table) for (true, _), n in counts.items()) / total for name in classes]
    scale = min(constant)
    return mean, (1 - mean / scale, math.sqrt(max(variance, 0.0) / total) / scale) if scale else None


def price(true: str, answered: str, table: Table) -> float:
    """The cost of an answer."""
    return table.get(true, {}).get(answered, float(true != answered))
