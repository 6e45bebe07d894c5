"""Which path needs which scope: the one table that routes, doors and the description of the service go by."""

from daemon.core.scopes import Scope

V2 = "/v2/models/<name>"
V1 = "/v1/models/<name>"

UNMATCHED = "unmatched"
"""Template of requests to unknown paths: a path is user text and must not become a label of a metric."""

OPEN = None
"""For everybody: what supervisors ask, the way in, and files that come with the program."""

TABLE: dict[str, Scope | None] = {
    "/": OPEN,
    "/livez": OPEN,
    # Who may not read hears whether all is well, and no more.
    "/readyz": OPEN,
    "/health": OPEN,
    "/sign-in": OPEN,
    "/sign-out": OPEN,
    "/static/<name>": OPEN,
    "/docs/<release>/<name>": OPEN,
    "/predict": Scope.PREDICT,
    "/add_training_data": Scope.WRITE,
    "/trigger_retrain": Scope.WRITE,
    "/promote": Scope.ADMIN,
    "/refuse": Scope.ADMIN,
    "/rollback": Scope.ADMIN,
    # Whoever may drop files must not let in what was held of them.
    "/accept": Scope.ADMIN,
    "/reject": Scope.ADMIN,
    "/metrics": Scope.READ,
    "/prometheus_metrics": Scope.READ,
    "/dashboard": Scope.READ,
    "/dashboard/data": Scope.READ,
    "/openapi.json": Scope.READ,
    "/docs": Scope.READ,
    "/predictions/history": Scope.READ,
    "/versions": Scope.READ,
    "/versions/<key>": Scope.READ,
    "/drops": Scope.READ,
    "/drops/<key>": Scope.READ,
    "/drift": Scope.READ,
    "/events": Scope.READ,
    "/requests/<key>": Scope.READ,
    # The doors
    "/ping": OPEN,
    "/version": Scope.PREDICT,
    "/invocations": Scope.PREDICT,
    "/v2": Scope.PREDICT,
    "/v2/health/live": OPEN,
    "/v2/health/ready": OPEN,
    "/v2/repository/index": Scope.PREDICT,
    "/v1/models": Scope.PREDICT,
}
"""Templates of paths as the routes have them."""

BELOW: dict[str, Scope] = {V2: Scope.PREDICT, V1: Scope.PREDICT}
"""The model itself and all that is below it: what it takes, whether it is there, and its predictions."""


def needed(template: str) -> Scope | None:
    """What a path needs, by its template as routes or OpenAPI write it; raises KeyError for one without an entry.

    A path that no route has needs nothing: there is nothing at it.
    """
    path = template.replace("{", "<").replace("}", ">")
    if path in TABLE:
        return TABLE[path]
    if path == UNMATCHED:
        return OPEN
    for base, scope in BELOW.items():
        if path == base or path.startswith((f"{base}/", f"{base}:")):
            return scope
    raise KeyError(f"web.auth.path_scopes has no entry for {template}")
