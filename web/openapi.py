"""The description of the service as an OpenAPI 3.1 document, made from the columns and classes of the served model.

It is made once for each served version and each schema of the dataset, and kept as bytes: asking costs a look-up.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from daemon import figures
from daemon.schema import Schema
from web import columns, contents, endpoints, operations, protocols
from web.contents import Json
from web.predictor import Predictor

ABOUT = (
    "Drop labelled CSV files into a folder; a better model answers here. This document is that of the model that is served "
    "now: columns, classes and examples are its own, and change with it."
)

TOKEN: Json = {"type": "http", "scheme": "bearer", "description": "`retraind token` prints it."}


@dataclass(frozen=True, slots=True)
class Made:
    """A document, what it was made from, and its ETag."""

    of: tuple[Predictor | None, Schema | None]
    body: bytes
    tag: str


class Description:
    """The document of one worker, made again when the served version or the dataset's schema is another."""

    def __init__(self, *, secured: bool, program: str, sticky: str = "") -> None:
        self._secured, self._sticky = secured, sticky
        self._program = program
        self._made: Made | None = None

    def now(self, predictor: Predictor | None, data: Schema | None) -> Made:
        """The document for what is served and what the dataset takes; None: there is none yet."""
        made = self._made
        if made is None or made.of[0] is not predictor or made.of[1] is not data:
            body = orjson.dumps(document(predictor, data, self._program, secured=self._secured, sticky=self._sticky))
            made = self._made = Made((predictor, data), body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        return made


def document(
    predictor: Predictor | None, data: Schema | None, program: str, *, secured: bool, sticky: str = ""
) -> Json:
    """The OpenAPI document; `program` is the version of retraind, `secured` whether writing needs the token.

    `sticky` names the header by which a held challenger gets its share of the requests; empty: there is no canary.
    """
    model = predictor.schema if predictor else None
    tags = [{"name": name, "description": text} for name, text in {**endpoints.TAGS, **protocols.TAGS}.items()]
    parts: Json = {"schemas": _schemas(model, data), "responses": operations.responses()}
    return {
        "openapi": "3.1.0",
        "info": _info(predictor, program),
        "tags": tags,
        "paths": _named(_routed({**endpoints.paths(model, data, secured=secured), **protocols.paths(model)}, sticky)),
        "components": {**parts, **({"securitySchemes": {"token": TOKEN}} if secured else {})},
    }


def _routed(paths: dict[str, Json], sticky: str) -> dict[str, Json]:
    """The same, with the header of the canary wherever a request that predicts may leave the choice of the version to it."""
    text = "Requests with the same value get the same version: the served one, or the one that is tried on a share of them."
    for methods in paths.values() if sticky else ():
        given = methods.get("post", {}).get("parameters", [])
        if any(parameter["name"] == "X-Model-Version" for parameter in given):
            given.append(operations.header(sticky, contents.TEXT, text))
    return paths


def _named(paths: dict[str, Json]) -> dict[str, Json]:
    return {
        path: {method: {"operationId": operations.identity(method, path), **found} for method, found in methods.items()}
        for path, methods in paths.items()
    }


def _info(predictor: Predictor | None, program: str) -> Json:
    common: Json = {"title": "retraind", "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"}}
    if predictor is None:
        return {**common, "version": program, "description": f"{ABOUT}\n\nNo model is served yet."}
    manifest, schema = predictor.manifest, predictor.schema
    said = f"**Version {predictor.version}** ({manifest.candidate}, {manifest.backend}) predicts `{schema.target}`"
    if schema.classes:
        said += f", one of {len(schema.classes)} classes"
    model: Json = {
        "version": predictor.version,
        "created": manifest.created,
        "task": schema.task,
        "target": schema.target,
        "candidate": manifest.candidate,
        "backend": manifest.backend,
        "score": figures.value(_score(manifest.scores)),
    }
    version = f"{program}+model.{predictor.version}"
    return {**common, "version": version, "description": f"{ABOUT}\n\n{said}.", "x-model": model}


def _score(scores: dict[str, Any]) -> dict[str, Any] | None:
    """The challenger's score on the rolling holdout, as the manifest keeps it."""
    found: dict[str, Any] | None = scores.get("challenger", {}).get("rolling")
    return found


def _schemas(model: Schema | None, data: Schema | None) -> Json:
    return {
        "Row": columns.row(model) if model else columns.ANY_ROW,
        "TrainingRow": _training_row(model, data),
        "Target": columns.target(data) if data else {"type": ["number", "string"]},
        **contents.predictions(model),
        **contents.own(),
        **protocols.schemas(model),
    }


def _training_row(model: Schema | None, data: Schema | None) -> Json:
    """A row that the dataset takes: it may have more columns than the model was taught."""
    if data is None:
        return columns.ANY_ROW
    return contents.ref("Row") if model and model.columns == data.columns else columns.row(data)
