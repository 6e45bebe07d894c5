"""retraind.web.pages.overview: a real journal and pointer on disk, the document's answers, the page, and the page in a real browser."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
import stories
from stories import HOSTILE, Story, alive, states

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.records.records import Records
from retraind.web.dashboard.document import document
from retraind.web.pages import templates
from retraind.web.pages.overview import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def test_empty_home_is_unknown_and_shows_the_quick_start(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    empty = document(home, Records(home), None, {})
    assert states(empty) == ["unknown"] * 5
    page = render(empty)
    assert str(home.inbox) in page
    assert "retraind init" in page
    assert 'class="tile ok"' not in page


def test_all_well(well: Story) -> None:
    page = well.document(alive())
    assert states(page) == ["ok"] * 5
    assert page["tiles"][1]["sentence"] == "The gate's sentence about version 1."
    assert "n = 30" in str(page["tiles"][3]["facts"])
    assert [station["kind"] for station in page["lineage"]] == [
        "drops",
        "batch",
        "revision",
        "run",
        "version",
        "predictor",
    ]
    assert page["lineage"][0]["name"] == "iris.csv"


def test_every_document_is_json(well: Story) -> None:
    well.reject(HOSTILE[0])
    assert orjson.loads(orjson.dumps(well.document(alive(), {"request_count": 1}))) is not None


def test_user_text_is_escaped_and_shown(well: Story) -> None:
    well.accept(*HOSTILE)
    for name in HOSTILE:
        well.reject(name)
        well.journal.events.record(EventKind.PROBLEM, name, level=Level.ERROR)
    page = render(well.document(alive()))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "{{7*7}}" in page
    assert "\u202e" not in page
    assert "a\\u202egnp.csv" in page


def test_the_page_fits_its_content_security_policy(well: Story) -> None:
    page = render(well.document(alive()))
    assert not re.search(r"""\sstyle=|\son\w+=|<style|javascript:""", page)
    sources = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert sources
    assert all("//" not in source and not source.startswith("/") for source in sources)
    assert all(templates.asset(source.removeprefix("static/")) for source in sources if source.startswith("static/"))


def test_curl_lines_survive_a_shell(well: Story) -> None:
    lesson = well.document(alive())["teach"]
    said = subprocess.run(["sh", "-c", f"printf %s {lesson['tell']}"], capture_output=True, check=True).stdout
    assert orjson.loads(said) == {"features": {"petal, length": 3.95, "it's": "red"}, "target": "setosa"}
    assert lesson["header"] == '"petal, length",it\'s,species'


def test_assets_are_a_closed_set() -> None:
    name = templates.asset_name("dashboard.css")
    asset = templates.asset(name)
    assert asset is not None
    assert asset[1].startswith("text/css")
    assert re.fullmatch(r"dashboard\.[0-9a-f]{12}\.css", name)
    for outside in ("dashboard.css", "../dashboard.py", "", "/etc/passwd"):
        assert templates.asset(outside) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "now"), (59, "59 s ago"), (60, "1 min ago"), (7300, "2 h ago"), (-90, "in 1 min")]
)
def test_relative_times(seconds: float, said: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert templates.ago(now - timedelta(seconds=seconds), now) == said


@pytest.fixture
def address(well: Story) -> Iterator[str]:
    """The page under the policy of the real server; the stream answers 404, so that the page has to poll."""
    for name in HOSTILE:
        well.reject(name)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = templates.asset(self.path.removeprefix("/static/")) or (b"", "text/html; charset=utf-8")
            if self.path == "/dashboard":
                body = render(well.document(alive())).encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", kind)
            policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/dashboard"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_browser_shows_the_answers_and_runs_no_foreign_script(address: str, tmp_path: Path) -> None:
    assert CHROMIUM, "CI needs chromium for this test."
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=2000 --dump-dom"
    command = [CHROMIUM, *flags.split(), *quiet.split(), f"--user-data-dir={tmp_path / 'browser'}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    page = done.stdout
    assert re.search(r'<html lang="en" data-up="" data-path="/dashboard" class="scripted"', page), done.stderr
    assert address.removesuffix("/dashboard") + "</span>/predict" in page, "the script has not run to its end"
    assert len(re.findall(r'<article class="tile ', page)) == 4
    assert "The gate's sentence about version 1." in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Content Security Policy" not in done.stderr
