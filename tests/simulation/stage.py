"""The stage: what a process of the simulation has in place of threads, other processes and clocks, for good."""

import functools
import gc
from concurrent.futures import Future
from typing import Any, Self

import clock
import points
from players import Lookout, Trainee
from sqlalchemy import Engine, create_engine
from tqdm import tqdm

from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.inbox import watcher
from retraind.daemon.records.server import reader
from retraind.daemon.service import service
from retraind.daemon.storage import database_file, prediction_history
from retraind.daemon.tabular import csv_table, file_content

SMALL_BYTES, PIECE_ROWS = 1024, 6
"""A drop above so many bytes is a large one, and a merge reads so many rows at once: many steps come of little work."""


class Encoder:
    """Encodes at once: a thread would make its changes of the disk whenever it likes."""

    def __init__(self, *_: Any) -> None: ...

    def submit(self, action: Any, *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(action(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever it is, `result` raises it, as that of a thread does
            future.set_exception(error)
        return future

    def shutdown(self) -> None:
        """There is no thread."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


def install() -> None:
    """Put everything in place; all modules must be imported by now."""
    _replace(service, Trainer=Trainee)
    _replace(watcher, Watcher=Lookout)
    _replace(prediction_history.HistoryCopier, start=lambda self: None, stop=lambda self: self.close())
    _replace(file_content, SMALL_BYTES=SMALL_BYTES, BLOCK_BYTES=SMALL_BYTES)
    _replace(csv_table, BLOCK_BYTES=SMALL_BYTES)
    _replace(segments, PIECE_ROWS=PIECE_ROWS)
    _replace(segment_writer, ThreadPoolExecutor=Encoder)
    _replace(segments, ThreadPoolExecutor=Encoder)
    # An engine keeps the statements that it has compiled, which takes longer than anything that they do.
    _replace(database_file, create_engine=functools.cache(create_engine))
    _replace(tqdm, monitor_interval=0)  # DVC's progress bars would start a thread
    clock.install()
    points.install()
    points.install_server()


def _replace(owner: Any, **values: Any) -> None:
    for name, value in values.items():
        getattr(owner, name)  # it must be there still
        setattr(owner, name, value)


def let_go() -> None:
    """Close every connection to a database: a child must not inherit one."""
    reader.close()
    for held_object in gc.get_objects():
        if isinstance(held_object, Engine):
            held_object.dispose()
