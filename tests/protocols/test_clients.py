"""retraind.web.protocols, used by the published clients of MLflow, Triton, MLServer and KServe: processes of their own, a worker on a socket."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pandas as pd
import pytest
from sites import ROOT, Site

ROWS = [bundles.SETOSA, [6.9, 3.1, 5.4, 2.1]]
NAMES = ["setosa", "setosa"]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that predicts prices from columns of every kind."""
    site = Site(tmp_path_factory.mktemp("houses"), version=None)
    site.home.schema.write_bytes(bundles.PRICES.dump())
    bundles.point(site.home, bundles.make_prices(site.home, 1))
    site.wait(1)
    yield site
    site.close()


def ask(environment: str, **job: Any) -> Any:
    """What the clients of an environment say that they were answered."""
    folder = ROOT / f".venv-{environment}"
    if not (folder / ".stamp").exists():
        pytest.skip(f"{folder} is not there; ./ci.sh makes it if there is a network")
    command = [str(folder / "bin/python"), str(ROOT / f"tests/clients/{environment}.py")]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


PAGE = (ROOT / "docs/clients.md").read_text()


def example(library: str, site: Site) -> str:
    """What the page shows of a library, for the worker of a test."""
    examples: list[str] = re.findall("```python\n(.*?)```", PAGE, re.DOTALL)
    (code,) = [text for text in examples if f"from {library}" in text]
    return code.replace("5000", str(site.port))


EXTRAS = {"plain": [], "binary": ["--binary-data"], "batches": ["--batch-size", "8", "--workers", "2"]}
"""How `mlserver infer` is told to send a file of requests."""


def inference(site: Site, folder: Path, name: str, extra: list[str]) -> list[str]:
    """Arguments of `mlserver infer`; the requests are in NAME.jsonl, the answers go to NAME.answers."""
    where = ["-u", f"127.0.0.1:{site.port}", "-m", "retraind"]
    return ["infer", *where, "-i", str(folder / f"{name}.jsonl"), "-o", str(folder / f"{name}.answers"), *extra]


@pytest.fixture(scope="module")
def tritons(site: Site, houses: Site, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the clients of Triton and MLServer were answered; in `folder`, the files of `mlserver infer`."""
    folder = tmp_path_factory.mktemp("files")
    kinds = ["FP64", "INT64", "BOOL", "BYTES", "BYTES"]
    columns = zip(bundles.PRICES.features, kinds, bundles.HOUSE, strict=True)
    tensors = [{"name": name, "shape": [1], "datatype": kind, "data": [value]} for name, kind, value in columns]
    request = {"id": "one", "parameters": {"content_type": "pd"}, "inputs": tensors}
    (folder / "houses.jsonl").write_text(json.dumps(request) + "\n")
    outputs = [{"name": "predict"}, {"name": "predict_proba"}]
    tensors = [
        {"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in zip(bundles.NAMES, ROWS[0], strict=True)
    ]
    lines = [json.dumps({"id": f"r{n}", "inputs": tensors, "outputs": outputs}) + "\n" for n in range(20)]
    for name in EXTRAS:
        (folder / f"{name}.jsonl").write_text("".join(lines))
    runs = [inference(site, folder, name, extra) for name, extra in EXTRAS.items()]
    addresses = {"flowers": f"127.0.0.1:{site.port}", "houses": f"127.0.0.1:{houses.port}"}
    mlserver = [*runs, inference(houses, folder, "houses", [])]
    return ask("tritons", **addresses, page=example("tritonclient", site), mlserver=mlserver) | {"folder": folder}


@pytest.fixture(scope="module")
def kserves(site: Site) -> Any:
    """What KServe's client was answered."""
    return ask("kserves", flowers=f"127.0.0.1:{site.port}", page=example("kserve", site))


def shares(site: Site) -> list[float]:
    """The probabilities that `/predict` gives for ROWS, row by row."""
    answers = site.post("/predict", {"instances": ROWS})[1]["predictions"]
    return [value for one in answers for value in one["probabilities"].values()]


def test_tritonclient_and_the_clients_of_the_open_inference_protocol(site: Site, tritons: Any) -> None:
    said = tritons
    everything = {"predict": NAMES, "predict_code": [0, 0], "predict_proba": shares(site), "shape": [2, 3]}
    for answer in [said["sync"][name] for name in ("binary", "json", "mixed", "columns")] + [
        said["aio"][name] for name in ("binary", "json")
    ]:
        assert len(set(answer.pop("prediction_id"))) == 2
        assert answer == everything
    sync = said["sync"]
    assert (sync["live"], sync["ready"]) == ([True, True], [True, True, False])
    assert sync["server"]["name"] == "retraind"
    assert [(one["name"], one["datatype"]) for one in sync["model"]["inputs"]] == [(n, "FP64") for n in bundles.NAMES]
    assert sync["index"] == [{"name": "retraind", "version": "1", "state": "READY", "reason": ""}]
    assert (sync["single"]["predict"], sync["half"]["predict"], sync["id"]) == (NAMES, NAMES, "mine")
    assert sync["best"][0] == "1.000000:0:setosa"
    assert [status for status, _ in sync["refused"]] == ["404", "400", "400", "404"]
    assert "There is no output 'logits'" in sync["refused"][2][1]
    assert (said["aio"]["ready"], said["aio"]["many"]) == ([True] * 3, 50)
    assert said["generated"] == {"inputs": bundles.NAMES, "predict": NAMES}
    assert said["typed"] == {"ready": True, "predict": NAMES, "predict_proba": everything["predict_proba"]}


PRICES = [bundles.HOUSE_PRICE, bundles.HOUSE_PRICE - 50]


def test_tritonclient_sends_columns_of_every_kind(tritons: Any) -> None:
    assert tritons["houses"] == {"binary": pytest.approx(PRICES), "json": pytest.approx(PRICES)}


def test_mlserver_infer_sends_columns_of_every_kind(tritons: Any) -> None:
    answer = json.loads((tritons["folder"] / "houses.answers").read_text())
    assert answer["outputs"][0]["data"] == [pytest.approx(bundles.HOUSE_PRICE)]


def test_the_client_of_mlflow_sends_what_pandas_holds(houses: Site) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    frame = pd.DataFrame([bundles.HOUSE, bundles.HOUSE], columns=bundles.PRICES.features)
    dates: Any = ["2026-01-31", None]
    frame["built"] = pd.to_datetime(dates)
    frame["town"] = frame["town"].astype("category")
    client: Any = ScoringServerClient("127.0.0.1", houses.port)  # type: ignore[no-untyped-call]
    expected = [pytest.approx(bundles.HOUSE_PRICE), pytest.approx(bundles.HOUSE_PRICE - 20484 * 0.01)]
    assert client.invoke(frame).get_predictions()[0].tolist() == expected
    text = frame.assign(built=dates).to_csv()
    status, _, body = houses.ask("POST", "/invocations", text.encode(), {"Content-Type": "text/csv"})
    assert (status, json.loads(body)["predictions"]) == (200, expected)


def test_the_clients_of_kserve(site: Site, kserves: Any) -> None:
    first, second = kserves["v1"], kserves["v2"]
    assert (first["live"], first["ready"]) == (True, True)
    assert (first["rows"]["predictions"], first["columns"]["outputs"]) == (NAMES, NAMES)
    assert "3 values; the model takes 4" in first["refused"]
    assert "There is no model 'other'" in first["unknown"]
    for answer in (second["json"], second["binary"]):
        assert (answer["id"], answer["predict"], answer["ids"]) == ("mine", NAMES, 2)
        assert answer["predict_proba"] == shares(site)
    assert (second["live"], second["ready"], second["unknown"]) == (True, [True, True], False)
    assert "the model takes [n, 4]" in second["refused"]


@pytest.mark.parametrize("name", EXTRAS)
def test_mlserver_infer_answers_a_file_of_requests(site: Site, tritons: Any, name: str) -> None:
    lines = [json.loads(line) for line in (tritons["folder"] / f"{name}.answers").read_text().splitlines()]
    assert {line["id"] for line in lines} == {f"r{n}" for n in range(20)}
    for line in lines:
        labels, probabilities = line["outputs"]
        assert (line["model_name"], labels["data"]) == ("retraind", ["setosa"])
        assert probabilities["data"] == shares(site)[:3]


def test_the_client_of_mlflow(site: Site) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client: Any = ScoringServerClient("127.0.0.1", site.port)  # type: ignore[no-untyped-call]
    client.wait_server_ready(timeout=5)
    assert client.get_version().split(".")[0] == "3"
    frame = pd.DataFrame(ROWS, columns=bundles.NAMES)
    for data in (
        frame,
        frame[bundles.NAMES[::-1]].assign(species="?"),
        np.array(ROWS),
        ROWS,
        json.dumps({"instances": ROWS}),
    ):
        assert client.invoke(data).get_predictions()[0].tolist() == NAMES
    predictions = client.invoke(frame, params={"predict_method": "predict_proba"})
    assert predictions.get_predictions("ndarray").ravel().tolist() == shares(site)
    assert (predictions["classes"], predictions["model_version"], len(predictions["prediction_ids"])) == (
        bundles.CLASSES,
        1,
        2,
    )
    with pytest.raises(Exception, match=r"error code 400.*'sepal_length' must not be null"):
        client.invoke(frame.assign(sepal_length=[1.0, np.nan]))


@pytest.mark.parametrize("clients", ["tritons", "kserves"])
def test_what_the_page_shows_runs(clients: str, request: pytest.FixtureRequest) -> None:
    assert "setosa" in request.getfixturevalue(clients)["page"]


def test_what_the_page_shows_of_mlflow_runs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example("mlflow", site), "page", "exec"), {"__name__": "__main__"})
    assert "setosa" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_of_the_page_run(site: Site) -> None:
    (code,) = re.findall("```sh\n(.*?)```", PAGE, re.DOTALL)
    commands = code.replace("curl -s ", "curl -sS --fail-with-body -w '\\n' ").replace("5000", str(site.port))
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer.get("predictions") for answer in answers] == [["setosa"], ["setosa"], None, ["setosa"], None]
    assert answers[2]["outputs"][0]["data"] == ["setosa"]
    assert len(answers[4]["outputs"][0]) == 3
