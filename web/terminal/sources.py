"""Sources of what `retraind top` shows: the files of a home, which need no token, or the address of a service.

Either gives one `Moment` after another. A source that can't be read gives the reason instead of the last good moment:
an old green screen is worse than none.
"""

import json
import sqlite3
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from retraind.daemon.core import status
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import Training
from retraind.daemon.records.records import Records
from retraind.web.dashboard import document
from retraind.web.metrics import totals
from retraind.web.terminal import home_checks

if TYPE_CHECKING:
    from retraind.web.dashboard.document import Document

SECONDS = 3.0
"""Time limit of a request to another machine."""

MOST_BYTES = 16 * 1024 * 1024
"""Maximum size of an answer."""


@dataclass(frozen=True)
class Moment:
    """What a source says at one moment; `clock` is CLOCK_MONOTONIC in seconds."""

    clock: float
    document: "Document"
    buckets: tuple[int, ...] = ()
    """Prediction requests by duration since the home was made (see `retraind.web.metrics.counters`); empty if unknown."""
    training: Training | None = None


class Silent(Exception):
    """Raised by a source that can't be read; the text says why and what to do."""


class Source(Protocol):
    """Where moments come from."""

    name: str

    def now(self) -> Moment:
        """The present moment; raises Silent."""
        ...


class HomeSource:
    """A home on this machine, by its files: no token, and no process of the service has to answer."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.name = str(home.root)
        self._home, self._settings = home, settings

    def now(self) -> Moment:
        """The present moment; raises Silent if the home is gone."""
        home = self._home
        if reason := None if home.registry.is_dir() else f"{home.registry} is gone.":
            raise Silent(reason)
        state, figures = status.read(home.status), totals.collect(home)
        checks = home_checks.read(home, state, figures)
        records = Records(home)
        try:
            summary = totals.summary(figures, records.totals.counts(), state, 0.0)
            page = document.document(home, records, state, summary, self._settings, checks)
        except sqlite3.Error as error:
            page = document.without_records(home, state, self._settings, checks, error)
        training = state.training if state and state.alive else None
        return Moment(time.monotonic(), page, tuple(figures.buckets), training)


class AddressSource:
    """A service on another machine, by its page's data; `token` needs the scope `read`."""

    def __init__(self, url: str, token: str) -> None:
        self.name = url
        self._request = urllib.request.Request(f"{url.rstrip('/')}/dashboard/data")  # noqa: S310 - checked by the command
        if token:
            self._request.add_unredirected_header("Authorization", f"Bearer {token}")

    def now(self) -> Moment:
        """The present moment; raises Silent if the service does not answer, or refuses the token."""
        try:
            with urllib.request.urlopen(self._request, timeout=SECONDS) as answer:  # noqa: S310
                page: Document = json.loads(answer.read(MOST_BYTES))
            return Moment(time.monotonic(), _checked(page))
        except urllib.error.HTTPError as error:
            raise Silent(f"{self.name} answers {error.code}{_remedy(error.code)}") from None
        except (OSError, ValueError, TypeError) as error:
            reason = getattr(error, "reason", error)
            reason = getattr(reason, "strerror", None) or reason
            raise Silent(f"{self.name} does not answer: {reason}.") from None


def _checked(page: "Document") -> "Document":
    """The document, if it is one; raises ValueError for the answer of another program."""
    if not isinstance(page, dict) or not {"verdict", "tiles", "service", "events"} <= page.keys():
        raise ValueError("what answers there is not retraind")
    return page


def _remedy(code: int) -> str:
    if code in (401, 403):
        return ": give a token of scope `read` with --token-file (`retraind token create NAME --scope read`)."
    return ": see its log."
