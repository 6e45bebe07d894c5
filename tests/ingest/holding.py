"""An ingestion that holds suspicious drops; a test module makes a fixture of `parts`."""

from collections.abc import Iterator

import bundles
from ingesting import Parts
from test_exam_runner import flowers, serve

from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox, Settings
from retraind.daemon.records.drops import held as held_drops
from retraind.daemon.records.query import ask

REASON = "50% of its labels disagree with v1, usually 5%"


ODD = flowers(60, "setosa", "virginica")


HOLDING = Settings(inbox=Inbox(settle_seconds=0.0, suspicious="hold", new_categories="accept", extra_columns="add"))


def parts(home: Home) -> Iterator[Parts]:
    home.schema.write_bytes(bundles.SCHEMA.dump())
    serve(home)
    parts = Parts(home, HOLDING)
    yield parts
    parts.close()


def held(parts: Parts) -> list[tuple[str, str]]:
    """Name and reason of what waits, as everybody reads it."""
    return [(row["name"], row["reason"]) for row in held_drops.held(parts.home.journal, 99)]


def sha256(parts: Parts, name: str) -> str:
    [row] = held_drops.held_like(parts.home.journal, name)
    return str(row["sha256"])


def ask_for(parts: Parts, kind: requests.Kind, drop: str) -> tuple[str, str]:
    """What becomes of a request; everything else goes on meanwhile."""
    request = requests.submit(parts.home, kind, drop=drop)
    parts.run()
    row = parts.journal.requests.get(request.id)
    assert row is not None
    return row["state"], row["detail"]


def messages(parts: Parts, kind: str) -> list[str]:
    return [row["message"] for row in ask(parts.home.journal, "SELECT message FROM events WHERE kind = ?", kind)]
