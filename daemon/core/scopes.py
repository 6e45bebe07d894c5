"""Scopes: what a token lets its holder do over HTTP. `retraind.web.auth.path_scopes` has the scope of each route."""

from enum import StrEnum


class Scope(StrEnum):
    """One permission. Only `ADMIN` includes others, so a token lists each scope that it needs."""

    PREDICT = "predict"
    """Request predictions, and descriptions of the model's inputs and outputs."""
    READ = "read"
    """Read everything: dashboard, history with features, drops, events, versions, metrics, the OpenAPI document."""
    WRITE = "write"
    """Add rows and request trainings."""
    ADMIN = "admin"
    """Everything; the only scope that may choose the served version and decide on held drops."""


ALL = frozenset(Scope)


def granted(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """The scopes that a holder of `scopes` has."""
    return ALL if Scope.ADMIN in scopes else scopes
