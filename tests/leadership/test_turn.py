"""What a standby does next."""

import pytest

from retraind.daemon.core.leader.leadership import Leadership
from retraind.daemon.leadership.decisions import Turn, turn
from retraind.daemon.storage.server.leader_rows import Sight

RECORD = Leadership(epoch=3, leader="box-a", since="2026-11-29T12:00:00Z", reason="First start.")


def sight(silence: float | None, holder: int | None, session: int = 7) -> Sight:
    return Sight(RECORD, silence, session, holder)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, Turn.TAKE),
        (sight(0.2, None), Turn.TAKE),
        (sight(9.0, None), Turn.TAKE),
        (sight(0.2, 7), Turn.WAIT),
        (sight(3.0, 7), Turn.WAIT),
        (sight(3.1, 7), Turn.END),
        (sight(None, 7), Turn.WAIT),
        (sight(9.0, 8), Turn.WAIT),
    ],
    ids=["none yet", "free", "free and old", "beats", "just so", "silent", "never beats", "another's session"],
)
def test_turn(seen: Sight | None, expected: Turn) -> None:
    assert turn(seen, 3.0, 100.0, again=False) is expected


def test_after_a_lost_connection_the_leader_gets_time_to_come_back() -> None:
    """The server was away: the leader's session is gone as well, and it is the first to know the state of the work."""
    free = sight(5.0, None)
    assert turn(free, 3.0, 2.9, again=True) is Turn.WAIT
    assert turn(free, 3.0, 3.1, again=True) is Turn.TAKE
    assert turn(free, 3.0, 0.0, again=False) is Turn.TAKE
