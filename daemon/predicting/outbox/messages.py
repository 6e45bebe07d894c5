"""What the process of the outbox tells the daemon, in JSON lines on its standard output; a message's keys tell its type."""

from collections.abc import Callable
from typing import TypedDict, final


@final
class Answered(TypedDict):
    """A file was answered."""

    answered: str
    """Its name."""
    file: str
    """The name of the answers in the outbox."""
    version: int
    rows: int
    bad: int


@final
class Repeated(TypedDict):
    """A file was answered by the same version before, and its answers are still there."""

    repeated: str
    file: str


@final
class Refused(TypedDict):
    """No row of a file can be answered; it is in `inbox/rejected`."""

    refused: str
    reason: str


@final
class Doing(TypedDict):
    """The file that is being answered, or why files wait; an empty text: nothing."""

    doing: str


@final
class Trouble(TypedDict):
    """Why files can't be answered now; an empty text: they can."""

    trouble: str


Message = Answered | Repeated | Refused | Doing | Trouble
Say = Callable[[Message], None]
