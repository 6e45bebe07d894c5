"""Forgetting: a new revision without a drop's rows, for privacy or because they were poisoned.

The order: its bad rows in rejected/, the segment of the other rows, the journal's batch of kind `forget`; then DVC and
git as for any batch. After that, if requested, come all other traces (`daemon/ingest/erasure/eraser.py`), with the
objects of older revisions in DVC's cache last. The request's file is removed at the end, so after a kill at any step
the next call of `step` continues from the journal. A failure (a disk, an unreadable file) is reported and retried
later, and delays no drop.
"""

from collections.abc import Iterator

from retraind.daemon.core import logs, requests, shared_folder
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow, RemainderRecord
from retraind.daemon.core.requests import Request
from retraind.daemon.core.states import DropState, EventKind, Level, RequestState
from retraind.daemon.dataset import known_rows, segments
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.ingest.erasure.eraser import Eraser
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

KIND = "forget"

RETRY_SECONDS = 60.0
"""Seconds before a failed request is tried again."""

UNTRAINED = "No version was trained on them."

CACHED = (
    "Older revisions in DVC's cache still hold them: `retraind forget --purge` removes them, `--find` lists all traces."
)

TRAINED = "The bundles and MLflow runs of versions that were trained on them may hold some of them until retention removes these."


class Forgetting:
    """Carries out requests to forget; used by the loop thread, when no batch is in progress and no training reads."""

    def __init__(self, home: Home, dataset: Dataset, journal: Journal, eraser: Eraser) -> None:
        self._home, self._dataset, self._journal, self._eraser = home, dataset, journal, eraser
        self._work: Iterator[None] | None = None
        self._retry_at = 0.0
        self.problem: str | None = None
        """Why the oldest request can't be carried out; None if it can."""

    def step(self, now: float) -> bool:
        """Do a piece of the oldest request; True if there was one. Commit its batch before the next piece.

        `now` is monotonic seconds.
        """
        if self._work is None and (now < self._retry_at or not self._begin()):
            return False
        assert self._work is not None
        try:
            next(self._work)
        except StopIteration:
            self._work, self.problem = None, None
        except Exception as error:
            log.exception("forgetting_failed")
            self._work, self._retry_at = None, now + RETRY_SECONDS
            self.problem = f"A drop can't be forgotten: {error} It is tried again every {RETRY_SECONDS:g} s."
        return True

    def _begin(self) -> bool:
        request = next((one for one in requests.pending(self._home) if one.kind == KIND), None)
        if request is None:
            self.problem = None
            return False
        self._work = self._carry_out(request)
        return True

    def _carry_out(self, request: Request) -> Iterator[None]:
        drop = self._journal.drops.taken(request.drop or "")
        detail = f"{request.drop}{', purge' if request.purge else ''}"
        self._journal.requests.take(request.id, KIND, detail, request.at.isoformat())
        if drop is None:
            self._end(request, RequestState.REFUSED, f"The dataset holds no rows of a drop {request.drop}.")
        elif drop["state"] == DropState.ACCEPTED:
            self._remove(drop, request)
        else:
            yield from self._account(drop, request)

    def _remove(self, drop: DropRow, request: Request) -> None:
        if drop["bad_file"]:
            rejected = Rejected.of(shared_folder.inbox(self._home))
            rejected.remove(drop["bad_file"])
            rejected.sync()
        assert drop["batch"] is not None
        batch, current = drop["batch"], self._journal.segments.current()
        live = {row["name"]: row["sha256"] for row in current if row["first"] <= batch <= row["last"]}
        try:
            holding = self._dataset.folder.find(live, drop["sha256"])
        except (DatasetDamaged, FileNotFoundError):
            hint = "Restore it from a backup and ask again; `retraind doctor` names it."
            self._end(
                request, RequestState.REFUSED, f"The segment that may hold {drop['name']} is gone or damaged. {hint}"
            )
            return
        if holding is None:
            reason = f"No segment holds rows of {drop['name']}, although the journal says so. See `retraind doctor`."
            self._end(request, RequestState.REFUSED, reason)
            return
        name, table = holding
        others = self._journal.drops.batches_of(set(segments.drops(table)) - {drop["sha256"]})
        if not others:
            self._record(drop, name, table.num_rows, None, request)
            return
        rest = segments.without(table, drop["sha256"], others)
        sealed = self._dataset.folder.write([rest], replaces=name)
        try:
            self._dataset.stored.put_now(*sealed.object)
        except BaseException:
            sealed.discard()
            raise
        with sealed.entry(self._journal.segments.has) as segment:
            record: RemainderRecord = {**segment.record, "first": min(others.values()), "last": max(others.values())}
            self._record(drop, name, table.num_rows - segment.rows, record, request)

    def _record(self, drop: DropRow, name: str, removed: int, rest: RemainderRecord | None, request: Request) -> None:
        """Replace segment `name` by `rest`, the segment of the other rows, if there are any."""
        known_rows.forget(self._home.known, name)
        seq = self._journal.erasures.forget(drop, name, removed, rest, request.by)
        log.warning("forgotten", drop=drop["sha256"], rows=removed, batch=seq)

    def _account(self, drop: DropRow, request: Request) -> Iterator[None]:
        """Answer the request once the drop is forgotten and committed; purges if requested."""
        done = f"The {drop['rows_accepted']} rows of {drop['name']} were forgotten in batch {drop['forgotten_in']}."
        trained = TRAINED if self._journal.runs.trained_on(drop) else UNTRAINED
        if not request.purge:
            self._end(request, RequestState.DONE, f"{done} {CACHED} {trained}")
            return
        # The rows are read from DVC's objects, so traces that are found by them go first.
        self._dataset.recover(self._journal.segments.holders(drop))
        elsewhere = yield from self._eraser.run(drop)
        count = self._dataset.purge(one["md5"] for one in self._journal.segments.holders(drop))
        gone = f"{count} objects of DVC's cache were purged; earlier revisions that need them can't be checked out"
        gone = "; ".join([gone, *elsewhere])
        self._journal.events.record(
            EventKind.PURGED, f"{drop['name']}: {gone}.", level=Level.WARNING, drop=drop["sha256"]
        )
        self._journal.checkpoint()
        self._end(request, RequestState.DONE, f"{done} {gone}. {trained}")

    def _end(self, request: Request, state: RequestState, detail: str) -> None:
        self._journal.requests.end(request.id, state, detail)
        requests.consume(self._home, request)
        log.info(state, request=request.id, detail=detail)
