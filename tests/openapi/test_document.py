"""The description of the service: of all routes, of the served model, with examples that work."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
import schemathesis
from sites import Client, Site

from retraind.daemon.access import tokens
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.web.auth import path_scopes
from retraind.web.openapi import model_columns

PLACE = re.compile("<[^>]+>|{[^}]+}")

PARTS = {"GET /static/{}", "GET /docs/{}/{}", "GET /sign-in", "POST /sign-in", "POST /sign-out"}
"""Files of the pages, and the form for signing in: no interface."""


def described(client: Client) -> dict[str, Any]:
    status, headers, body = client.ask("GET", "/openapi.json")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-cache")
    answer: dict[str, Any] = json.loads(body)
    schemathesis.openapi.from_dict(answer).validate()
    return answer


def served(root: Path, schema: Schema = bundles.SCHEMA, settings: Settings | None = None) -> Client:
    home = Home(root)
    home.make()
    home.schema.write_bytes(schema.dump())
    made = bundles.make(home, 1) if schema.classes else bundles.make_prices(home, 1, schema)
    bundles.point(home, bundles.with_sample(home, made))
    return Client(home, settings)


def hold(home: Home, name: str) -> None:
    with closing(Journal.open(home.journal)) as journal:
        facts = {"sha256": "d" * 64, "name": name, "bytes": 1, "rows_read": 1, "version": 1, "reason": "odd"}
        drop: Any = {**facts, "seen_at": None}
        journal.held.hold(drop)


def take(home: Home, name: str) -> None:
    """An accepted drop."""
    batch: Any = {"segment": "1.parquet", "sha256": "e" * 64, "md5": "0" * 32, "rows": 5, "bytes": 9}
    drop: Any = {"sha256": "b" * 64, "name": name, "source": "file", "bytes": 9, "settled_at": "2026-01-01T00:00:00Z"}
    drop |= {"rows_read": 5, "rows_accepted": 5}
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(batch, [drop])


def operations(client: Client) -> set[str]:
    paths = described(client)["paths"]
    return {f"{method.upper()} {PLACE.sub('{}', path)}" for path, methods in paths.items() for method in methods}


def test_every_route_is_described_and_nothing_else(flowers: Client, prices: Client) -> None:
    """But `:regress` of a classification and `:classify` of a regression, which only say what they are."""
    routes = {f"{route.method} {PLACE.sub('{}', route.name or route.rule)}" for route in flowers.app.routes} - PARTS
    assert operations(flowers) | operations(prices) == routes
    assert {path.rpartition(":")[2] for path in routes - operations(flowers)} == {"regress"}
    assert {path.rpartition(":")[2] for path in routes - operations(prices)} == {"classify"}


QUOTED = Schema(
    task="regression",
    target="price",
    columns=[
        *(one.model_copy(update={"name": f'{one.name}, "as told"'}) for one in bundles.PRICES.columns[:4]),
        Column(name="town\nor city", kind="category", categories=['Aachen, "west"\nof it']),
    ],
)
"""Names and a category with all that CSV has to quote."""


@pytest.mark.parametrize(
    "schema", [bundles.SCHEMA, bundles.PRICES, QUOTED], ids=["classes", "numbers", "names to be quoted"]
)
def test_every_example_works_when_pasted(tmp_path: Path, schema: Schema) -> None:
    client = served(tmp_path, schema)
    hold(client.worker.home, "odd.csv")
    take(client.worker.home, "wrong.csv")
    tried = 0
    for path, methods in described(client)["paths"].items():
        for kind, media in methods.get("post", {}).get("requestBody", {"content": {}})["content"].items():
            for example in media.get("examples", {}).values():
                value = example["value"]
                body = (value if isinstance(value, str) else json.dumps(value)).encode()
                at = path.format(name="retraind", version=1, label="champion")
                status, _, answer = client.ask("POST", at, body, CONTENT_TYPE=kind)
                assert status in (200, 202), (path, example, answer)
                tried += 1
    assert tried >= 25


def test_columns_classes_and_ranges_are_those_of_the_served_model(tmp_path: Path) -> None:
    document = described(served(tmp_path))
    listed, named = document["components"]["schemas"]["Row"]["anyOf"]
    assert (listed["minItems"], listed["maxItems"]) == (4, 4)
    assert list(named["properties"]) == named["required"] == bundles.NAMES
    assert document["components"]["schemas"]["OneAnswer"]["properties"]["prediction_name"]["enum"] == bundles.CLASSES
    assert document["components"]["schemas"]["Target"]["enum"] == [*bundles.CLASSES, 0, 1, 2]
    assert document["info"]["x-model"]["version"] == 1
    assert document["info"]["version"].endswith("+model.1")


def test_every_kind_of_column_has_its_type_and_an_example_within_what_was_seen(tmp_path: Path) -> None:
    listed, named = described(served(tmp_path, bundles.PRICES))["components"]["schemas"]["Row"]["anyOf"]
    assert listed["examples"] == [[110.0, 4, True, "2012-12-31", "Aachen"]]
    assert named["required"] == ["size", "rooms", "garden", "town"]
    assert named["properties"]["town"]["examples"] == ["Aachen", "Zürich"]
    assert {"type": "null"} in named["properties"]["built"]["anyOf"]


def test_a_class_that_is_a_number_is_meant_by_it() -> None:
    column = Column(name="x", kind="number")
    schema = Schema(target="y", classes=["-1", "1", "01", "one"], columns=[column])
    for target in model_columns.target(schema)["enum"]:
        assert schema.label(target) in schema.classes
    assert model_columns.target(schema)["enum"] == ["-1", "1", "01", "one", -1, 1]


def test_training_rows_are_described_by_the_dataset(tmp_path: Path) -> None:
    client = served(tmp_path)
    assert described(client)["components"]["schemas"]["TrainingRow"] == {"$ref": "#/components/schemas/Row"}
    grown = [*bundles.SCHEMA.columns, Column(name="colour", kind="category", missing=True, categories=["blue"])]
    more = bundles.SCHEMA.model_copy(update={"columns": grown, "classes": [*bundles.CLASSES, "hybrid"]})
    client.worker.home.schema.write_bytes(more.dump())
    schemas = described(client)["components"]["schemas"]
    assert list(schemas["TrainingRow"]["anyOf"][1]["properties"]) == [*bundles.NAMES, "colour"]
    assert "hybrid" in schemas["Target"]["enum"]
    assert list(schemas["Row"]["anyOf"][1]["properties"]) == bundles.NAMES


def test_before_the_first_model_there_is_a_document_too(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    assert "x-model" not in described(Client(home))["info"]


def test_scopes_are_described_to_who_needs_a_token(tmp_path: Path) -> None:
    client = served(tmp_path)
    assert "securitySchemes" not in described(client)["components"], "a program of this machine needs none"
    secret = tokens.create(client.worker.home, "reader", [Scope.READ])
    stranger = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_AUTHORIZATION": f"Bearer {secret}"}
    document = json.loads(client.ask("GET", "/openapi.json", b"", **stranger)[2])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scope = path_scopes.needed(path, method.upper())
            assert operation.get("security") == ([{"token": [scope]}] if scope else None), path
            assert ({"401", "403", "429"} <= operation["responses"].keys()) == bool(scope)


def test_the_header_of_the_canary_is_described_while_there_is_one(tmp_path: Path) -> None:
    canary = Settings(promote=Promote(mode="manual", canary_share=0.1, canary_header="X-Customer"))
    paths = described(served(tmp_path, settings=canary))["paths"]
    routed = [path for path in paths if "X-Customer" in json.dumps(paths[path].get("post", {}))]
    assert {"/predict", "/invocations", "/v2/models/{name}/infer", "/v1/models/{name}:predict"} <= set(routed)
    assert not any("{version}" in path or "{label}" in path for path in routed)


def test_the_document_changes_with_the_swap_and_only_then(own: Site) -> None:
    first = own.ask("GET", "/openapi.json")
    tag = first[1]["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        assert own.ask("GET", "/openapi.json", headers={"If-None-Match": known})[::2] == (304, b"")
    assert own.ask("GET", "/openapi.json", headers={"If-None-Match": '"other"'})[0] == 200
    bundles.point(own.home, bundles.make_prices(own.home, 2))
    own.wait(2)
    status, headers, body = own.ask("GET", "/openapi.json", headers={"If-None-Match": tag})
    assert (status, headers["etag"] != tag) == (200, True)
    assert list(json.loads(body)["components"]["schemas"]["Row"]["anyOf"][1]["properties"]) == bundles.PRICES.features
