"""The process that sends one notice with Apprise. Only this module imports apprise (`retraind[notify]`).

It reads the address and the text as JSON on its standard input, and writes the reason of a failure.
"""

import importlib
import itertools
import json
import re
import sys
from typing import Any

FAILED, UNKNOWN = 3, 4
"""Exit codes: the address did not accept the notice, and Apprise knows no such address."""

MAIL = "apprise.plugins.email"
"""Package of Apprise's mail."""

SHORTEST = 4
"""Minimum length of a part of an address that is removed from texts."""


def without_parts(text: str, url: str) -> str:
    """A text without the parts of an address, which may be tokens."""
    parts = {part for part in re.split(r"[^\w.~%-]+", url.partition("://")[2]) if len(part) >= SHORTEST}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "…")
    return text


def _keep_message_ids(token: str) -> None:
    """Let each mail of a notice have the same Message-ID at every attempt: mail programs show such a repetition once.

    Apprise makes a random one, and has no option for another.
    """
    number = itertools.count(1)

    def identity(_text: str | None = None, domain: str | None = None) -> str:
        return f"<{token}.{next(number)}@{domain or 'retraind'}>"

    vars(importlib.import_module(f"{MAIL}.base"))["make_msgid"] = identity


def main(job: dict[str, Any]) -> int:
    """Send a notice; returns the exit code."""
    import apprise

    asset = apprise.AppriseAsset(app_id="retraind", app_desc="retraind", secure_logging=True)
    plugin = apprise.Apprise.instantiate(job["url"], asset=asset, suppress_exceptions=True)
    if plugin is None:
        return UNKNOWN
    if type(plugin).__module__.startswith(MAIL):
        _keep_message_ids(job["token"])
    service, reasons = apprise.Apprise(asset=asset), []
    service.add(plugin)
    accepted = service.notify(
        title=job["title"],
        body=job["body"],
        notify_type=job["type"],
        body_format=apprise.NotifyFormat.TEXT,
        log_callback=lambda entry, _: reasons.append(entry.message),
    )
    if not accepted:
        sys.stdout.write(without_parts(" ".join(reasons), job["url"]))
    return 0 if accepted else FAILED


if __name__ == "__main__":
    sys.exit(main(json.load(sys.stdin)))
