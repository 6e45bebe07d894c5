"""The page on which one types a row, or chooses a file, and sees the answers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from retraind.daemon.artifacts import manifest
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.records.predictions import PredictionFacts
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema.schema import Schema
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.predicting import typed_row
from retraind.web.pages.predicting.moved import Moved
from retraind.web.pages.predicting.typed_row import Field

VERSIONS = 50
"""Number of newest versions that can be chosen."""

LAST = 10
"""Number of newest predictions that are listed."""


class Choice(TypedDict):
    """A version that can be asked."""

    number: int
    text: str


class Predict(TypedDict):
    """The content of the page."""

    version: int | None
    """The version that is asked; None while none can be."""
    versions: list[Choice]
    fields: list[Field]
    origin: str
    """Where the row comes from."""
    moved: Moved | None
    problem: str
    """Why there is no answer to the row; empty if there is one, or none was asked for."""
    last: Sequence[PredictionFacts]


def content(request: PageRequest) -> Predict:
    """The form, with the newest prediction of the version as its row; raises Problem for a version that can't be asked."""
    versions = _versions(request)
    version = payload.number(request.query, "version", request.facts.number, 1)
    if version is None:
        return _page(request, None, versions, [], "")
    try:
        schema = schema_of(request, version)
    except Problem as problem:
        if "version" in request.query:
            raise
        return {**_page(request, None, versions, [], ""), "problem": problem.detail}  # the served one can't answer
    newest = request.records.predictions.newest(1, version=version)
    fits = bool(newest) and len(newest[0]["features"]) == len(schema.columns)
    values = newest[0]["features"] if fits else typed_row.typical(schema)
    origin = "the newest prediction" if fits else "the middle of each column's range"
    return _page(request, version, versions, typed_row.fields(schema, typed_row.texts_of(schema, values), {}), origin)


class Outcome(NamedTuple):
    """The answer to a sent form, why it or its explanation is lacking, and the column that is wrong."""

    moved: Moved | None
    problem: str
    column: str | None


def answered(request: PageRequest, version: int, schema: Schema, form: Mapping[str, str], outcome: Outcome) -> Predict:
    """The page with the answer to a sent form."""
    texts = {column.name: form.get(typed_row.PREFIX + column.name, "") for column in schema.columns}
    problems = {outcome.column: outcome.problem} if outcome.column else {}
    page = _page(request, version, _versions(request), typed_row.fields(schema, texts, problems), "")
    return {**page, "moved": outcome.moved, "problem": outcome.problem}


def schema_of(request: PageRequest, version: int) -> Schema:
    """The columns of a version; raises Problem 404 if it is unknown, or its model files are gone."""
    row = request.records.versions.get(version)
    folder = request.home.bundle(version)
    if row is None or manifest.cleared(folder):
        gone = "There is no version" if row is None else "There are no more model files of version"
        raise Problem(404, f"{gone} {version}.", hint="Choose another one.")
    try:
        return manifest.read_manifest(folder, row["bundle"]).data_schema
    except BundleRefused as error:
        raise Problem(503, str(error)) from None


def _page(
    request: PageRequest, version: int | None, versions: list[Choice], fields: list[Field], origin: str
) -> Predict:
    last = request.records.predictions.newest(LAST)
    return {
        "version": version,
        "versions": versions,
        "fields": fields,
        "origin": origin,
        "moved": None,
        "problem": "",
        "last": last,
    }


def _versions(request: PageRequest) -> list[Choice]:
    """The versions whose model files are there, newest first, with their parts."""
    served = request.facts.number
    rows = request.records.versions.newest(VERSIONS)
    if served is not None and served not in [row["version"] for row in rows]:
        rows = [*rows, *filter(None, [request.records.versions.get(served)])]
    return [_choice(row, served) for row in rows if _can_answer(request, row)]


def _can_answer(request: PageRequest, row: JudgedVersion) -> bool:
    folder = request.home.bundle(row["version"])
    return (folder / manifest.MANIFEST).exists() and not manifest.cleared(folder)


def _choice(row: JudgedVersion, served: int | None) -> Choice:
    part = "served" if row["version"] == served else row["state"]
    return {"number": row["version"], "text": f"version {row['version']} ({part}, {row['candidate']})"}
