"""A process that answers one order about segments and ends: bounded memory, one thread."""

import os
import sys
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa

from retraind.daemon.core import process_table

MEMORY_BYTES = 512 * 2**20


def answer(work: Callable[[Any], object]) -> None:
    """Write what `work` makes of the order at the standard input to the standard output, both in JSON."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # a library's own output is not part of the answer
        pa.set_memory_pool(pa.system_memory_pool())
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        process_table.limit_memory(MEMORY_BYTES)
        answers.write(orjson.dumps(work(orjson.loads(sys.stdin.buffer.read()))))
