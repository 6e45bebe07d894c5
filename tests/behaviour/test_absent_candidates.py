"""A candidate of the settings whose package is not installed: said at the start and wherever one looks, and no training fails of it."""

import json
import subprocess
import sys
from pathlib import Path

from service import REPOSITORY, Service, flowers, wait_until

from retraind.daemon.core.errors import Exit

NAMES = ["logistic", "nowhere.trees:Forest"]
SENTENCE = "nowhere.trees:Forest: the package nowhere is not installed."


def test_candidate_that_is_not_installed_is_said_and_left_out(tmp_path: Path, served: Path) -> None:
    """The log and the events of the start, health, page and doctor name it; the others train the next version without it."""
    service = Service(tmp_path / "home", RETRAIND_TRAIN__CANDIDATES=json.dumps(NAMES)).copied(served)
    try:
        service.start().wait_served(1)
        wait_until(lambda: "candidates" in service.ask("/health")[1]["checks"], what=service.log()[-2000:])
        status, health = service.ask("/health")
        assert (status, health["checks"]["candidates"]["ok"]) == (503, False)
        assert SENTENCE in health["checks"]["candidates"]["detail"]
        assert any(SENTENCE in event["message"] for event in service.ask("/events?limit=1000")[1]["events"])
        assert "candidates_not_installed" in service.log()
        service.drop("more.csv", flowers(5, 90))
        wait_until(lambda: service.ask("/versions/2")[0] == 200, what=service.log()[-2000:])
        scores = service.ask("/versions/2")[1]["scores"]
        assert scores["left_out"] == {"nowhere.trees:Forest": SENTENCE}
        assert [one["name"] for one in scores["candidates"]] == ["logistic"]
    finally:
        service.end()


def test_doctor_names_a_candidate_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "retraind.toml").write_text(f"[train]\ncandidates = {json.dumps(NAMES)}\n")
    command = [sys.executable, "-m", "retraind.daemon", "doctor", "--json", "--home", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    [finding] = [each for each in json.loads(done.stdout) if each["what"] == "candidates"]
    assert (done.returncode, finding["ok"], SENTENCE in finding["detail"]) == (Exit.UNHEALTHY, False, True)
