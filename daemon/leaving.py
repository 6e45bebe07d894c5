"""Leaving: drops that are dealt with go out of the inbox; one that can't is told once, and tried again until it goes.

Level 4. Such a file is not read again, and must not keep the others waiting.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from daemon.inbox import Inbox
from daemon.journal import Journal
from daemon.names import shown
from daemon.settling import Stamp

log = structlog.get_logger()

AGAIN_SECONDS = 60.0
"""A file that could not be taken out is tried again so often."""


class Leaving:
    """Takes files out of the inbox; used by the loop thread."""

    def __init__(self, inbox: Inbox, journal: Journal) -> None:
        self._inbox, self._journal = inbox, journal
        self._stuck: dict[str, Callable[[], Mapping[str, OSError]]] = {}
        self._again_at = 0.0

    def clear(self, drops: Iterable[tuple[str, str]]) -> None:
        """Remove drops (name, sha256) whose rows are committed; raises OSError if that can't be made durable."""
        asked = list(drops)
        stuck, known = self._inbox.clear(asked), {shown(name): sha256 for name, sha256 in asked}
        self._keep(stuck, {name: partial(self._inbox.clear, [(name, known[shown(name)])]) for name in stuck})

    def reject(self, refused: Iterable[tuple[str, Stamp, dict[str, Any]]]) -> None:
        """Move refused drops (name, stamp, report) to `rejected/`; raises OSError if that can't be made durable."""
        asked = list(refused)
        stuck = self._inbox.reject(asked)
        self._keep(stuck, {one[0]: partial(self._inbox.reject, [one]) for one in asked})

    def try_again(self, now: float) -> None:
        """Try once a minute what could not be done; `now` is monotonic seconds."""
        if not self._stuck:
            self._again_at = now + AGAIN_SECONDS
        elif now >= self._again_at:
            self._again_at = now + AGAIN_SECONDS
            for name, take in list(self._stuck.items()):
                if take():
                    self._inbox.leave(name)
                else:
                    del self._stuck[name]
                    log.info("taken_out_later", name=shown(name))

    def _keep(self, stuck: Mapping[str, OSError], again: Mapping[str, Callable[[], Mapping[str, OSError]]]) -> None:
        for name, error in stuck.items():
            self._inbox.leave(name)
            self._stuck[name] = again[name]
            reason = error.strerror or error
            hint = f"It is tried again every {AGAIN_SECONDS:g} s; or remove it by hand."
            self._journal.tell(
                "problem", f"{shown(name)} can't be taken out of the inbox: {reason}. {hint}", level="warning"
            )
            log.warning("left_in_inbox", name=shown(name), reason=str(error))
