"""The acknowledgement of an event, one row of the journal's table `acknowledgements`."""

from typing import TypedDict

from retraind.daemon.core.journal_rows import EventRow


class AcknowledgementRow(TypedDict):
    """A person's statement that a warning or an error has been seen to, with the event's kind, time and subject."""

    event: int
    kind: str
    event_at: str
    drop: str | None
    run: int | None
    version: int | None
    by: str
    at: str


class OpenRefusal(EventRow):
    """An event on a rejected drop, or on its rejected rows, that no person has acknowledged, with figures of the drop."""

    name: str
    bad_file: str | None
    rows_accepted: int
