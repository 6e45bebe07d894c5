"""What schemathesis can't read from the description of the service; tests/schemathesis.toml names this module."""

import re
import secrets
from typing import Any

import schemathesis

from retraind.web.http.payload import CSV, VISIBLE
from retraind.web.openapi.own_paths import CHOICE


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """An Idempotency-Key that is valid is also new: the same one with another row is refused, as it must be.

    And a version that is named is the served one: the document describes its columns, another version may have others.
    JSON Schema has no words for a CSV file with certain columns, so the example stands for all that are valid.
    """
    if case.operation.path == "/predict" and case.media_type == CSV and case.meta.generation.mode.is_positive:
        content = case.operation.definition.raw["requestBody"]["content"][CSV]
        case.body = content["examples"]["one_row"]["value"]
    key = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and VISIBLE.fullmatch(key):
        case.headers["Idempotency-Key"] = secrets.token_hex(16)
    for place, name in ((case.query, "version"), (case.headers, "X-Model-Version")):
        if re.fullmatch(CHOICE["pattern"], str(place.get(name, ""))):
            place[name] = "champion"
