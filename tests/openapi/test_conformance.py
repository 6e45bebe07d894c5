"""The service does what `/openapi.json` says of it: schemathesis with every check, on real workers."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import bundles
import pytest
from service import Service, wait_until
from sites import Site

from retraind.daemon.core.settings import Server, Settings

TESTS = Path(__file__).parents[1]
FEW, MANY = ("--max-examples", "4", "--seed", "1", "--phases", "examples,coverage,fuzzing"), ("--max-examples", "100")
FEWER = ("--max-examples", "4", "--seed", "1", "--phases", "examples,fuzzing")
"""The first are the same in each run, so that a change is to blame if one fails; the others are new each time."""

DOORS = "/(invocations|ping|version$|v1|v2)"
SAME = "/v[12]/models/.+/(versions|labels)/"
"""Operations on a version by number or label, which are those on the served one under another name."""

EXPORT = "/versions/.+/export"
"""Each answer starts a process that takes seconds; tests/api/test_version_archive.py has its answers."""

COLUMNS = r"^/(predict|add_training_data|invocations|v1/models/\{name\}(:\w+|/metadata)?|v2/models/\{name\}(/infer)?)$"
"""Operations whose description or answers follow from the columns of the served version."""

PAGES_SHORTLY = """
[[operations]]
include-path-regex = "^/dashboard"
phases.coverage.enabled = false
"""
"""Each limit of each parameter of a page is a page that is drawn; the lists behind the pages have the same parameters."""

few_or_many = pytest.mark.parametrize("depth", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])


def without(depth: tuple[str, ...], always: str, few: str) -> tuple[str, ...]:
    """The options of a depth, leaving out operations: some always, and others when there are to be few."""
    left_out = [pattern for pattern in (always, few if depth is FEW else "") if pattern]
    return (*depth, *(("--exclude-path-regex", "|".join(left_out)) if left_out else ()))


def conforms(url: str, *options: str, config: Path = TESTS / "schemathesis.toml", described: str = "") -> None:
    """Run every check on every operation; the report is the message of a failure."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)]
    done = subprocess.run(
        [*command, "run", described or f"{url}/openapi.json", "--url", url, "--checks", "all", *options],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@contextmanager
def tended(site: Site) -> Iterator[str]:
    """The site's address, while a stand-in publishes as its daemon: without a daemon, /health rightly answers 503."""
    ended = threading.Event()

    def tend() -> None:
        while not ended.wait(1):
            site.tell_status()

    site.tell_status()
    daemon = threading.Thread(target=tend)
    daemon.start()
    try:
        yield f"http://127.0.0.1:{site.port}"
    finally:
        ended.set()
        daemon.join()


@pytest.mark.timeout(1800)
@few_or_many
def test_a_classifier_is_served_as_described(own: Site, tmp_path: Path, depth: tuple[str, ...]) -> None:
    """And after a swap to a regression with other columns, that one."""
    config = tmp_path / "schemathesis.toml"
    config.write_text((TESTS / "schemathesis.toml").read_text() + (PAGES_SHORTLY if depth is FEW else ""))
    with tended(own) as url:
        conforms(url, *without(depth, "", f"{SAME}|{EXPORT}"), config=config)
        own.home.schema.write_bytes(bundles.PRICES.dump())
        bundles.point(own.home, bundles.make_prices(own.home, 2))
        own.wait(2)
        # What has nothing to do with the columns is described and served as before.
        again = (*FEWER, "--include-path-regex", COLUMNS) if depth is FEW else without(depth, "", SAME)
        conforms(url, *again)


@pytest.mark.timeout(1800)
@few_or_many
def test_tokens_are_needed_as_described(tmp_path: Path, depth: tuple[str, ...]) -> None:
    """With one that may all, all works; the checks also send requests without it, and with a wrong one."""
    site = Site(tmp_path / "home", Settings(server=Server(auth="always")))
    site.home.token.write_text("a-token-for-this-test\n")
    config = tmp_path / "schemathesis.toml"
    token = '[auth.openapi]\ntoken = { bearer = "a-token-for-this-test" }\n'
    config.write_text((TESTS / "schemathesis.toml").read_text() + token)
    described = tmp_path / "openapi.json"
    described.write_bytes(
        site.ask("GET", "/openapi.json", headers={"Authorization": "Bearer a-token-for-this-test"})[2]
    )
    # Where the answers lead to is not among these, so there is no stateful phase.
    chosen = (
        "--include-path-regex",
        "^/(add_training_data|trigger_retrain|promote|rollback|predict|drops|v2/models/{name})$",
    )
    phases = ("--phases", "examples,coverage,fuzzing")
    with closing(site), tended(site) as url:
        conforms(url, *depth, *chosen, *phases, config=config, described=str(described))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@few_or_many
def test_the_whole_service_is_as_described_before_and_after_a_swap(
    tmp_path: Path, served: Path, depth: tuple[str, ...]
) -> None:
    """A daemon, its trainer and its workers: what is posted becomes drops, trainings and versions meanwhile."""
    lenient = {"RETRAIND_PROMOTE__TOLERANCE": "1", "RETRAIND_PROMOTE__RECALL_TOLERANCE": "1"}
    service = Service(tmp_path / "home", RETRAIND_INBOX__NEW_CLASSES="accept", **lenient).copied(served).start()
    try:
        service.wait_served(1)
        conforms(service.url, *without(depth, "", DOORS))
        rows = [f"{5 + n / 100:.2f},3.1,{2 + n / 100:.2f},0.{n % 9},hybrid" for n in range(60)]
        service.drop("hybrid.csv", rows)
        wait_until(
            lambda: "hybrid" in (service.predict() or {}).get("probabilities", {}), 180, "a version that knows hybrids"
        )
        # A version from before would be served again, rightly with another description than the one that is checked.
        conforms(service.url, *without(depth, "/(promote|rollback)", DOORS))
    finally:
        service.end()
