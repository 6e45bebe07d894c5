"""The description of the service as an OpenAPI 3.1 document, made from the columns and classes of the served model.

It is made once for each served version and each schema of the dataset, and kept as bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.schema import Schema
from retraind.web.auth import path_scopes
from retraind.web.openapi import model_columns, operations, own_paths, page_paths, protocol_paths, schemas
from retraind.web.openapi.schemas import Json
from retraind.web.serving.predictor import Predictor

ABOUT = (
    "Drop labelled CSV files into a folder, and a better model answers here. This document describes the served model: its "
    "columns, classes and examples, which change with it."
)

TOKEN: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "`retraind token create` makes one. The `security` of each operation names the scope that it needs.",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document, what it was made from, and its ETag."""

    of: tuple[Predictor | None, Schema | None]
    body: bytes
    tag: str


class Description:
    """The document of one worker, rebuilt when the served version or the schema of the dataset changes."""

    def __init__(self, *, program: str, sticky: str = "", public: str = "", root: str = "") -> None:
        self._program, self._sticky, self._servers = program, sticky, _servers(root, public)
        self._made: dict[bool, Rendered] = {}

    def now(self, predictor: Predictor | None, data: Schema | None, *, secured: bool) -> Rendered:
        """The document for the served version and the schema of the dataset, if there are any. `secured`: tokens are needed."""
        made = self._made.get(secured)
        if made is None or made.of[0] is not predictor or made.of[1] is not data:
            content = document(
                predictor, data, self._program, secured=secured, sticky=self._sticky, servers=self._servers
            )
            body = orjson.dumps(content)
            made = self._made[secured] = Rendered((predictor, data), body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        return made


def document(
    predictor: Predictor | None,
    data: Schema | None,
    program: str,
    *,
    secured: bool,
    sticky: str = "",
    servers: Sequence[str] = (),
) -> Json:
    """The OpenAPI document; `program` is the version of retraind, `secured` whether callers need tokens.

    `sticky` names the header that selects requests for a held challenger; empty without a canary. `servers` are the
    addresses of the service; empty: the root of the document's own address.
    """
    model = predictor.schema if predictor else None
    tags = [{"name": name, "description": text} for name, text in {**own_paths.TAGS, **protocol_paths.TAGS}.items()]
    described = {**own_paths.paths(model, data), **page_paths.paths(), **protocol_paths.paths(model)}
    paths = _named(_routed(described, sticky))
    parts: Json = {"schemas": _schemas(model, data), "responses": operations.responses()}
    return {
        "openapi": "3.1.0",
        "info": _info(predictor, program),
        "tags": tags,
        **({"servers": [{"url": url} for url in servers]} if servers else {}),
        "paths": _secured(paths) if secured else paths,
        "components": {**parts, **({"securitySchemes": {"token": TOKEN}} if secured else {})},
    }


def _servers(root: str, public: str) -> list[str]:
    """Addresses of the service: relative to the document's host, and through a proxy. None if neither is set."""
    return list(dict.fromkeys([root or "/", *([public + root] if public else [])])) if root or public else []


def _routed(paths: dict[str, Json], sticky: str) -> dict[str, Json]:
    """The paths, with the canary's header on every prediction that need not name a version."""
    text = "Requests with the same value get the same version: the served one, or for a share of the values the challenger."
    for methods in paths.values() if sticky else ():
        parameters = methods.get("post", {}).get("parameters", [])
        if any(parameter["name"] == "X-Model-Version" for parameter in parameters):
            parameters.append(operations.header(sticky, schemas.TEXT, text))
    return paths


def _secured(paths: dict[str, Json]) -> dict[str, Json]:
    """The paths; each operation gets its scope and the answers to callers without it."""
    for path, methods in paths.items():
        shape = operations.shape_of(path)
        for method, described in methods.items():
            if scope := path_scopes.needed(path, method.upper()):
                described["security"] = [{"token": [scope]}]
                described["responses"] |= operations.problems((401, 403, 429), shape)
    return paths


def _named(paths: dict[str, Json]) -> dict[str, Json]:
    return {
        path: {method: {"operationId": operations.identity(method, path), **rest} for method, rest in methods.items()}
        for path, methods in paths.items()
    }


def _info(predictor: Predictor | None, program: str) -> Json:
    common: Json = {"title": "retraind", "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"}}
    if predictor is None:
        return {**common, "version": program, "description": f"{ABOUT}\n\nNo model is served yet."}
    manifest, schema = predictor.manifest, predictor.schema
    summary = f"**Version {predictor.version}** ({manifest.candidate}, {manifest.backend}) predicts `{schema.target}`"
    if schema.classes:
        summary += f", one of {len(schema.classes)} classes"
    model: Json = {
        "version": predictor.version,
        "created": manifest.created,
        "task": schema.task,
        "target": schema.target,
        "candidate": manifest.candidate,
        "backend": manifest.backend,
        "score": score_names.value(score_caveats.rolling(manifest.scores)),
    }
    version = f"{program}+model.{predictor.version}"
    return {**common, "version": version, "description": f"{ABOUT}\n\n{summary}.", "x-model": model}


def _schemas(model: Schema | None, data: Schema | None) -> Json:
    return {
        "Row": model_columns.row(model) if model else model_columns.ANY_ROW,
        "TrainingRow": _training_row(model, data),
        "Target": model_columns.target(data) if data else {"type": ["number", "string"]},
        **schemas.predictions(model),
        **schemas.own(),
        **protocol_paths.schemas(model),
    }


def _training_row(model: Schema | None, data: Schema | None) -> Json:
    """A row of the dataset, which may have more columns than the model was trained on."""
    if data is None:
        return model_columns.ANY_ROW
    return schemas.ref("Row") if model and model.columns == data.columns else model_columns.row(data)
