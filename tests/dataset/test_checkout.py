"""retraind.daemon.dataset.checkout with real git and DVC."""

from pathlib import Path

import pytest
from test_dataset import MESSAGE, reopened, segment

from retraind.daemon.core import durable
from retraind.daemon.core.errors import NotFound, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import dvc
from retraind.daemon.dataset.checkout import check_out
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal


def test_revision_is_fetched_into_another_home(
    home: Home, schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified against its md5; if an object is gone or there is no room, that is said before DVC begins."""
    assert schema
    Journal.open(home.journal).close()
    opened = reopened(home, {})
    first, second = segment(home, 1), segment(home, 2)
    revision = opened.commit(1, {one.name: one.md5 for one in (first, second)}, MESSAGE)

    def fetch(name: str) -> list[str]:
        scratch = Home(tmp_path / name)
        scratch.make()
        checkout = check_out(home, scratch, revision)
        assert [durable.sha256_file(scratch.segments / one) for one in sorted(checkout)] == sorted(
            [first.sha256, second.sha256]
        )
        return checkout

    assert sorted(fetch("a")) == sorted([first.name, second.name])
    with monkeypatch.context() as full:
        full.setattr(dvc, "LEAST_BYTES", 1 << 62)
        with pytest.raises(Unavailable, match="TMPDIR"):
            fetch("b")
    assert opened.purge([second.md5, "0" * 32]) == 1
    with pytest.raises(NotFound, match="1 segments of revision"):
        fetch("c")
    opened.close()
