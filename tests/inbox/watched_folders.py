"""A watched inbox; a test module makes a fixture of `watched`."""

import os
from collections.abc import Iterator

import pytest
from watching import Watched

from retraind.daemon.core.home import Home

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts and other users need root")


def watched(home: Home) -> Iterator[Watched]:
    watched = Watched(home)
    assert watched.watch() == []
    watched.until("Watched.")
    watched.forget()
    yield watched
    watched.watcher.close()
