"""retraind.web.serving.version_cache: versions beside the served one, asked for by number or alias, with real bundles and a real worker."""

import json
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import bundles
import pytest
from sites import PREDICTION, Site

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.web.http.problems import Problem
from retraind.web.serving import version_cache
from retraind.web.serving.predictor import Predictor
from retraind.web.serving.version_cache import VersionCache


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    for version in (1, 2, 3):
        bundles.record(home, bundles.make(home, version, favourite=version % 3))
    return home


def taken(own: VersionCache, version: int) -> Predictor:
    predictor = own.find(version)
    if isinstance(predictor, Future):
        predictor.result(20)
        predictor = own.find(version)
    assert isinstance(predictor, Predictor)
    return predictor


def refused(own: VersionCache, version: int) -> Problem:
    with pytest.raises(Problem) as problem:
        taken(own, version)
    return problem.value


def clear(home: Home, version: int) -> None:
    """As `retraind.daemon.promotion.old_versions` does."""
    for path in home.bundle(version).iterdir():
        if path.name != bundle.MANIFEST:
            path.unlink()


def test_a_version_is_loaded_when_it_is_asked_for(home: Home) -> None:
    own = VersionCache(home, Records(home), 2)
    assert own.versions == []
    assert taken(own, 2).version == 2
    assert taken(own, 2) is taken(own, 2)


def test_the_version_used_last_stays(home: Home) -> None:
    own = VersionCache(home, Records(home), 2)
    for version in (1, 2, 1, 3):
        taken(own, version)
    assert own.versions == [1, 3]


def test_many_at_once_load_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = bundle.load

    def counted(folder: Path, sha256: str) -> bundle.Model:
        loads.append(folder)
        return load(folder, sha256)

    monkeypatch.setattr(bundle, "load", counted)
    own, start = VersionCache(home, Records(home), 2), threading.Barrier(8)

    def ask(_: int) -> Predictor:
        start.wait(10)
        return taken(own, 2)

    with ThreadPoolExecutor(8) as pool:
        predictors = list(pool.map(ask, range(8)))
    assert len(loads) == 1
    assert len(set(map(id, predictors))) == 1


@pytest.mark.parametrize("damage", ["model", "manifest", "probe", "journal"])
def test_what_does_not_load_is_reported_and_remembered_for_a_while(
    home: Home, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_cache, "FORGET_SECONDS", 0.3)
    path = (
        home.journal if damage == "journal" else home.bundle(2) / {"model": bundle.ONNX}.get(damage, f"{damage}.json")
    )
    whole = path.read_bytes()
    path.write_bytes(b"something else" * 100)
    own = VersionCache(home, Records(home), 2)
    problem = refused(own, 2)
    assert problem.status_code == 503
    assert problem.get_header("Retry-After")
    assert str(home.root) not in problem.detail
    path.write_bytes(whole)
    with pytest.raises(Problem):
        own.find(2)
    time.sleep(0.4)
    assert taken(own, 2).version == 2


def test_missing_version_is_reported(home: Home) -> None:
    clear(home, 2)
    own = VersionCache(home, Records(home), 2)
    assert (refused(own, 9).status_code, refused(own, 9).detail) == (404, "There is no version 9.")
    assert refused(own, 2).status_code == 404
    assert "were removed (promote.keep_versions)" in refused(own, 2).detail


def test_a_version_that_was_asked_for_too_early_is_found_as_soon_as_it_exists(home: Home) -> None:
    own = VersionCache(home, Records(home), 2)
    assert refused(own, 4).status_code == 404
    with pytest.raises(Problem):
        own.find(4)
    bundles.record(home, bundles.make(home, 4))
    time.sleep(version_cache.ABSENT_SECONDS)
    assert taken(own, 4).version == 4


def test_a_request_that_waited_gets_the_outcome_however_late(home: Home) -> None:
    """A lane that is busy for longer than a failure is remembered must not send it to wait again and again."""
    own = VersionCache(home, Records(home), 2)
    asked = time.monotonic()
    loading = own.find(9, asked)
    assert isinstance(loading, Future)
    loading.result(20)
    time.sleep(version_cache.ABSENT_SECONDS)
    with pytest.raises(Problem) as problem:
        own.find(9, asked)
    assert problem.value.status_code == 404
    assert isinstance(own.find(9, time.monotonic()), Future), "who comes now has it looked for again"


def test_any_number_may_be_asked_for_without_end(home: Home) -> None:
    own = VersionCache(home, Records(home), 2)
    for version in range(10, 10 + 2 * version_cache.REMEMBERED):
        assert refused(own, version).status_code == 404
    assert len(own._failed) == version_cache.REMEMBERED


def test_without_room_the_served_version_answers_alone(home: Home) -> None:
    assert refused(VersionCache(home, Records(home), 0), 2).status_code == 404


# With a worker


def test_the_version_that_is_named_answers_and_is_logged(own: Site) -> None:
    bundles.record(own.home, bundles.make(own.home, 2, favourite=1))
    bundles.point(own.home, bundles.make(own.home, 3, favourite=2))
    own.wait(3)
    for number in (2, 1, 3):
        status, headers, body = own.ask("POST", f"/predict?version={number}", PREDICTION)
        answer = json.loads(body)
        assert (status, headers["x-model-version"], answer["model_version"]) == (200, str(number), number)
        assert answer["prediction_name"] == bundles.CLASSES[number - 1]
        assert own.ask("POST", "/predict", PREDICTION, {"X-Model-Version": str(number)})[2] != body
    lines = [json.loads(line) for path in own.home.logs.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [line["model_version"] for line in lines] == [2, 2, 1, 1, 3, 3]
    assert own.get("/metrics")[1]["predictions_by_version"] == {"1": 2, "2": 2, "3": 2}
    assert own.get("/health")[1]["model_version"] == 3


def test_aliases_name_versions(own: Site) -> None:
    assert own.post("/predict?version=challenger", PREDICTION)[0] == 404
    held = bundles.make(own.home, 2, favourite=1)
    bundles.record(own.home, held, "held")
    with closing(Journal.open(own.home.journal)) as journal:
        journal.swaps.record(1, None, "For a test.")
    own.tell_status()
    assert own.post("/predict?version=challenger", PREDICTION)[1]["model_version"] == 2
    assert own.post("/predict?version=champion", PREDICTION)[1]["model_version"] == 1
    assert own.post("/predict?version=previous", PREDICTION)[0] == 404


# On a worker that they share, where each has versions of its own


def test_a_version_that_was_cleared_or_never_was_is_not_found(site: Site) -> None:
    bundles.record(site.home, bundles.make(site.home, 31))
    clear(site.home, 31)
    assert "removed" in site.post("/predict?version=31", PREDICTION)[1]["detail"]
    assert site.post("/predict?version=31", PREDICTION)[0] == 404
    assert site.post("/predict?version=32", PREDICTION)[0] == 404


def test_waiting_for_a_version_to_come_takes_no_longer_than_it_does(site: Site) -> None:
    """As clients of KServe and Triton wait: they ask whether it is ready until it is."""
    assert site.get("/v2/models/retraind/versions/41/ready")[0] == 404
    bundles.record(site.home, bundles.make(site.home, 41))
    start = time.monotonic()
    while site.get("/v2/models/retraind/versions/41/ready")[0] == 404:
        assert time.monotonic() - start < version_cache.FORGET_SECONDS / 2
        time.sleep(0.02)
    assert site.post("/predict?version=41", PREDICTION)[1]["model_version"] == 41


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/invocations?version=51", {"inputs": [bundles.SETOSA]}),
        ("/v1/models/retraind/versions/52:predict", {"instances": [bundles.SETOSA]}),
        (
            "/v2/models/retraind/versions/53/infer",
            {"inputs": [{"name": "rows", "shape": [1, 4], "datatype": "FP64", "data": bundles.SETOSA}]},
        ),
    ],
)
def test_every_route_waits_for_the_version_that_is_named(site: Site, path: str, body: dict[str, object]) -> None:
    [version] = re.findall(r"\d\d", path)
    bundles.record(site.home, bundles.make(site.home, int(version), favourite=1))
    status, headers, text = site.ask("POST", path, body)
    assert (status, headers["x-model-version"]) == (200, version), text
    assert b"versicolor" in text


def test_more_versions_than_there_is_room_for_answer_all_the_same(site: Site) -> None:
    """One may be loaded and gone again before the request that waits for it has its turn: then it waits once more."""
    versions = range(2, 7)
    for number in versions:
        bundles.record(site.home, bundles.make(site.home, number))

    def ask(number: int) -> list[tuple[int, str]]:
        answers = [site.ask("POST", f"/predict?version={number}", PREDICTION) for _ in range(15)]
        return [(status, headers.get("x-model-version", "")) for status, headers, _ in answers]

    with ThreadPoolExecutor(len(versions)) as pool:
        for number, predictor in zip(versions, pool.map(ask, versions), strict=True):
            assert predictor == [(200, str(number))] * 15
