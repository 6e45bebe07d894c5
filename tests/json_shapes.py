"""The shapes of `--json`, as JSON Schema made from the records that the commands print: docs/cli.schema.json."""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal, NotRequired, Required, Union, is_typeddict

from retraind.daemon.artifacts.explaining.explanation import Explained
from retraind.daemon.cli.ask_daemon import RequestAnswer
from retraind.daemon.cli.completion.command import Script
from retraind.daemon.cli.doctor import Finding
from retraind.daemon.cli.drop_commands import Copied, Traced
from retraind.daemon.cli.follow import FollowedTraining
from retraind.daemon.cli.home_commands import Done
from retraind.daemon.cli.notify_commands import Trial
from retraind.daemon.cli.predict_command import Answered
from retraind.daemon.cli.report.drops import ListedDrop, ReportedDrop
from retraind.daemon.cli.report.health import Health
from retraind.daemon.cli.report.lineage_tree import DescribedChain
from retraind.daemon.cli.report.say import FailureLine, MessageLine
from retraind.daemon.cli.report.schema_table import SchemaReport
from retraind.daemon.cli.report.versions import ListedVersion
from retraind.daemon.cli.token_commands import ListedToken, Revoked, Secret
from retraind.daemon.export.export import Facts as Exported
from retraind.daemon.records.events import Delivery
from retraind.daemon.records.search.event_search import ListedEvent
from retraind.daemon.service.service import Listening
from retraind.daemon.training.reproduction_verdict import Comparison
from retraind.web.terminal.overview import Overview

COMMANDS: dict[str, Any] = {
    "run": Listening,
    "serve": Listening,
    "ingest": Copied,
    "predict": Answered,
    "explain": Explained,
    "retrain": RequestAnswer | FollowedTraining,
    "promote": RequestAnswer,
    "refuse": RequestAnswer,
    "rollback": RequestAnswer,
    "status": Health,
    "top": Overview,
    "versions": list[ListedVersion],
    "drops": list[ListedDrop] | ReportedDrop,
    "accept": RequestAnswer,
    "reject": RequestAnswer,
    "events": list[ListedEvent],
    "acknowledge": RequestAnswer,
    "lineage": DescribedChain,
    "reproduce": Comparison,
    "export": Exported,
    "forget": RequestAnswer | Traced,
    "init": SchemaReport,
    "schema": SchemaReport,
    "doctor": list[Finding],
    "backup": dict[str, int],
    "restore": list[Finding],
    "migrate": Done,
    "claim": Done,
    "token": Secret,
    "token create": Secret,
    "token list": list[ListedToken],
    "token revoke": Revoked,
    "notify": list[Delivery],
    "notify test": list[Trial],
    "completion": Script,
}
"""The record on standard output of each command; of two, the second comes with an option or argument."""

SIMPLE: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    Any: {},
    object: {},
}


def document() -> dict[str, Any]:
    """The whole schema: a definition for each record, and the one of each command by its words."""
    definitions: dict[str, Any] = {}
    commands = {words: schema(kind, definitions) for words, kind in COMMANDS.items()}
    errors = {"message": schema(MessageLine, definitions), "error": schema(FailureLine, definitions)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Output of retraind with --json",
        "description": "commands: the document on standard output. lines: the lines of standard error besides those of the log.",
        "commands": commands,
        "lines": errors,
        "$defs": dict(sorted(definitions.items())),
    }


def page() -> str:
    """The text of docs/cli.schema.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; records are added to `definitions`."""
    try:
        return SIMPLE[kind]
    except (KeyError, TypeError):
        pass
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(part, definitions) for part in arguments]}
    if origin is Literal:
        return {"enum": [getattr(value, "value", value) for value in arguments]}
    if origin in (NotRequired, Required, typing.Annotated):
        return schema(arguments[0], definitions)
    if origin in (list, Sequence, tuple, set, frozenset):
        return {"type": "array", "items": schema(arguments[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema(arguments[1], definitions)}
    if is_typeddict(kind):
        return _record(kind, definitions)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    raise TypeError(f"no JSON for {kind}")


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # it may contain itself
        hints = typing.get_type_hints(kind, include_extras=True)
        definitions[kind.__name__] = {
            "description": " ".join((kind.__doc__ or "").split()),
            "type": "object",
            "properties": {name: schema(hint, definitions) for name, hint in hints.items()},
            "required": sorted(kind.__required_keys__),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}
