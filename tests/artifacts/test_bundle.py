"""retraind.daemon.artifacts.bundle: only what was recorded is ever served."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import orjson
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Manifest
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home

PROBE = {"rows": [[0.0, 0.0, 0.0, 0.0]], "probabilities": [[0.5, 0.5, 0.0]]}


def sealed(folder: Path, **changes: Any) -> str:
    """Seal what lies in `folder` as a bundle; returns the manifest's sha256."""
    facts = {
        "run": "r" * 32,
        "candidate": "tree",
        "estimator": "Tree()",
        "revision": "a" * 40,
        "dvc_md5": "b" * 32,
        "rows": 1,
        "trained_rows": 1,
        "data_schema": bundles.SCHEMA,
        "difference": 0.0,
        "reason": "test",
        "seed": 42,
        "libraries": {},
        "created": "2026-01-01T00:00:00.000Z",
    }
    return bundle.seal(folder, Manifest.model_validate(facts | changes))


def test_sealed_bundle_predicts(home: Home) -> None:
    """What was sealed loads, knows its manifest and answers in schema order."""
    pointer = bundles.make(home, 1)
    model = bundle.load(home.bundle(1), pointer.manifest)
    proba = model.answers(np.array([bundles.SETOSA, [np.nan, 1, 1, 1]]))
    assert proba.shape == (2, 3)
    assert proba.dtype == np.float64
    assert proba[0].argmax() == 0
    assert (model.sha256, model.manifest.rows) == (pointer.manifest, 150)


def test_judged_model_is_the_served_one_where_there_is_no_twin(home: Home) -> None:
    """So are all bundles of before there were any."""
    pointer = bundles.make(home, 1)
    served, judged = (load(home.bundle(1), pointer.manifest) for load in (bundle.load, bundle.load_judged))
    rows = np.array([bundles.SETOSA])
    assert (judged.answers(rows) == served.answers(rows)).all()
    assert served.manifest.scored == ""


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
def test_damaged_twin_stops_no_worker_and_is_reported_when_it_is_loaded(
    home: Home, harm: Callable[[Path], object]
) -> None:
    bundles.make(home, 1)
    sha256 = bundles.add_twin(home, 1)
    bundle.load_judged(home.bundle(1), sha256)
    harm(home.bundle(1) / f"{bundle.TWIN}{bundle.ONNX}")
    assert bundle.load(home.bundle(1), sha256).answers(np.array([bundles.SETOSA]))[0].argmax() == 0
    with pytest.raises(BundleRefused, match=f"{bundle.TWIN}{bundle.ONNX}|not a readable bundle"):
        bundle.load_judged(home.bundle(1), sha256)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [bundle.MANIFEST, bundle.PROBE, bundle.ONNX])
@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "gone", "empty"])
def test_changed_file_is_refused_by_name(home: Home, name: str, harm: Callable[[Path], object]) -> None:
    """One other bit in any file, or a file that is gone, and the bundle is not loaded."""
    pointer = bundles.make(home, 1)
    harm(home.bundle(1) / name)
    with pytest.raises(BundleRefused, match=name):
        bundle.load(home.bundle(1), pointer.manifest)


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "gone", "empty"])
def test_changed_linear_model_is_refused_by_name(home: Home, harm: Callable[[Path], object]) -> None:
    """It answers in the place of the graph, so it is verified like the graph."""
    pointer = bundles.make(home, 1, linear=True)
    harm(home.bundle(1) / bundle.LINEAR)
    with pytest.raises(BundleRefused, match=bundle.LINEAR):
        bundle.load(home.bundle(1), pointer.manifest)


def test_linear_model_that_answers_otherwise_is_refused(home: Home) -> None:
    """Its hash is right and its graph too, but what would answer is another model."""
    bundles.make(home, 1, linear=True)
    bundles.make(home, 2, favourite=1, linear=True)
    folder = home.bundle(1)
    shutil.copy(home.bundle(2) / bundle.LINEAR, folder / bundle.LINEAR)
    files = {name: durable.sha256_file(folder / name) for name in (bundle.ONNX, bundle.LINEAR, bundle.PROBE)}
    sha256 = sealed(folder, backend="onnx", input="float64", files=files)
    with pytest.raises(BundleRefused, match="differs from scikit-learn"):
        bundle.load(folder, sha256)


def test_linear_model_answers_as_its_graph(home: Home) -> None:
    """A bundle of before has no such file, and is answered by the graph."""
    old, new = bundles.make(home, 1), bundles.make(home, 2, linear=True)
    by_graph, by_data = bundle.load(home.bundle(1), old.manifest), bundle.load(home.bundle(2), new.manifest)
    rows = np.random.default_rng(0).normal(3, 2, (200, 4))
    np.testing.assert_allclose(by_data.answers(rows), by_graph.answers(rows), rtol=0, atol=1e-14)


def test_bundle_of_another_manifest_is_refused(home: Home) -> None:
    """A whole and valid bundle in the wrong place is not the one that was recorded."""
    pointer = bundles.make(home, 1)
    bundles.make(home, 2, favourite=1)
    shutil.rmtree(home.bundle(1))
    home.bundle(2).rename(home.bundle(1))
    with pytest.raises(BundleRefused, match="is not the manifest that was recorded"):
        bundle.load(home.bundle(1), pointer.manifest)


def test_missing_bundle_is_refused(home: Home) -> None:
    """A folder that is gone is a refusal, no crash."""
    with pytest.raises(BundleRefused, match="not a readable bundle"):
        bundle.load(home.bundle(9), "0" * 64)


def test_model_that_answers_otherwise_is_refused(home: Home) -> None:
    """A graph whose probabilities are not those of scikit-learn fails the probe, though every hash is right."""
    bundles.make(home, 1, favourite=0)
    bundles.make(home, 2, favourite=1)
    folder = home.bundle(1)
    shutil.copy(home.bundle(2) / bundle.ONNX, folder / bundle.ONNX)
    files = {name: durable.sha256_file(folder / name) for name in (bundle.ONNX, bundle.PROBE)}
    sha256 = sealed(folder, backend="onnx", input="float64", files=files)
    with pytest.raises(BundleRefused, match="differs from scikit-learn"):
        bundle.load(folder, sha256)


@pytest.mark.parametrize("backend", ["onnx", "sklearn"])
def test_file_that_is_no_model_is_refused(tmp_path: Path, backend: str) -> None:
    """Bytes that a library can't load are a refusal naming the backend."""
    name = bundle.ONNX if backend == "onnx" else bundle.SKOPS
    (tmp_path / name).write_bytes(b"no model")
    (tmp_path / bundle.PROBE).write_bytes(orjson.dumps(PROBE))
    files = {each: durable.sha256_file(tmp_path / each) for each in (name, bundle.PROBE)}
    sha256 = sealed(tmp_path, backend=backend, input="float64", files=files)
    with pytest.raises(BundleRefused, match=f"the {backend} model does not load"):
        bundle.load(tmp_path, sha256)


def skops_bundle(folder: Path, estimator: Any) -> str:
    skops.io.dump(estimator, folder / bundle.SKOPS)
    (folder / bundle.PROBE).write_bytes(orjson.dumps(PROBE))
    files = {name: durable.sha256_file(folder / name) for name in (bundle.SKOPS, bundle.PROBE)}
    return sealed(folder, backend="sklearn", input="float64", files=files)


def test_scikit_learn_bundle_loads_listed_types_only(tmp_path: Path) -> None:
    """A bundle whose estimator contains an arbitrary function is refused, whatever its manifest says."""
    good = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    good.coef_[:], good.intercept_[:] = 0.0, 0.0
    bundle.load(tmp_path, skops_bundle(tmp_path, good))
    evil = FunctionTransformer(func=shutil.rmtree)
    with pytest.raises(BundleRefused, match="does not load"):
        bundle.load(tmp_path, skops_bundle(tmp_path, evil))


def test_pointer_survives_its_file(home: Home) -> None:
    """No file is no pointer; other text is a refusal."""
    assert bundle.read_pointer(home.pointer) is None
    pointer = bundles.make(home, 1)
    bundles.point(home, pointer)
    assert bundle.read_pointer(home.pointer) == pointer
    for text in ("", "{}", '{"version": "x"}', pointer.model_dump_json()[:-1]):
        home.pointer.write_text(text)
        with pytest.raises(BundleRefused, match=r"champion\.json is not a pointer"):
            bundle.read_pointer(home.pointer)


def test_scores_of_another_release_are_kept_as_they_are(home: Home) -> None:
    """Keys that are missing or not known here neither refuse a manifest nor get lost when it is written again."""
    bundles.make(home, 1)
    file = home.bundle(1) / bundle.MANIFEST
    scores = {"challenger": {"rolling": {"n": 9, "accuracy": None}}, "of another release": [1, {"x": 0.5}]}
    content = orjson.loads(file.read_bytes()) | {"scores": scores}
    file.write_bytes(orjson.dumps(content))
    manifest = bundle.read_manifest(home.bundle(1), durable.sha256(file.read_bytes()))
    assert manifest.scores == scores
    assert manifest.model_dump()["scores"] == scores
