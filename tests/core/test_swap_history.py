"""Which version a rollback restores, and which versions were left by one."""

import pytest

from retraind.daemon.core.journal.swap_history import before, left_by_rollback
from retraind.daemon.core.journal_rows import SwapRow

PROMOTED, BACK, BY_HAND = "Accuracy rose.", "By request (rollback, cli).", "The alias champion was moved by hand."
LABELS = "Version 2 was rolled back: worse on late labels."


def swaps(*moves: tuple[int, str]) -> list[SwapRow]:
    """Moves of the pointer, oldest first, as swaps with the newest first."""
    rows: list[SwapRow] = []
    previous: int | None = None
    for number, (version, reason) in enumerate(moves, start=1):
        at = f"2026-01-01T00:{number:02}:00.000Z"
        rows.append({"id": number, "version": version, "previous": previous, "reason": reason, "at": at})
        previous = version
    return rows[::-1]


@pytest.mark.parametrize(
    ("moves", "target"),
    [
        ([(1, PROMOTED)], None),
        ([(1, PROMOTED), (2, PROMOTED), (3, PROMOTED)], 2),
        ([(1, PROMOTED), (2, PROMOTED), (3, PROMOTED), (2, BACK)], 1),
        ([(1, PROMOTED), (2, PROMOTED), (3, PROMOTED), (2, BACK), (1, BACK)], None),
        ([(1, PROMOTED), (2, PROMOTED), (1, LABELS)], None),
        ([(1, PROMOTED), (2, PROMOTED), (1, LABELS), (3, PROMOTED)], 1),
        ([(1, PROMOTED), (2, PROMOTED), (3, PROMOTED), (1, BACK), (4, PROMOTED)], 1),
        ([(1, PROMOTED), (2, PROMOTED), (1, BY_HAND)], 2),
        ([(1, PROMOTED), (2, PROMOTED), (1, BACK), (2, "By request (promote, cli).")], 1),
        ([(1, PROMOTED), (2, PROMOTED), (3, BACK)], 2),
    ],
    ids=str,
)
def test_a_rollback_goes_to_the_version_below(moves: list[tuple[int, str]], target: int | None) -> None:
    assert before(swaps(*moves), moves[-1][0]) == target


def test_swaps_of_the_newest_time_are_enough() -> None:
    """The oldest ones are not read: the first of the others has what served before it."""
    moves = [(1, PROMOTED), (2, PROMOTED), (3, PROMOTED)]
    assert before(swaps(*moves)[:1], 3) == 2
    assert before(swaps(*moves), 7) is None, "the pointer is of another version"


def test_versions_that_were_left_by_a_rollback() -> None:
    moves = [(1, PROMOTED), (2, PROMOTED), (1, LABELS), (3, PROMOTED), (4, PROMOTED), (3, BACK)]
    assert {version: row["id"] for version, row in left_by_rollback(swaps(*moves)).items()} == {2: 3, 4: 6}
    again = [*moves, (4, "By request (promote, cli).")]
    assert left_by_rollback(swaps(*again)).keys() == {2}
