"""The record of who leads, in the status and for people."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Leadership(BaseModel):
    """Who leads, since when, and why that changed."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    """Grows by one with each change."""
    leader: str
    url: str = ""
    since: str
    """UTC, ISO 8601."""
    reason: str

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        at = f" ({self.url})" if self.url else ""
        return f"{self.leader}{at} leads since {self.since}, epoch {self.epoch}: {self.reason}"


def recorded(epoch: int, leader: str, url: str, began: datetime, reason: str) -> Leadership:
    """The record from the columns of the row."""
    since = f"{began.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Leadership(epoch=epoch, leader=leader, url=url, since=since, reason=reason)
