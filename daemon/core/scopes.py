"""Scopes: what a token lets its holder do over HTTP.

Which route needs which one is the table of `web.auth.path_scopes`.
"""

from enum import StrEnum


class Scope(StrEnum):
    """One permission; apart from `ADMIN` none includes another, so a token has as many as it needs."""

    PREDICT = "predict"
    """Ask for predictions, and for what the model takes and answers."""
    READ = "read"
    """See what is there: page, history with features, drops, events, versions, metrics, the description of all this."""
    WRITE = "write"
    """Add rows and ask for trainings."""
    ADMIN = "admin"
    """Everything, and alone: choose the served version, and decide what becomes of held drops."""


ALL = frozenset(Scope)


def granted(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """The scopes that a holder of `scopes` has."""
    return ALL if Scope.ADMIN in scopes else scopes
