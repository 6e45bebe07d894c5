"""The trial: on a node, the version that waits for a person, so that workers can try it on live requests.

As on one machine (`web/serving/canary.py`), but the version comes from the desired row.
"""

import time
from concurrent.futures import Future

from retraind.daemon.core import logs
from retraind.daemon.core.node.messages import Desired
from retraind.daemon.core.settings import Promote
from retraind.daemon.nodes.node_home import NodeHome
from retraind.daemon.objects import background
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()

AGAIN_SECONDS = 5.0
"""Delay before a failed preparation is tried again."""


class Trial:
    """Follows the held version of the desired row; used by the agent's thread."""

    def __init__(self, disk: NodeHome, settings: Promote) -> None:
        self._disk = disk
        self._wanted = settings.mode == "manual" and (settings.shadow or settings.canary_share > 0)
        self._held: tuple[int, str] | None = (0, "")  # before the start, a version may have been held
        self._preparing: tuple[tuple[int, str], Future[None]] | None = None
        self._prepared: tuple[int, str] | None = None
        self._again_at = 0.0
        self.problem = ""
        """The reason why workers can't try the held version; empty if they can."""

    @property
    def prepares(self) -> int | None:
        """The version whose files are being fetched."""
        return None if self._preparing is None else self._preparing[0][0]

    @property
    def is_prepared(self) -> bool:
        """Whether `finish` has something to note."""
        return self._preparing is not None and self._preparing[1].done()

    def finish(self) -> None:
        """Note the result of a finished preparation."""
        if self._preparing is None or not self._preparing[1].done():
            return
        (prepared, ended), self._preparing = self._preparing, None
        error = ended.exception()
        if error is None:
            self._prepared = prepared
            return
        self._again_at = time.monotonic() + AGAIN_SECONDS
        self.problem = f"Version {prepared[0]} can't be tried here: {error}"
        log.warning("version_not_tried", reason=str(error))

    def follow(self, row: Desired, session: NodeSession) -> None:
        """Prepare, hold or withdraw the held version of a row; raises Unavailable."""
        held = row.tried if self._wanted else None
        if held == self._held:
            return
        if held is None:
            self._disk.withdraw()
            self._held, self.problem = None, ""
        elif self._prepared == held:
            self._hold(held, session)
        elif self._preparing is None and time.monotonic() >= self._again_at:
            self._preparing = held, background.start("prepare", lambda: self._disk.prepare(*held))

    def _hold(self, held: tuple[int, str], session: NodeSession) -> None:
        row = session.version(held[0])
        if row is not None and row["bundle"] == held[1]:
            self._disk.hold(row)
            self._held, self.problem = held, ""
