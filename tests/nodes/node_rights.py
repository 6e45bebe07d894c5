"""The role of serving nodes, as examples/node-role.sql makes it, for tests."""

from pathlib import Path

from service import wait_until

from benchmarks.postgres import Postgres

ROLE = "retraind_node"
FILE = Path(__file__).parents[2] / "examples" / "node-role.sql"


def schema(url: str) -> str:
    """The schema that an address names."""
    return url.rpartition("%3D")[2]


def address(url: str) -> str:
    """The address of the same journal for nodes."""
    return url.replace("//postgres@", f"//{ROLE}@")


def grant(server: Postgres, url: str) -> None:
    """Run the file as the owner of the tables, which a leader has made or soon makes."""
    name = schema(url)
    wait_until(lambda: server.sql(f"SELECT to_regclass('{name}.node_logs')")[0][0], what="the tables")
    # Another test, in another process, may just have made it.
    server.sql(
        f"DO $$ BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        f"SET search_path TO {name}",
        FILE.read_text(),
    )
