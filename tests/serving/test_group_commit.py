"""retraind.web.serving.prediction_log and retraind.web.serving.group_commit: what is written when, what is synced when, and what a full disk leaves."""

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prediction_lines import held

from retraind.daemon.core.errors import NotKept
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.records.records import Records
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.web.serving.group_commit import Durability
from retraind.web.serving.prediction_log import GROUP_BYTES, PredictionLog

STRICT = Predictions(durability="strict")


class Counted(PredictionLog):
    """The log, with its syncs counted."""

    syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        super().sync()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: writes stop in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def line(number: int, size: int = 300) -> bytes:
    """A prediction's line of exactly `size` bytes."""
    start = b'{"prediction_id":"%d","timestamp":"2026-01-01T00:00:00.000Z","features":["' % number
    end = b'"],"prediction":0,"prediction_name":"a","confidence":1.0,"model_version":1,"latency_ms":0.5}\n'
    return start + b"x" * (size - len(start) - len(end)) + end


def ids(home: Home) -> list[int]:
    """What the history holds, oldest first."""
    return [int(row["prediction_id"]) for row in reversed(Records(home).predictions.newest(100_000))]


def copied(home: Home) -> list[int]:
    """Copy everything, as the daemon does, and return what the history holds."""
    history_copier = HistoryCopier(home, Settings())
    history_copier.copy()
    history_copier.close()
    return ids(home)


def test_many_waiting_answers_share_one_sync(home: Home) -> None:
    log = Counted(home.logs, 0, STRICT)
    durability = Durability(log)

    async def ask(number: int) -> None:
        log.append([line(number)])
        await durability.wait()

    async def ask_many() -> None:
        await asyncio.gather(*(ask(number) for number in range(50)))
        await asyncio.gather(*(ask(number) for number in range(50, 100)))

    asyncio.run(ask_many())
    assert log.syncs == 2
    durability.close()
    assert copied(home) == list(range(100))


def test_a_client_that_goes_does_not_keep_others_waiting(home: Home) -> None:
    log = PredictionLog(home.logs, 0, STRICT)
    durability = Durability(log)

    async def ask() -> None:
        log.append([line(0)])
        first, second = asyncio.create_task(durability.wait()), asyncio.create_task(durability.wait())
        await asyncio.sleep(0)
        first.cancel()
        await second

    asyncio.run(ask())
    durability.close()


def test_a_large_request_is_written_in_bounded_pieces(home: Home) -> None:
    log = PredictionLog(home.logs, 0, Predictions(rotate_bytes=GROUP_BYTES * 2))
    log.append([line(number) for number in range(10_000)])
    log.close()
    sizes = [path.stat().st_size for path in home.logs.glob("*.jsonl")]
    assert len(sizes) > 10
    assert max(sizes) <= GROUP_BYTES * 2
    assert copied(home) == list(range(10_000))


@pytest.mark.parametrize("spare", [0, 1, 299, 300, 301, 750])
def test_a_disk_that_fills_in_a_group_keeps_its_whole_lines_once(home: Home, spare: int) -> None:
    """The copier may look at any moment; what it has copied must not be taken back, nor what follows be skipped."""
    lock = held(home)
    log = PredictionLog(home.logs, 0, Predictions())
    history_copier = HistoryCopier(home, Settings())
    log.append([line(0)])
    with largest_file(300 + spare):
        log.append([line(number) for number in range(1, 5)])
    fit = spare // 300
    assert log.lost == 4 - fit
    assert f"{log.lost} predictions were answered and not logged" in (log.problem or "")
    history_copier.copy()
    assert ids(home) == list(range(1 + fit))
    log.append([line(5)])
    assert log.problem is None
    log.close()
    history_copier.copy()
    history_copier.close()
    os.close(lock)
    assert ids(home) == [*range(1 + fit), 5]


def test_strict_what_can_not_be_written_is_refused(home: Home) -> None:
    log = PredictionLog(home.logs, 0, STRICT)
    log.append([line(0)])
    with largest_file(700), pytest.raises(NotKept, match="can't be logged"):
        log.append([line(number) for number in range(1, 1000)])
    assert log.lost == 0, "nothing was answered"
    log.append([line(1000)])
    log.close()
    assert copied(home) == [0, 1, 1000], "what did fit is on the disk; nobody was told its id"


def test_a_file_is_left_at_its_age_even_if_nothing_comes(home: Home) -> None:
    log = PredictionLog(home.logs, 0, Predictions(rotate_seconds=0.2))
    log.append([line(0)])
    (first,) = home.logs.glob("*.jsonl")
    time.sleep(0.3)
    log.sync()
    (second,) = set(home.logs.glob("*.jsonl")) - {first}
    time.sleep(0.3)
    log.sync()
    assert set(home.logs.glob("*.jsonl")) == {first, second}, "an empty file needs no successor"
    log.append([line(1)])
    time.sleep(0.3)
    log.append([line(2)])
    assert len(list(home.logs.glob("*.jsonl"))) == 3
    log.close()


def test_a_closed_log_begins_another_file(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, 0, Predictions())
    for number in range(2):
        log.append([line(number)])
        log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
