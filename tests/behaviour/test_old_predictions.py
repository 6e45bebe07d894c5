"""A whole service whose predictions become Parquet files: killed meanwhile, then shown, explained, labelled and erased."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from service import REPOSITORY, Service, wait_until

from retraind.daemon.records.search import history_files

SETTINGS = {
    "RETRAIND_PREDICTIONS__HISTORY": "parquet",
    "RETRAIND_PREDICTIONS__KEEP_ROWS": "0",
    "RETRAIND_PREDICTIONS__ROTATE_BYTES": "600",
    "RETRAIND_PREDICTIONS__ROTATE_SECONDS": "0.5",
}


def in_files(service: Service) -> list[str]:
    """The ids in the files of the index."""
    paths = [service.home.logs / file["object"] for file in history_files.all_files(service.home.journal)]
    return [text for path in paths for text in pq.read_table(path)["prediction_id"].to_pylist()]


def shown(service: Service, query: str = "") -> list[str]:
    """The ids that the list shows."""
    status, page = service.ask(f"/predictions/history?limit=1000{query}")
    assert status == 200, page
    return [row["prediction_id"] for row in page["history"]]


def predict(service: Service, count: int) -> list[str]:
    answers: list[dict[str, Any]] = [service.wait_served() for _ in range(count)]
    return [answer["prediction_id"] for answer in answers]


@pytest.mark.slow
def test_old_predictions_are_there_as_new_ones_are(tmp_path: Path, served: Path) -> None:
    service = Service(tmp_path / "home", **SETTINGS).copied(served).start()
    try:
        ids = predict(service, 10)
        wait_until(lambda: in_files(service), what=f"the first file: {service.log()[-1500:]}")
        service.kill()
        service.end()
        service.start()
        ids += predict(service, 10)
        wait_until(lambda: set(ids[:8]) <= set(in_files(service)), what=f"files: {service.log()[-1500:]}")
        assert max(Counter(in_files(service)).values()) == 1
        assert max(Counter(shown(service)).values()) == 1
        assert set(ids) <= set(shown(service))
        assert service.ask("/dashboard/predictions")[0] == 200
        status, page = service.ask(f"/dashboard/predictions/{ids[3]}")
        assert (status, "sepal_length" in page) == (200, True)
        label(service, ids[2:4])
        erase(service)
        wait_until(lambda: set(in_files(service)).isdisjoint(ids[2:4]), what=f"the purge: {service.log()[-1500:]}")
        assert set(ids) - set(ids[2:4]) <= set(shown(service))
        assert service.ask(f"/dashboard/predictions/{ids[3]}")[0] == 404
        archive = service.ask("/health")[1]["checks"]["archive"]
        assert archive["ok"]
        assert re.match(r"\d+ old predictions in \d+ files?", archive["detail"])
    finally:
        service.end()


def label(service: Service, ids: list[str]) -> None:
    """Label two predictions that are in files only."""
    text = "".join(f"{identity},setosa\n" for identity in ids)
    (service.home.inbox / "labels.csv").write_text(f"prediction_id,species\n{text}")
    service.wait_ingested()
    wait_until(lambda: sorted(shown(service, "&label=with")) == sorted(ids), what="the labels")


def erase(service: Service) -> None:
    command = [sys.executable, "-m", "retraind.daemon", "forget", "labels.csv", "--home", str(service.home.root)]
    found = subprocess.run([*command, "--find"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "such predictions, in Parquet" in found.stdout
    assert subprocess.run([*command, "--purge"], cwd=REPOSITORY).returncode == 0
