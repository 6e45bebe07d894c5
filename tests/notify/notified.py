"""The events of notices, and what became of them."""

from collections import Counter

from journal_entries import a_drop
from receivers import Receiver

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.records import events as records
from retraind.daemon.storage.journal import Journal


def reject(journal: Journal, number: int) -> None:
    drop = a_drop(f"{number}.csv", f"{number:064}", reason="No header.")
    journal.drops.refuse(drop, DropState.REJECTED, f"{number}.csv was rejected: no header.")


def kinds(receiver: Receiver) -> list[tuple[str, int]]:
    return [(got.document["kind"], got.document["count"]) for got in receiver.requests]


def deliveries(home: Home) -> Counter[str]:
    return Counter(row["state"] for row in records.deliveries(home.journal, 100))
