"""The first drop of an empty home: Iris, so that `/predict` works before a person has brought data.

scikit-learn ships the file; it is found without importing scikit-learn.
"""

from importlib.util import find_spec
from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.schema import schema_file
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

NAME = "iris.csv"
FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
TARGET = "species"


def iris(home: Home) -> bool:
    """Write schema and first drop into a home that has neither schema nor data; False if it has either."""
    if home.schema.exists() or (home.data / ".git").exists() or journal_server.exists(home):
        return False
    return begin(home)


def begin(home: Home) -> bool:
    """Write schema and first drop; False if there is a schema by then."""
    header, *lines = _file().read_text().splitlines()
    _, _, *classes = header.split(",")
    rows = [line.split(",") for line in lines]
    text = [",".join([*FEATURES, TARGET])] + [",".join([*row[:4], classes[int(row[4])]]) for row in rows]
    durable.write(home.inbox / NAME, ("\n".join(text) + "\n").encode())
    if not schema_file.write(home.schema, None, _schema(classes, rows)):  # `retraind init` was faster
        durable.remove(home.inbox / NAME)
        return False
    return True


def _schema(classes: list[str], rows: list[list[str]]) -> Schema:
    columns = [
        Column(
            name=name,
            kind="number",
            minimum=min(float(row[i]) for row in rows),
            maximum=max(float(row[i]) for row in rows),
        )
        for i, name in enumerate(FEATURES)
    ]
    return Schema(target=TARGET, classes=classes, columns=columns)


def _file() -> Path:
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise RetraindError("scikit-learn is not installed.", hint="Install the packages of requirements.lock.")
    return Path(spec.origin).parent / "datasets/data/iris.csv"
