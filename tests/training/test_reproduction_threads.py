"""retraind.daemon.training.reproduction on more cores than the trainer uses: sums of several threads are taken in another order."""

from pathlib import Path
from typing import Any

import pytest
from conftest import home_below
from test_reproduction import PRICES, SMALL, again, opened, prices
from threadpoolctl import threadpool_limits


@pytest.mark.parametrize(
    ("candidates", "settings"), [(["kernel"], {}), (["kernel", "ridge", "boosting"], {"tune_seconds": 1.5, "folds": 2})]
)
def test_model_of_one_thread_is_the_same_on_many_cores(
    tmp_path: Path, migrated: Path, candidates: list[str], settings: dict[str, Any]
) -> None:
    """The trainer computes in one thread. A command may have all cores, and enough rows for them to share."""
    with opened(home_below(tmp_path, migrated), PRICES, *map(prices, range(8))) as works:
        with threadpool_limits(1):
            version = works.train(*candidates, grids=SMALL, **settings)
        with threadpool_limits(2):
            assert again(works, version)["equal"] == "bit for bit"
