"""RepairRound: the loop notices and repairs damage in `data/` by itself, and checks every byte on request.

Once a minute it looks for damage that would stop a commit; `retraind doctor --repair` requests a full check.
"""

from collections.abc import Callable, Iterator
from contextlib import closing

from retraind.daemon.core import logs, requests
from retraind.daemon.core.errors import DatasetDamaged, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.requests import Request
from retraind.daemon.core.states import EventKind, Level, RequestState
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.storage import artifact_paths
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.segments import StoredSegments

log = logs.Logger()

KIND = "repair"

LOOK_SECONDS, AGAIN_SECONDS = 60.0, 5.0
"""Seconds between two looks, normally and after damage that could not be repaired."""


class RepairRound:
    """Checks and repairs `data/`; used by the loop thread while no batch is in progress."""

    def __init__(self, home: Home, dataset: Dataset, journal: Journal) -> None:
        self._home, self._dataset, self._journal = home, dataset, journal
        self._work: Iterator[None] | None = None
        self._request: Request | None = None
        self._look_at = 0.0
        self._problem: str | None = None
        self._verified = ""
        """The segment that was compared last; each minute the next one follows."""

    def look(self, now: float) -> None:
        """Repair damage that would stop the next commit; `now` is monotonic seconds.

        Raises DatasetDamaged while it can't.
        """
        gone = not ((self._home.data / ".git").is_dir() and self._home.segments.is_dir())
        if now >= self._look_at or (gone and self._problem is None):
            self._look_at = now + AGAIN_SECONDS
            self._problem = self._remaining_damage()
            self._look_at = now + (AGAIN_SECONDS if self._problem else LOOK_SECONDS)
        if self._problem:
            raise DatasetDamaged(self._problem, hint="Run `retraind doctor`.")

    def has_opened(self, now: float) -> None:
        """Note that the dataset was just checked at its opening, so the next look is due soon.

        `now` is monotonic seconds.
        """
        self._look_at = now + AGAIN_SECONDS

    def _remaining_damage(self) -> str | None:
        """The damage that remains after all repairs."""
        live = self._live()
        if self._dataset.damage(live):
            self._dataset.repair(live)
        self._verify_one()
        return self._dataset.damage(live)

    def step(self) -> bool:
        """Continue the oldest repair request by one piece; True if there was one."""
        if self._work is None:
            self._request = next((one for one in requests.pending(self._home) if one.kind == KIND), None)
            if self._request is None:
                return False
            self._journal.requests.take(self._request.id, KIND, "", self._request.at.isoformat())
            self._work = self._work_on_all()
        try:
            next(self._work)
        except StopIteration:
            self._end(
                RequestState.DONE,
                "Every segment, every object of DVC and git's history were checked, and repaired where needed.",
            )
        except (OSError, RetraindError) as error:
            self._end(RequestState.REFUSED, str(error))
            raise
        return True

    def _verify_one(self) -> None:
        """Compare one segment, so that disk corruption is noticed before a training fails on it."""
        live = {one["name"]: one["sha256"] for one in self._journal.segments.current()}
        if live and self._work is None:
            self._verified = min((name for name in live if name > self._verified), default=min(live))
            if self._dataset.folder.verify({self._verified: live[self._verified]}):
                self._work = self._work_on_all()

    def _work_on_all(self) -> Iterator[None]:
        return self._dataset.repair_all(
            {one["name"]: (one["sha256"], one["md5"]) for one in self._journal.segments.current()}
        )

    def _live(self) -> dict[str, str]:
        return {one["name"]: one["md5"] for one in self._journal.segments.current()}

    def _end(self, state: RequestState, detail: str) -> None:
        self._work = None
        if self._request is None:  # no person requested it
            return
        self._journal.requests.end(self._request.id, state, detail)
        requests.consume(self._home, self._request)
        log.info(state, request=self._request.id, detail=detail)
        self._request = None


def repair_home(home: Home, report: Callable[[str], object], store: ObjectStore | None = None) -> None:
    """Repair a home in which no daemon runs, as far as possible, also from the object `store`.

    Call while holding its lock. Raises DatasetDamaged.
    """
    with closing(Journal.open(home.journal)) as journal:

        def report_and_record(sentence: str) -> None:
            journal.events.record(EventKind.REPAIRED, sentence, level=Level.WARNING)
            report(sentence)

        segments = journal.segments.current()
        with closing(Dataset(home, report_and_record, StoredSegments(home, store, journal))) as dataset:
            dataset.open({one["name"]: one["md5"] for one in segments}, journal.segments.replaced)
            for _ in dataset.repair_all({one["name"]: (one["sha256"], one["md5"]) for one in segments}):
                pass
        if moved := artifact_paths.relocate(home):
            report_and_record(moved)
