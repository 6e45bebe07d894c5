"""retraind.daemon.export: what is taken away answers as the service does, whatever the model. Real trainings, real MLflow."""

import ast
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import home_below
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from taking_away import CUSTOMERS, customers, recorded, same, served_answers, strangers
from test_encoding import LETTERS
from test_encoding import TOWNS as LETTER_TOWNS
from workshop import LEAVES, PRICES, Workshop, grown, leaves, prices

from retraind.daemon.artifacts.bundle import TREELITE
from retraind.daemon.blend import BlendClassifier
from retraind.daemon.core.errors import NotExportable
from retraind.daemon.core.home import Home
from retraind.daemon.encoding import Encoding
from retraind.daemon.export import parity
from retraind.daemon.export.export import export
from retraind.daemon.export.format_names import Format
from retraind.daemon.kernel import KernelClassifier
from retraind.daemon.model import Calibrated, Design
from retraind.daemon.portable import package, pipeline

FEW = {
    "grids": {
        "forest": {"n_estimators": [10]},
        "extra_trees": {"n_estimators": [5]},
        "boosting": {"max_iter": [15]},
        "shallow_boosting": {"max_iter": [20]},
    }
}

GRADIENT = "sklearn.ensemble:GradientBoostingClassifier"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    """A home with rows of customers, in which each test trains its version."""
    workshop = Workshop(home_below(tmp_path_factory.mktemp("customers"), migrated), CUSTOMERS)
    workshop.add(customers(400))
    return workshop


def asked(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    with parity.script(folder) as example:
        return list(example.predict(rows))


@pytest.mark.parametrize(
    ("candidate", "settings"),
    [
        ("logistic", {"costs": {"yes": {"no": 5.0}}}),
        pytest.param("least_squares", {}, marks=pytest.mark.slow),
        ("kernel", {}),
        ("forest", FEW),
        pytest.param("boosting", FEW, marks=pytest.mark.slow),
        ("shallow_boosting", FEW),
        (GRADIENT, {"grids": {GRADIENT: {"n_estimators": [10]}}}),
    ],
    ids=["costs", "least_squares", "kernel", "forest", "boosting", "sets of categories", "treelite"],
)
def test_every_format_answers_as_the_service(shop: Workshop, tmp_path: Path, candidate: str, settings: Any) -> None:
    """Calibrated, encoded, with costs: also for gaps, unlisted categories and values beyond those of the data."""
    number = recorded(shop, candidate, **settings)
    is_grove = candidate == GRADIENT
    assert (shop.home.bundle(number) / TREELITE).exists() == is_grove
    rows = strangers(200)
    expected = served_answers(shop.home, rows)
    for form in Format:
        facts = export(shop.home, number, form, tmp_path / form)
        assert facts["rows"] > 100
        assert same(asked(tmp_path / form, rows), expected), form


def test_regression_is_taken_away(mlflow_home: Home, tmp_path: Path) -> None:
    """Dates and booleans, and a value instead of probabilities."""
    workshop = Workshop(mlflow_home, PRICES)
    workshop.add(prices(300))
    recorded(workshop, "ridge")
    number = recorded(workshop, "boosting", grids={"boosting": {"max_iter": [20]}})
    rows = [
        {
            "size": 20.0 + size,
            "rooms": None if size % 3 else size,
            "garden": size % 2 == 0,
            "built": "1999-03-01",
            "town": town,
        }
        for size in range(40)
        for town in ("Bonn", "Berlin")
    ]
    expected = served_answers(mlflow_home, rows)
    scale = float(np.ptp([answer["value"] for answer in expected]))
    for form in Format:
        export(mlflow_home, number, form, tmp_path / form)
        assert same(asked(tmp_path / form, rows), expected, scale), form


def test_blend_is_made_of_classes_that_go_along(tmp_path: Path) -> None:
    """Pipelines within it, corrected and encoded, too: the copy answers the same, and names no module of ours."""
    random = np.random.default_rng(0)
    rows = np.column_stack([random.normal(size=(200, 2)), random.integers(0, 3, 200)])
    codes = (rows[:, 0] + rows[:, 2] > 1).astype(np.int64)
    encoded = make_pipeline(Encoding(3, (), [2], [3], 2), Design([0, 0, 0]), KernelClassifier(random_state=0))
    members = [Calibrated(make_pipeline(Design([0, 0, 3]), LogisticRegression()), 0.7), encoded]
    blend = BlendClassifier(members, [2, 1]).fit(rows, codes)
    package.write(tmp_path)
    with package.importable(tmp_path):
        data = pickle.dumps(pipeline.ported(blend))
        copy = pickle.loads(data)
        assert (copy.predict_proba(rows) == blend.predict_proba(rows)).all()
    assert b"retraind.daemon" not in data


def test_texts_are_taken_away(mlflow_home: Home, tmp_path: Path) -> None:
    """No graph can split a text into words, so the folder brings the module that does; the other formats take the text itself."""
    workshop, random = Workshop(mlflow_home, LETTERS), np.random.default_rng(0)
    spam = random.integers(0, 2, 240)
    words = np.array(["agenda minutes room", "lottery prize winner"])[spam]
    letters = [f"{said}, {number}!" for said, number in zip(words, random.integers(0, 50, 240), strict=True)]
    towns = [LETTER_TOWNS[at] for at in random.integers(0, len(LETTER_TOWNS), 240)]
    size = [f"{value:.3f}" for value in random.normal(size=240)]
    workshop.add(
        {"letter": ["", *letters[1:]], "size": size, "town": towns, "y": np.array(LETTERS.classes)[spam].tolist()}
    )
    number = recorded(workshop, "logistic")
    texts = ["Your prize", None, "  ", "unheard of", "Ünïcode prize – 東京", "minutes " * 400]
    rows = [{"letter": text, "size": 0.5, "town": LETTER_TOWNS[3]} for text in texts]
    expected = served_answers(mlflow_home, rows)
    for form in Format:
        facts = export(mlflow_home, number, form, tmp_path / form)
        assert ("text_words.py" in facts["files"]) == (form is Format.ONNX)
        assert same(asked(tmp_path / form, rows), expected), form


def test_model_that_is_no_graph_leaves_as_a_pipeline(mlflow_home: Home, tmp_path: Path) -> None:
    """A class without rows has no place in the graph. ONNX refuses with the way out, and leaves no folder."""
    workshop = Workshop(mlflow_home, grown(LEAVES, classes=["ash", "elm", "oak"]))
    workshop.add(leaves("ash elm", 60))
    number = recorded(workshop, "tree")
    with pytest.raises(NotExportable, match=r"is no ONNX graph.*--format pickle"):
        export(mlflow_home, number, Format.ONNX, tmp_path / "onnx")
    assert list(tmp_path.glob("*onnx*")) == list(tmp_path.glob(".*onnx*")) == []
    rows = [{"length": length, "edge": edge} for length in (-1.0, 2.5, 9.0) for edge in ("smooth", "odd")]
    expected = served_answers(mlflow_home, rows)
    assert expected[0]["probabilities"]["oak"] == 0
    for form in (Format.PICKLE, Format.MLFLOW):
        export(mlflow_home, number, form, tmp_path / form)
        assert same(asked(tmp_path / form, rows), expected), form


def test_folder_names_no_place_and_needs_nothing_of_retraind(shop: Workshop, tmp_path: Path) -> None:
    """Neither the home nor its user is in any file, and no module imports one of ours."""
    number = recorded(shop, "logistic")
    for form in Format:
        folder = tmp_path / form
        for name in export(shop.home, number, form, folder)["files"]:
            data = (folder / name).read_bytes()
            for secret in (str(shop.home.root), str(tmp_path), str(Path.home()) + "/"):
                assert secret.encode() not in data, (name, secret)
            if name.endswith(".py"):
                imported = {node.module for node in ast.walk(ast.parse(data)) if isinstance(node, ast.ImportFrom)}
                assert not [each for each in imported if (each or "").split(".")[0] in ("daemon", "web", "retraind")], (
                    name
                )


def test_signature_and_graph_name_and_type_the_columns(shop: Workshop, tmp_path: Path) -> None:
    """What a program can ask the files: names, types, what may be missing, and the classes in their order."""
    import onnxruntime
    from mlflow.models import Model

    number = recorded(shop, "logistic")
    export(shop.home, number, Format.ONNX, tmp_path / "onnx")
    export(shop.home, number, Format.MLFLOW, tmp_path / "mlflow")
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    types = {each.name: each.type for each in session.get_inputs()}
    assert list(types) == CUSTOMERS.features
    assert (types["fee"], types["visits"], types["member"], types["town"]) == (
        "tensor(double)",
        "tensor(int64)",
        "tensor(bool)",
        "tensor(string)",
    )
    assert (types["age"], types["newsletter"]) == ("tensor(double)", "tensor(double)"), "NaN says that one is missing"
    assert [each.name for each in session.get_outputs()] == ["label", "probabilities"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == CUSTOMERS.classes
    model = Model.load(str(tmp_path / "mlflow"))
    inputs = {each.name: (each.type.name, each.required) for each in model.signature.inputs.inputs}
    assert inputs["visits"] == ("long", True)
    assert inputs["age"] == ("double", False)
    assert inputs["newsletter"] == ("boolean", False)
    assert inputs["since"] == ("string", False)
    example: Any = model.load_input_example(str(tmp_path / "mlflow"))
    assert list(example.columns) == CUSTOMERS.features


def test_columns_named_as_outputs_do_not_collide(mlflow_home: Home, tmp_path: Path) -> None:
    columns = [
        LEAVES.columns[0].model_copy(update={"name": "label"}),
        LEAVES.columns[1].model_copy(update={"name": "retraind/edge"}),
    ]
    workshop = Workshop(mlflow_home, grown(LEAVES, columns=columns))
    cells = leaves("ash elm", 60)
    workshop.add({"label": cells["length"], "retraind/edge": cells["edge"], "tree": cells["tree"]})
    number = recorded(workshop, "logistic")
    export(mlflow_home, number, Format.ONNX, tmp_path / "out")
    rows = [{"label": 0.5, "retraind/edge": "smooth"}]
    assert same(asked(tmp_path / "out", rows), served_answers(mlflow_home, rows))
    assert "`label_` and `probabilities`" in (tmp_path / "out" / "README.md").read_text()
