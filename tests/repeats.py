"""Coverage is measured where a test runs first, and not where a long one runs again with other parameters; a plugin of pytest.

Measuring takes two fifths of the time of Python code, and such a case hardly reaches a line that the first has not.
A case on a server is no repetition of one on a file. `./ci.sh --full` measures all.
"""

import os
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LONG = 0.2
"""Seconds of the first case from which further ones are not measured: short ones are often those of single branches."""

_seconds: dict[tuple[Any, ...], float] = {}
"""How long the first case of each test took, by what makes it another test."""


@contextmanager
def unmeasured() -> Iterator[None]:
    """Leave out what this thread runs, and the threads that it starts."""
    own, others = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(others)
        sys.settrace(own)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure a test, unless it is a repetition."""
    callspec = getattr(item, "callspec", None)
    engine = callspec.params.get("engine") if callspec else None
    test = (item.path, getattr(item, "originalname", item.name), engine)
    if os.environ.get("MEASURE") != "processes" and _seconds.get(test, 0) > LONG:
        with unmeasured():
            return (yield)
    began = time.monotonic()
    result = yield
    _seconds.setdefault(test, time.monotonic() - began)
    return result
