"""Pages of the documentation that follow from the code: `python tests/pages.py` writes them, `test_docs.py` compares."""

import json
from pathlib import Path

from retraind.daemon.core import settings

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


PAGES = {"docs/settings.md": settings_page}
"""By path, what writes the page."""

if __name__ == "__main__":
    for path, write in PAGES.items():
        (ROOT / path).write_text(write())
