"""MLflow's server: a small file in the home names the PostgreSQL database of MLflow, if that is not `registry/mlflow.db`.

The daemon writes this file by its settings before it starts other processes, so daemon, trainer and commands use the
same database. If there is a `mlflow.db`, that is the database. The address has no password: the driver takes it from
PGPASSWORD, ~/.pgpass or a service file.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import home_identity

NAME = "mlflow-server.json"
"""The file, in the folder of `mlflow.db`."""

FOLDER = "mlflow"
"""The part of the object store that has MLflow's artifacts."""


@dataclass(frozen=True)
class MlflowServer:
    """The address of MLflow's database on a server, and the URI of its artifacts."""

    url: str
    artifacts: str
    """`s3://…` if the artifacts are also in the object store; empty if they are in the home only."""


def beside(home: Home) -> MlflowServer | None:
    """The server that has MLflow's database instead of `mlflow.db`; None if the file exists, or if there is no server.

    Raises RetraindError if the server's name can't be read.
    """
    return None if home.mlflow.exists() else named(home)


def named(home: Home) -> MlflowServer | None:
    """The server that the home names, whether or not there is a `mlflow.db`; raises RetraindError if it can't be read."""
    path = home.mlflow_server
    try:
        return MlflowServer(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        hint = "Remove it and start again with mlflow.url."
        raise RetraindError(f"{path} can't be read: {error}.", hint=hint) from None


def settle(home: Home, url: str, store: str) -> None:
    """Record the server in the settings as that of MLflow's database, before it is opened; raises BadSettings.

    With an empty `url` the database stays where it is. `store` is the URL of the object store, or empty.
    """
    if home.mlflow.exists():
        if url:
            raise BadSettings(
                f"mlflow.url names a server, but MLflow's database of this home is {home.mlflow}.",
                hint=f"`retraind migrate --mlflow {url}` moves it there; without mlflow.url it stays.",
            )
        return
    known = named(home)
    address = url or (known.url if known else "")
    server = MlflowServer(address, f"{store}/{FOLDER}" if store else "")
    if address and server != known:
        write(home, server)


def require_original(home: Home) -> None:
    """Raise BadSettings for a copy of a home whose database is on a server; call while holding the home's lock."""
    server = beside(home)
    if server is not None:
        home_identity.require_original(home, f"MLflow's database at {server.url}", "retraind migrate --mlflow file")
        home_identity.settle(home)


def write(home: Home, server: MlflowServer) -> None:
    """Record the server of MLflow's database, durably."""
    durable.write(home.mlflow_server, json.dumps(asdict(server)).encode() + b"\n")


def artifacts(home: Home) -> str:
    """The URI under which MLflow's database names the artifacts of a home."""
    server = beside(home)
    return server.artifacts if server and server.artifacts else home.artifacts.absolute().as_uri()


def file_of(home: Home) -> Path:
    """The file that must not vanish: that of MLflow's database, or the one that names its server."""
    return home.mlflow if beside(home) is None else home.mlflow_server


def missing_driver() -> RetraindError:
    """The error if the driver is not installed."""
    return RetraindError(
        "MLflow's database on a PostgreSQL server needs psycopg, which is not installed.",
        hint="pip install 'retraind[postgres]'",
    )
