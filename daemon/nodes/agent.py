"""The agent of a node: a thread that follows the desired row and reports its progress to the server and the workers.

Requests never wait for it. Without the server or the store the home continues to serve, and the workers' health shows
for how long.
"""

import os
import threading
import time
from concurrent.futures import Future

from retraind.daemon.core import logs
from retraind.daemon.core.errors import RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.node import node_status
from retraind.daemon.core.node.messages import Desired, NodeReport, NodeState, Wish
from retraind.daemon.core.node.node_status import NodeStatus
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import boot_id
from retraind.daemon.nodes.decisions import Act, act
from retraind.daemon.nodes.log_shipping import LogShipping
from retraind.daemon.nodes.node_home import NodeHome
from retraind.daemon.nodes.trial import Trial
from retraind.daemon.objects import background
from retraind.daemon.objects.opening import open_store
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()

LOOK_SECONDS = 1.0
"""Interval of reading the row without a notification, and of writing the node's own row."""

BUSY_SECONDS = 0.01
"""Interval of checks during the preparation of a version."""

STEP_SECONDS = 0.25
"""Maximum delay until a stop is noticed."""

AGAIN_SECONDS = 5.0
"""Delay before a failed preparation is tried again; for an unreachable server it is a second."""

CHANNEL = "retraind_desired"

AWAITED = frozenset({NodeState.PREPARED, NodeState.FAILED})
"""States that the leader waits for. A notification of each other one would wake all listening nodes for nothing."""


class Agent:
    """Follows the desired row of one leader; all but `start` and `close` runs in its own thread."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self._home, self._settings = home, settings
        self._name = node_status.name(settings.node)
        store = open_store(settings.storage)
        assert store is not None
        self._store = store
        self._disk = NodeHome(home, store, settings.journal.keep_events)
        self._shipping = LogShipping(home, settings, store)
        last = node_status.read(home.node)
        self._served = last.served if last else 0
        self._leader = last.leader if last else ""
        self._row: Desired | None = None
        self._seen = last.seen if last and last.boot == boot_id() else 0.0
        self._prepared: str | None = None
        self._activated = False
        """Whether a version was activated since the start; until then the home's files are not trusted."""
        self._trial = Trial(self._disk, settings.promote)
        self._preparing: tuple[str, Future[None]] | None = None
        self._failed: tuple[str, float, str] | None = None
        """The manifest, the time of the next try, and the reason of the failure."""
        self._away, self._refused, self._reported = "", "", (0, NodeState.WAITING)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()
        self._shipping.start()

    def close(self) -> None:
        """End; the home stays as it is."""
        self._ended.set()
        self._shipping.close()
        self._thread.join(3)
        self._disk.close()
        self._store.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._connected()
            except Unavailable as error:
                if not self._away:
                    log.error("journal_away", reason=str(error))
                self._away = str(error)
            except Exception as error:  # the home continues to serve, and the health says why it does not follow
                log.exception("following_failed")
                self._away = f"{type(error).__name__}: {error}"
            self._say()
            self._ended.wait(LOOK_SECONDS)

    def _connected(self) -> None:
        """Follow until the connection ends."""
        session = NodeSession(self._settings.journal.url, f"retraind node {self._name} {os.getpid()}")
        try:
            session.listen(CHANNEL)
            while not self._ended.is_set():
                self._follow(session)
                self._wait(session)
            session.leave(self._name)
        finally:
            session.close()

    def _follow(self, session: NodeSession) -> None:
        """Read the row once, act on it, and report."""
        row = session.desired()
        self._row, self._seen, self._away, self._refused = row, time.monotonic(), "", ""
        self._finish()
        self._trial.finish()
        if row is not None:
            self._leader = row.leader
            served = self._disk.served() if self._activated else None
            step = act(row, self._served, self._prepared, served)
            self._do(step, row, session)
            if step is Act.REST and row.state is Wish.ACTIVE:
                self._trial.follow(row, session)
        report = self._report()
        stage = report.generation, report.state
        session.report(report, news=stage != self._reported and report.state in AWAITED)
        self._reported = stage
        self._say()

    def _do(self, step: Act, row: Desired, session: NodeSession) -> None:
        if step is Act.PREPARE and row.target is not None:
            self._begin(*row.target)
        elif step is Act.ACTIVATE and row.target is not None:
            self._activate(row.generation, *row.target, session)
        elif step is Act.REFUSE:
            self._refused = (
                f"The desired row has generation {row.generation}, older than {self._served}, which this node has followed: "
                f"was the database restored? Remove {self._home.node} and restart the node to follow it."
            )

    def _begin(self, version: int, manifest: str) -> None:
        """Prepare a version in a thread, unless it has just failed or another one is under way."""
        waits = self._failed is not None and self._failed[0] == manifest and time.monotonic() < self._failed[1]
        if self._preparing is None and not waits and self._trial.prepares != version:
            self._preparing = manifest, background.start("prepare", lambda: self._disk.prepare(version, manifest))

    def _finish(self) -> None:
        """Note the result of a finished preparation."""
        if self._preparing is None or not self._preparing[1].done():
            return
        (manifest, ended), self._preparing = self._preparing, None
        error = ended.exception()
        if error is None:
            self._prepared, self._failed = manifest, None
            return
        reason = str(error) if isinstance(error, RetraindError | OSError) else f"{type(error).__name__}: {error}"
        log.error("version_not_prepared", reason=reason)
        self._failed = manifest, time.monotonic() + AGAIN_SECONDS, reason

    def _activate(self, generation: int, version: int, manifest: str, session: NodeSession) -> None:
        judged = session.version(version)
        if judged is None or judged["bundle"] != manifest:
            self._refused = f"The leader's journal has no version {version} with the bundle {manifest[:12]}…."
            return
        self._disk.activate(version, manifest, judged)
        self._served, self._activated = generation, True
        if self._preparing is None and self._trial.prepares is None:
            self._disk.tidy()

    def _wait(self, session: NodeSession) -> None:
        """Wait until the row may have changed, a preparation has finished, or a second has passed."""
        until = time.monotonic() + LOOK_SECONDS
        while not self._ended.is_set() and (left := until - time.monotonic()) > 0:
            if (self._preparing is not None and self._preparing[1].done()) or self._trial.is_prepared:
                return
            if session.wait(min(left, STEP_SECONDS if self._preparing is None else BUSY_SECONDS)):
                return

    def _report(self) -> NodeReport:
        served, row = self._disk.served(), self._row
        failed = self._failed[2] if self._failed and row and self._failed[0] == row.manifest else ""
        return NodeReport(
            name=self._name,
            generation=row.generation if row else self._served,
            state=self._state(row, failed),
            version=served[0] if served else None,
            problem=self._away or self._refused or failed or self._trial.problem or self._shipping.problem,
            unshipped=self._shipping.unshipped(),
        )

    def _state(self, row: Desired | None, failed: str) -> NodeState:
        if row is None:
            return NodeState.WAITING
        if failed or self._refused:
            return NodeState.FAILED
        if row.generation == self._served:
            return NodeState.SERVING
        return NodeState.PREPARED if self._prepared == row.manifest else NodeState.PREPARING

    def _say(self) -> None:
        """Report to the workers, who themselves report a full disk."""
        status = NodeStatus(report=self._report(), leader=self._leader, served=self._served, seen=self._seen)
        try:
            node_status.publish(self._home.node, status)
        except OSError as error:
            log.warning("node_status_not_written", reason=str(error))
