"""A standby's pointer: its workers serve the version that the leader's desired row names, as those of a node do."""

import orjson

from retraind.daemon.artifacts.manifest import Pointer, read_pointer
from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.node.messages import Wish
from retraind.daemon.core.status import utcnow
from retraind.daemon.leadership.follower import Follower
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.storage.server.node_session import NodeSession
from retraind.daemon.stored import bundle_files

log = logs.Logger()

CHANNEL = "retraind_desired"


class ServedCopy:
    """Makes the pointer of a home follow the desired row; for the thread of a Follower."""

    def __init__(self, home: Home, store: ObjectStore) -> None:
        self._home, self._store = home, store
        self._verified: str | None = None
        """The sha256 of the manifest that was loaded last; until then the home's files are not trusted."""

    def follow(self, session: NodeSession, follower: Follower) -> None:
        """Fetch, verify and load the version that the leader prepares or serves, and serve it once it is active.

        Raises Unavailable, RetraindError, OSError, Ended.
        """
        row = session.desired()
        if row is None or row.target is None:
            return
        version, manifest = row.target
        if self._verified != manifest:
            bundle_files.prepare(self._store, self._home.bundle(version), manifest)
            self._verified = manifest
        if row.state is Wish.ACTIVE and self._served() != row.target:
            with follower.changing():
                pointer = Pointer(version=version, manifest=manifest, since=utcnow())
                durable.write(self._home.pointer, orjson.dumps(pointer.model_dump()))
            log.info("serving", version=version, leader=row.leader)

    def _served(self) -> tuple[int, str] | None:
        try:
            pointer = read_pointer(self._home.pointer)
        except BundleRefused:
            return None
        return None if pointer is None else (pointer.version, pointer.manifest)
