"""retraind.daemon.inbox.rejected_folder: nothing unfinished stays in the folder when a name can't be given. A real folder; the rename fails."""

import errno
import os
from typing import Any

import pytest
from conftest import names

from retraind.daemon.core import shared_folder
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.rejected_folder import Rejected


def test_file_that_does_not_get_its_name_goes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are tried again, so each attempt would leave a file with rows of the drop, and fill a disk that is full."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    inbox = shared_folder.Folder(os.open(home.inbox, shared_folder.FOLDER), str(home.inbox), frozenset({os.geteuid()}))
    place = Rejected.of(inbox)
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space left"):
        place.report("a.csv", {"reason": "bad"})
    with pytest.raises(OSError, match="No space left"):
        place.quarantine("a.csv", "0" * 64, [b"5.1,3.5\n"])
    assert names(home.rejected) == []
