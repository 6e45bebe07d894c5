"""Figures as every benchmark prints them: percentiles, ratios, and one table."""

import math
import os
import platform
import statistics
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0-1) of the values do not exceed (nearest rank); NaN if there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def ratio(value: float, base: float) -> str:
    """How many times `base` goes into `value`, as text: `12.3x`; `-` if that means nothing."""
    return f"{value / base:.3g}x" if base > 0 and math.isfinite(value) else "-"


def spread(values: Sequence[float], digits: int = 3) -> list[str]:
    """Median, least and greatest of some values, as text."""
    if not values:
        return ["-"] * 3
    return [figure(value, digits) for value in (statistics.median(values), min(values), max(values))]


def figure(value: float, digits: int = 3) -> str:
    """A number with so many decimals; `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def machine() -> str:
    """What measured: cores, memory, load of the last minute, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} at the end, Python {platform.python_version()}"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one Markdown table: the first column to the left, all others to the right."""
    table = Table(box=box.MARKDOWN)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(width=160, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(table)
    # rich draws blank lines where other boxes have an edge.
    print(
        f"{title}\n({machine()})\n",
        *(line for line in capture.get().splitlines() if line.strip()),
        sep="\n",
        flush=True,
    )
