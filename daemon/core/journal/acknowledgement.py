"""The acknowledgement of an event, one row of the journal's table `acknowledgements`."""

from typing import TypedDict


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
