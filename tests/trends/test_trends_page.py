"""web.pages.trends: sentences that are true, tables behind the charts, and the charts in a real browser."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import days
import pytest
from browser import CHROMIUM, Browser
from sites import Client, Site

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.trends import figures
from retraind.daemon.core.trends.figures import Sum
from retraind.daemon.storage.trends.store import Change, TrendStore
from retraind.web.pages.trend_sentences import duration, longest, moved, percent

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.make()
    return home


def page(home: Home, named: str = "1h") -> str:
    status, _, body = Client(home).ask("GET", "/dashboard/trends", QUERY_STRING=f"range={named}")
    assert status == 200
    return body.decode()


def sentence(text: str, chart: str) -> str:
    caption = re.search(rf'<figcaption id="trend-{chart}-sentence" data-live>([^<]*)</figcaption>', text)
    assert caption, chart
    return caption[1]


def test_the_vendored_files_are_those_of_the_release() -> None:
    """uPlot 1.6.32, MIT, from the npm package `uplot`; no package of PyPI has it."""
    vendor = ROOT / "web/static/vendor"
    sums = {path.name: durable.sha256(path.read_bytes()) for path in vendor.iterdir()}
    assert sums == {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    assert "(v1.6.32)" in (vendor / "uPlot.iife.min.js").read_text()[:200]


def test_without_figures_the_page_says_so_and_shows_no_zero(home: Home) -> None:
    text = page(home)
    assert "There are no figures yet." in text
    assert "Without figures in this time: Prediction requests, Errors" in text
    assert '<section class="panel trend"' not in text


def test_figures_that_end_are_the_first_thing_on_the_page(home: Home) -> None:
    days.write(home, 30, ["a"], ago=20)
    assert "Figures are missing." in page(home)


def test_figures_of_a_clock_that_was_wrong_hide_nothing(home: Home) -> None:
    days.write(home, 30, ["a"], ago=20)
    days.write(home, 5, ["a"], ago=-60 * 24 * 365)
    assert "Figures are missing." in page(home)


def test_fresh_figures_are_not_called_missing(home: Home) -> None:
    days.write(home, 70, ["a"])
    text = page(home)
    assert "Figures are missing." not in text
    assert "The daemon did not run" not in text


def test_a_gap_is_told(home: Home) -> None:
    days.write(home, 60, ["a"], gap=range(10, 25))
    assert "The daemon did not run for 15 min, at the longest between " in page(home)


def test_a_time_without_workers_is_told_and_has_no_requests(home: Home) -> None:
    store = TrendStore(home.trends)
    now = time.time()
    watched = {Sum.WATCHED: 60_000, Sum.SERVED: 0}
    store.add([Change(now - 60 * ago, {**figures.empty(), "sums": dict(watched)}) for ago in range(20)], {}, now=now)
    text = page(home)
    assert "no HTTP worker ran" in text
    assert "Without figures in this time: Prediction requests, Errors" in text


def test_sentences_tell_what_the_charts_show(home: Home) -> None:
    days.write(home, 60, ["setosa", "versicolor"])
    text = page(home)
    assert re.fullmatch(
        r"[\d,]+ prediction requests, [\d.]+ per minute on average, most at \d\d:\d\d .*", sentence(text, "requests")
    )
    assert re.fullmatch(
        r"(3|6) prediction requests of [\d,]+ failed \(503: (3|6)\), the last at \d\d:\d\d\.", sentence(text, "errors")
    )
    assert sentence(text, "latency").startswith("p99 ")
    assert "setosa 67 %, versicolor 33 %" in sentence(text, "predictions")
    assert "MB at the end" in sentence(text, "memory")


def test_without_an_error_it_is_said_of_how_many_requests(home: Home) -> None:
    store = TrendStore(home.trends)
    now = time.time()
    sums = {Sum.WATCHED: 60_000, Sum.SERVED: 60_000, "requests.200": 5, "predicting.200": 5}
    store.add([Change(now, {**figures.empty(), "sums": sums})], {}, now=now)
    assert sentence(page(home), "errors") == "None of 5 prediction requests failed."


def test_a_regression_has_its_values(home: Home) -> None:
    days.write(home, 60, None)
    text = page(home)
    assert sentence(text, "values").startswith("The median went from 2")
    assert sentence(text, "predictions") == "2,400 predictions of a number."
    assert 'id="trend-confidence"' not in text


def test_many_classes_with_hostile_names(home: Home) -> None:
    names = ["<script>alert(1)</script>", "a\u202eb", "x" * 300, *(f"class {number}" for number in range(110))]
    days.write(home, 60, names)
    text = page(home)
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "93 more lines are in the" in text


@pytest.mark.parametrize("named", ["1h", "6h", "24h", "7d", "30d", "1y"])
def test_each_range_has_a_table_for_each_chart(home: Home, named: str) -> None:
    days.write(home, 180, ["a"])
    text = page(home, named)
    assert text.count("<tbody>") == text.count('<section class="panel trend"') >= 10
    assert f'<a href="?range={named}" aria-current="true">' in text


def test_marks_lead_to_their_pages(home: Home) -> None:
    days.write(home, 60, ["a"])
    text = page(home)
    assert 'href="../dashboard/versions/2"' in text
    assert f'href="../dashboard/drops/{"ab" * 32}"' in text


def test_an_unknown_range_is_refused(home: Home) -> None:
    assert Client(home).ask("GET", "/dashboard/trends", QUERY_STRING="range=2h")[0] == 400


def test_the_longest_outage_is_a_run_of_steps() -> None:
    assert longest([0, 60, 0, 20, 60, 50, 0], 3) == (3, 6)
    assert longest([60, 60, 1, 60], 3) == (0, 2)
    assert longest([], 3) == (0, 0)


def test_words_for_changes_and_lengths() -> None:
    assert moved(4, 9, "ms") == "rose from 4 to 9 ms"
    assert moved(9, 4, "ms") == "fell from 9 to 4 ms"
    assert moved(4, 4.2, "ms") == "stayed at 4.2 ms"
    assert [percent(share) for share in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
    assert [duration(seconds) for seconds in (30, 7800, 90_000, 172_860)] == [
        "under a minute",
        "2 h 10 min",
        "1 d 1 h",
        "2 d 1 min",
    ]


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A worker of a home without figures."""
    running = Site(tmp_path / "served")
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    running = Browser(tmp_path / "browser")
    yield running
    running.close()


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_browser_draws_every_chart_and_its_keys_read_them(site: Site, browser: Browser) -> None:
    days.write(site.home, 120, ["a", "b"], gap=range(30, 40))
    browser.open(f"http://127.0.0.1:{site.port}/dashboard/trends?range=6h")
    charts = browser.wait("document.readyState === 'complete' && document.querySelectorAll('.trend').length")
    assert browser.wait(f"document.querySelectorAll('.trend canvas').length === {charts}")
    painted = """[...document.querySelectorAll('.trend canvas')].filter((canvas) => {
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return pixels.some((value, index) => index % 4 === 3 && value > 0);
    }).length"""
    assert browser.wait(painted) == charts
    browser.wait("document.querySelector('#trend-latency .plot').focus() || true")
    for _ in range(2):
        browser.call(
            "Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37
        )
    read = browser.wait("document.querySelector('#trend-latency .reading').textContent")
    assert re.fullmatch(r"\d\d:\d\d: p50 \S+, p95 \S+, p99 \S+", read)
    assert not browser.complaints
    assert all(url.startswith((f"http://127.0.0.1:{site.port}/", "about:")) for url in browser.requests)


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_new_figures_are_drawn_without_a_reload(own_site: Site, browser: Browser) -> None:
    days.write(own_site.home, 20, ["a"], ago=30)
    browser.open(f"http://127.0.0.1:{own_site.port}/dashboard/trends?range=1h")
    before = browser.wait("document.querySelectorAll('#trend-requests td[data-v]').length")
    browser.wait("!!(window.kept = document.querySelector('#trend-requests canvas'))")
    days.write(own_site.home, 10, ["a"])
    browser.wait(f"document.querySelectorAll('#trend-requests td[data-v]').length > {before}")
    assert browser.wait("window.kept === document.querySelector('#trend-requests canvas')")
    assert browser.wait("uPlot && charts[0].plot.data[1].filter((value) => value !== null).length") > before
    assert not browser.complaints


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_chart_appears_with_its_first_figures(own_site: Site, browser: Browser) -> None:
    browser.open(f"http://127.0.0.1:{own_site.port}/dashboard/trends?range=1h")
    browser.wait("document.readyState === 'complete' && !document.querySelector('.trend')")
    days.write(own_site.home, 10, ["a"])
    browser.wait("document.querySelectorAll('.trend canvas').length > 5")
    assert not browser.complaints


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_single_figure_between_gaps_is_a_dot(own_site: Site, browser: Browser) -> None:
    store, now = TrendStore(own_site.home.trends), time.time()
    score: figures.Figures = {**figures.empty(), "gauges": {"live_score": figures.gauge(0.9, now)}}
    store.add([Change(now - 1800, score)], {}, now=now)
    store.close()
    browser.open(f"http://127.0.0.1:{own_site.port}/dashboard/trends?range=1h")
    browser.wait("document.querySelector('#trend-live canvas')?.width > 0")
    assert browser.wait("alone(charts[0].plot, 1, false).length") == 1
    painted = """(() => {
        const { plot } = charts[0], x = plot.valToPos(plot.data[0][alone(plot, 1, false)[0]], 'x', true), y = plot.valToPos(0.9, 'y', true);
        const around = plot.ctx.getImageData(x - 5, y - 5, 11, 11).data;
        return around.some((value, index) => index % 4 === 2 && value > around[index - 2] + 50 && around[index + 1] > 0);
    })()"""
    assert browser.wait(painted)
