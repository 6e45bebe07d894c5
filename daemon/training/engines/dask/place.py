"""Where a scheduler is, and how it is reached."""

from pathlib import Path
from typing import NamedTuple, Self

from retraind.daemon.core.settings import Train


class Place(NamedTuple):
    """A scheduler's address, and files of the authority, certificate and key for TLS; empty without TLS."""

    address: str
    ca: str
    cert: str
    key: str

    @classmethod
    def of(cls, settings: Train, home: Path) -> Self:
        """The scheduler of the settings; relative files are in the home."""
        files = settings.scheduler_ca, settings.scheduler_cert, settings.scheduler_key
        return cls(settings.scheduler, *(str(home / file) if file else "" for file in files))
