"""The record of who leads, in the status and for people."""

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
