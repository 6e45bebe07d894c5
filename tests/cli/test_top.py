"""`retraind top` at a real terminal, and its screen at every size."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import forked
from running import a_status
from sites import PREDICTION, Site
from terminals import Terminal, plain

from retraind.daemon.access import tokens
from retraind.daemon.core import status
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import Training
from retraind.daemon.storage.journal import Journal
from retraind.web.terminal import screen
from retraind.web.terminal.figures import Past, Recent, between
from retraind.web.terminal.sources import HomeSource, Moment, Silent

ROOT = Path(__file__).parents[2]
COLOUR = "\x1b[1;31m"


def terminal(*arguments: str, columns: int = 80, rows: int = 24, **variables: str) -> Terminal:
    command = [sys.executable, "-m", "retraind.daemon", "top", *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", **variables}
    return Terminal(command, environment, columns, rows, cwd=ROOT)


@pytest.fixture
def busy(site_alone: Site) -> Site:
    """A worker beside a daemon that this process pretends to be, in the middle of a training."""
    Journal.open(site_alone.home.journal).close()
    training = Training(run=2, reason="growth", stage="cross-validating forest", step=3, steps=8, since="", left=12)
    status.publish(site_alone.home.status, a_status(training=training))
    return site_alone


@pytest.fixture
def site_alone(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "home")
    yield site
    site.close()


def test_terminal_shows_what_the_page_shows(busy: Site) -> None:
    """Verdict, model, requests, training; q restores the terminal."""
    for _ in range(3):
        busy.post("/predict", PREDICTION)
    shown = terminal("--home", str(busy.home.root))
    try:
        text = shown.shows("q ends")
        assert shown.modes != shown.before
        page = busy.get("/dashboard/data")[1]
        assert page["verdict"]["word"] in text
        assert "v1" in text
        assert "3/8 cross-validating forest, about 12 s" in text
        assert "1 worker" in text
        shown.type("q")
        assert shown.ends() == Exit.OK
        assert shown.modes == shown.before
        assert "\x1b[?1049l" in shown.raw, "the screen from before is back"
    finally:
        shown.close()


@pytest.mark.parametrize("columns", [80, 32])
def test_terminal_turns_red_when_workers_and_daemon_die(busy: Site, columns: int) -> None:
    """Within seconds, and nothing of the green screen stays; Ctrl-C ends it."""
    shown = terminal("--home", str(busy.home.root), columns=columns)
    try:
        shown.shows("q ends")
        busy.process.send_signal(signal.SIGKILL)
        busy.process.wait(10)
        shown.shows("Failing: worker", 30)
        assert COLOUR in shown.raw
        status.publish(busy.home.status, a_status(heartbeat=0.0))
        shown.shows("daemon", 30)
        shown.type("\x03")
        assert shown.ends() == Exit.OK
        assert shown.modes == shown.before
    finally:
        shown.close()


def test_worker_that_is_stopped_counts_as_silent(busy: Site) -> None:
    """It holds its lock and its port, but answers nothing."""
    source = HomeSource(busy.home, Settings())
    assert source.now().document["service"]["workers"] == 1
    busy.process.send_signal(signal.SIGSTOP)
    try:
        shown = terminal("--home", str(busy.home.root), NO_COLOR="1")
        try:
            shown.shows("No HTTP worker has reported for 5 s", 30)
            assert "\x1b[1;31m" not in shown.raw, "no colours"
        finally:
            shown.close()
    finally:
        busy.process.send_signal(signal.SIGCONT)


def test_home_that_is_gone_leaves_no_old_screen(busy: Site) -> None:
    shown = terminal("--home", str(busy.home.root))
    try:
        shown.shows("q ends")
        busy.home.registry.rename(busy.home.root / "moved")
        text = shown.shows("Not known")
        text += shown.shows("The last answer came at")
        assert "is gone" in text
    finally:
        (busy.home.root / "moved").rename(busy.home.registry)
        shown.close()


def test_terminal_is_drawn_again_when_its_size_changes(busy: Site) -> None:
    shown = terminal("--home", str(busy.home.root))
    try:
        shown.shows("q ends")
        shown.resize(50, 12)
        shown.shows("q ends", 5)
    finally:
        shown.close()


def test_without_a_terminal_it_prints_once(busy: Site) -> None:
    """For pipes and files: whole lines, no control characters; the verdict is the page's, also in JSON."""
    done = forked("top", home=busy.home)
    assert done.returncode == Exit.OK
    assert "\x1b" not in done.stdout
    assert "cross-validating forest" in done.stdout
    facts = json.loads(forked("top", "--json", home=busy.home).stdout)
    page = busy.get("/dashboard/data")[1]
    assert facts["verdict"]["headline"] == page["verdict"]["word"]
    assert [facts[name]["headline"] for name in ("model", "data", "quality")] == [
        tile["headline"] for tile in page["tiles"][1:]
    ]


def test_another_machine_is_asked_by_its_address(tmp_path: Path) -> None:
    """With a token; without an answer, or with that of another program, it says so and fails."""
    site = Site(tmp_path / "home", Settings.model_validate({"server": {"auth": "always"}}))
    address = f"http://127.0.0.1:{site.port}"
    try:
        (tmp_path / "token").write_text(tokens.create(site.home, "top", [Scope.READ]) + "\n")
        done = forked("top", "--url", address, "--token-file", tmp_path / "token")
        assert "v1" in done.stdout
        refused = forked("top", "--url", address)
        assert refused.returncode == Exit.UNAVAILABLE
        assert "answers 401: give a token of scope `read` with --token-file" in refused.stderr
        other = forked("top", "--url", f"{address}/livez?", "--token-file", tmp_path / "token")
        assert (other.returncode, other.stdout) == (Exit.UNAVAILABLE, "")
    finally:
        site.close()
    gone = forked("top", "--url", address)
    assert (gone.returncode, gone.stdout) == (Exit.UNAVAILABLE, "")
    assert "does not answer: Connection refused" in gone.stderr
    assert forked("top", "--url", "ftp://x").returncode == Exit.USAGE


@pytest.fixture(scope="module")
def moment(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    home = Home(tmp_path_factory.mktemp("empty"))
    home.make()
    return HomeSource(home, Settings()).now()


@pytest.mark.parametrize("width", [1, 12, 20, 33, 60, 80, 200])
@pytest.mark.parametrize("height", [1, 3, 8, 24, 80])
def test_screen_fits_every_terminal(moment: Moment, width: int, height: int) -> None:
    name = "/srv/" + "long" * 40
    rows = screen.lines(moment, Recent(10, 3.5, 2, 0.001, 0.02), name, width, height)
    rows_silent = screen.silent("It is gone. " * 30, name, "2026-01-01T00:00:00Z", width, height)
    for shown in (rows, rows_silent):
        assert len(shown) <= max(height, 2)
        assert all(row.cell_len <= width for row in shown), [row.plain for row in shown]


def test_empty_home_is_never_green(moment: Moment) -> None:
    """No daemon, no worker, no model: the first line says so."""
    text = "\n".join(row.plain for row in screen.lines(moment, Past().add(moment), "/srv", 200, 40))
    assert moment.document["verdict"]["state"] in ("act", "unknown")
    assert "No HTTP worker has reported" in text
    assert "✔" not in text


def test_names_of_others_do_not_control_the_terminal(moment: Moment) -> None:
    event = {**moment.document, "events": [{"at": "2026-01-01T00:00:00Z", "level": "info", "message": "a\x1b[2Jb"}]}
    hostile = Moment(moment.clock, event)  # type: ignore[arg-type]
    text = "\n".join(row.plain for row in screen.lines(hostile, Past().add(hostile), "x\x1b]0;y\x07", 200, 40))
    assert "\x1b" not in text
    assert plain(text) == text


def test_figures_are_those_of_the_last_minute(moment: Moment) -> None:
    """Rates and quantiles come from differences; a home that was replaced has none."""
    service = moment.document["service"]

    def at(clock: float, requests: int, slow: int, failures: int = 0) -> Moment:
        page = {**moment.document, "service": {**service, "request_count": requests, "failures": failures}}
        buckets = [0] * 30
        buckets[6], buckets[18] = requests - slow, slow
        return Moment(clock, page, tuple(buckets))  # type: ignore[arg-type]

    past = Past()
    assert past.add(at(0, 1000, 1000)).rate is None
    recent = past.add(at(10, 1100, 1001, 3))
    assert (recent.rate, recent.failures, recent.seconds) == (10.0, 3, 10)
    assert recent.p50 is not None
    assert recent.p50 < 0.0011
    assert past.add(at(200, 1100, 1001, 3)).rate is None, "older moments do not count"
    assert between(at(0, 10, 0), at(1, 5, 0)).rate is None


def test_source_without_its_home_says_so(tmp_path: Path) -> None:
    with pytest.raises(Silent, match="registry is gone"):
        HomeSource(Home(tmp_path), Settings()).now()
