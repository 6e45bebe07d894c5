"""What moved an answer, as a table for people."""

from rich.table import Column, Table

from retraind.daemon.artifacts.explaining.explanation import Explained
from retraind.daemon.cli.report.console import CONSOLE
from retraind.daemon.cli.report.terminal import printable


def show(explained: Explained) -> None:
    """Print the contributions, the largest first, and the answer that they lead to."""
    table = Table(Column("feature"), Column("value"), Column("contribution", justify="right"))
    for entry in explained["features"]:
        error = f" ± {entry['error']:.2g}" if "error" in entry else ""
        table.add_row(printable(entry["feature"]), printable(entry["value"]), f"{entry['contribution']:+.4g}{error}")
    CONSOLE.print(table)
    name, sure = printable(explained["prediction"]), ""
    if (shares := explained.get("probabilities")) is not None:
        sure = f" (probability {shares[str(explained['prediction'])]:.4g})"
    CONSOLE.print(
        f"Version {explained['version']} answers {name}{sure}. As a {explained['scale']} this is {explained['answer']:.4g}, and over "
        f"training rows the mean is {explained['base']:.4g}; the contributions are the difference ({explained['method']})."
    )
