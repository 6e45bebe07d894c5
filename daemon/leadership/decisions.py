"""The next action of a standby: a pure decision from what it sees of the leader."""

from enum import Enum, auto

from retraind.daemon.storage.server.leader_rows import Sight


class Turn(Enum):
    """What a standby does next."""

    WAIT = auto()
    END = auto()
    """End the leader's session, because the leader is silent, then take the lock."""
    TAKE = auto()
    """Take the lock, which is free."""


def turn(sight: Sight | None, stale_seconds: float, connected: float, *, again: bool) -> Turn:
    """A standby's action.

    `connected` is for how long (seconds) it has been connected to the server, `again` whether it was connected before:
    after a restart of the server the leader's session is gone as well, and it gets time to come back.
    """
    if again and connected < stale_seconds:
        return Turn.WAIT
    if sight is None or sight.holder is None:
        return Turn.TAKE
    # A holder without a beat is a leader without a standby, or a command; another holder than the row's is one that has
    # just begun.
    if sight.silence is None or sight.holder != sight.session:
        return Turn.WAIT
    return Turn.END if sight.silence > stale_seconds else Turn.WAIT
