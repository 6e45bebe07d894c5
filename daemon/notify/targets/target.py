"""Target: a place that notices are sent to."""

from typing import Protocol

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.notify.notice import Notice


class Undelivered(RetraindError):
    """Raised when a target did not accept a notice. The sentence holds no secret: `/health` shows it."""


class Target(Protocol):
    """A place that notices are sent to; used by one thread."""

    @property
    def name(self) -> str:
        """Its name in the journal and in sentences, without any secret."""
        ...

    def send(self, notice: Notice) -> None:
        """Send a notice; raises Undelivered."""
        ...
