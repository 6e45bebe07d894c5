"""How many examples a property is tried with: all of them by `./ci.sh --full`, a quarter by `./ci.sh`, others each time."""

import os


def some(count: int) -> int:
    """The number of random examples where `count` are tried in full."""
    return count if os.environ.get("MEASURE") == "processes" else count // 4
