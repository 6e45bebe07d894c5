"""Bundles that earlier code has written: the names of our classes stand in them, and stay."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_allclose

from retraind.daemon.artifacts import backends, bundle, class_names

FILES = Path(__file__).parents[1] / "bundles-format-1.tar.gz"
"""Bundles served by scikit-learn itself, with columns of a number, a whole number and a category; written on 2026-11-29."""

ROWS = np.array([[0.301, 71.0, 4.0], [np.nan, 5.0, -1.0]])

EXPECTED = {
    "calibrated": (
        "a9a9639f4cb1c18fefe9d020816bbe8f30019f01c1ee122267108595b89dfd66",
        [
            [0.20967147604633765, 0.2230376154495876, 0.5672909085040746],
            [0.13315345482247282, 0.2881289452103199, 0.5787175999672072],
        ],
    ),
    "boosted": (
        "6ffcf2b011d691b65d9c1f8095c7b786aec191d4d31877b77042068e91741df1",
        [
            [0.254096170174923, 0.4654980845462884, 0.28040574527878875],
            [0.33929482390822, 0.3610618269029062, 0.29964334918887375],
        ],
    ),
    "linear": (
        "f73612d5cb423ac5e5ddadbab9052d98468f362837253292f8714d31da8bf971",
        [[153.69074529077352], [72.67796014568266]],
    ),
    "boosted_values": (
        "492002b00eab42cc3b28add139026c6c8ad785df9d1cc2879b8edb7b222b3193",
        [[86.65203841294955], [86.65203841294955]],
    ),
    "kernel": (
        "11fe2fe6ece404f59f2e2e656af3ad13b5332a4e2c1cfd47cd873269a03ea51b",
        [
            [0.48854329529378465, 0.47130705718189764, 0.04014964752431775],
            [0.5105810372418176, 0.26301681765440255, 0.22640214510377982],
        ],
    ),
    "kernel_values": (
        "6e9fb6ee35bdf429d6fa7881574d89626ec84544a009e53558c1ea7c9e8cf5f5",
        [[144.09818208833562], [10.959336561850265]],
    ),
    "blend": (
        "6a24d8bf3fbf218e904177160d1db20b810e3b59d29302b641e91b047aad222b",
        [
            [3.5975211976215794e-06, 0.006609847138360669, 0.9933865553404417],
            [0.9640061161751281, 0.03598416262492084, 9.721199950926193e-06],
        ],
    ),
    "blend_values": (
        "e8575725d46f4a6ce1ce446e0074bf57da3b6dbfb0761ae86cb80139e759a13a",
        [[78.71910657643784], [8.407294236103779]],
    ),
}
"""The sha256 of each manifest, and what the model answers for ROWS."""


def named(data: bytes) -> set[str]:
    """The classes of ours that a file of skops names."""
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        schema = files.read("schema.json").decode()
    pairs = re.findall(r'"__class__": "(\w+)",\s*"__module__": "((?:retraind\.)?daemon\.[\w.]+)"', schema)
    return {f"{module}.{name}" for name, module in pairs}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles, unpacked."""
    folder = tmp_path_factory.mktemp("bundles")
    with tarfile.open(FILES) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_bundle_of_earlier_code_loads_and_answers_the_same(folder: Path, name: str) -> None:
    """Its hash is the recorded one, its classes are found by the paths that stand in it, and its answers are the same."""
    sha256, answers = EXPECTED[name]
    assert_allclose(bundle.load(folder / name, sha256).answers(ROWS), answers, rtol=1e-12)


def test_new_bundle_has_the_names_that_earlier_code_reads(folder: Path) -> None:
    """An estimator of an earlier release, written again, names no class differently."""
    for path in folder.glob(f"*/{bundle.SKOPS}"):
        imported = class_names.imported(path.read_bytes())
        again = skops.io.dumps(skops.io.loads(imported, trusted=backends.TRUSTED))
        assert named(again) == named(imported), "loaded and written under the name by which Python imports it"
        assert named(class_names.stored(again)) == named(path.read_bytes())


def test_text_in_a_model_is_no_name() -> None:
    """Only the names of classes are changed, not what a user has called a column or a class."""
    data = skops.io.dumps({"note": '"__module__": "daemon.model"', "__module__": "daemon.model"})
    assert skops.io.loads(class_names.imported(data)) == skops.io.loads(data)


def test_every_class_that_a_bundle_may_name_is_in_one_of_them(folder: Path) -> None:
    """Whoever adds a class of ours to `backends.TRUSTED` adds a bundle, because its path is kept from then on."""
    written = set().union(*(named(path.read_bytes()) for path in folder.glob(f"*/{bundle.SKOPS}")))
    ours = {name.removeprefix("retraind.") for name in backends.TRUSTED if name.startswith("retraind.")}
    assert written == ours
