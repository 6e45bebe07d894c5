"""The lines of keys in a TOML file: the parser of the standard library does not say where a value is.

Only headers and simple keys are understood. A key elsewhere (in an inline table, in a text of several lines) has the
line of what encloses it, or none.
"""

import re
from collections.abc import Sequence

HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]#]+?)\s*\]{1,2}\s*(?:#.*)?$")
ASSIGNED = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, key: Sequence[int | str]) -> int | None:
    """The 1-based line of a key such as `("server", "port")`, or of the longest part of it that has a line."""
    setting = [str(part) for part in key]
    table: list[str] = []
    best, depth = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            path = table = _parts(header[1])
        elif assigned := ASSIGNED.match(line):
            path = table + _parts(assigned[1])
        else:
            continue
        shared = min(len(path), len(setting))
        # A header encloses its keys, so it stands for a key only as far as it goes.
        if path[:shared] == setting[:shared] and shared > depth and len(path) <= len(setting):
            best, depth = number, shared
    return best


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in PART.findall(dotted)]
