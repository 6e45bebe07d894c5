"""The order of served versions: which version a rollback restores, and how a version left. Pure functions of swaps."""

from collections.abc import Iterable, Sequence

from retraind.daemon.core.journal_rows import SwapRow
from retraind.daemon.core.states import VersionState

BY_REQUEST = "By request ({}, {})."
"""The reason of a swap that a person requested: the kind of request, and who."""

ROLLBACK = BY_REQUEST.partition(",")[0].format("rollback")
"""Begin of the reason of a swap by `retraind rollback`."""

LOOKED_BACK = 1_000
"""Newest swaps that are looked at: no one goes back further."""


def is_rollback(swap: SwapRow) -> bool:
    """Whether a swap went back to an earlier version, by request or because of late labels."""
    reason = swap["reason"]
    by_labels = reason.startswith("Version ") and f" was {VersionState.ROLLED_BACK}: " in reason
    return reason.startswith(ROLLBACK) or by_labels


def before(swaps: Sequence[SwapRow], served: int | None) -> int | None:
    """The version that a rollback from `served` restores: the one that it once replaced. `swaps` are the newest, newest first.

    Versions that were left by a rollback are not among them, so two rollbacks go back twice. None without an earlier version.
    """
    stack: list[int] = []
    for swap in reversed(swaps):
        if not stack and swap["previous"] is not None:
            stack.append(swap["previous"])
        if is_rollback(swap) and swap["version"] in stack:
            del stack[stack.index(swap["version"]) + 1 :]
        else:
            stack = [*(version for version in stack if version != swap["version"]), swap["version"]]
    return stack[-2] if len(stack) > 1 and stack[-1] == served else None


def left_by_rollback(swaps: Iterable[SwapRow]) -> dict[int, SwapRow]:
    """By version, the swap by which it was last left, if that was a rollback. `swaps` begin with the newest."""
    left: dict[int, SwapRow] = {}
    seen: set[int] = set()
    for swap in swaps:
        seen.add(swap["version"])  # it has served again since an earlier rollback
        if swap["previous"] is not None and swap["previous"] not in seen:
            seen.add(swap["previous"])
            if is_rollback(swap):
                left[swap["previous"]] = swap
    return left
