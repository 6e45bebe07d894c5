"""Pages of the documentation that follow from the code: `python tests/pages.py` writes them, `test_docs.py` compares."""

import json
from pathlib import Path

import json_shapes

from retraind.daemon.core import settings
from retraind.daemon.core.errors import POLICY
from retraind.web.protocols.errors import MLFLOW_CODES

ROOT = Path(__file__).parent.parent

SETTINGS = """\
# Settings

Settings stand in `retraind.toml` in the home folder, or in the environment as `RETRAIND_SECTION__NAME`
(`RETRAIND_SERVER__PORT=8080`). Flags override the environment, and the environment overrides the file. They are read when the
service starts. A key that does not exist is an error that names the nearest one.

```toml
[retrain]
threshold_rows = 200

[promote]
mode = "manual"
```

"""


def settings_page() -> str:
    """docs/settings.md: a table for each section, in the order of the model."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    lines += [
        f"| `{key}` | `{json.dumps(default)}` | {description} |" for key, description, default in settings.entries()
    ]
    return SETTINGS + "\n".join(lines) + "\n"


ERRORS = """\
# Errors

One policy for every door. An error has a *cause*. Of a command, the cause decides the exit code; with `--json` the last line of standard error names it:
`{"error": {"cause": "wrong-home", "exit": 2, "name": "USAGE", "message": "…", "hint": "…"}}`. Over HTTP it decides the status, and `type` of
`application/problem+json` is `urn:retraind:problem:` and the cause. The protocols of other servers have forms of their own: `{"error": "…"}` (KServe V1 and V2,
Triton, TensorFlow Serving), `{"error_code": "…", "message": "…"}` (MLflow). They say 400 instead of 422.

A cause without an exit code is one of HTTP only; a cause with both is the same in a command and in a request.

"""


def errors_page() -> str:
    """docs/errors.md: a row for each cause, in the order of the policy."""
    lines = ["| cause | it means | exit code | HTTP | MLflow | what to do |", "|---|---|---|---|---|---|"]
    for cause, doors in POLICY.items():
        code = f"{doors.exit:d} {doors.exit.name}" if doors.exit else "–"
        status = 400 if doors.status == 422 else doors.status
        mlflow = MLFLOW_CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
        lines.append(f"| `{cause}` | {doors.meaning} | {code} | {doors.status} | `{mlflow}` | {doors.remedy} |")
    return ERRORS + "\n".join(lines) + "\n"


PAGES = {"docs/settings.md": settings_page, "docs/errors.md": errors_page, "docs/cli.schema.json": json_shapes.page}
"""By path, what writes the page."""

if __name__ == "__main__":
    for path, write in PAGES.items():
        (ROOT / path).write_text(write())
