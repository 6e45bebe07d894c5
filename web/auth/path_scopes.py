"""The scope that each path needs: the one table for routes, protocols and the OpenAPI document."""

from retraind.daemon.core.scopes import Scope

V2 = "/v2/models/<name>"
V1 = "/v1/models/<name>"

UNMATCHED = "unmatched"
"""Template of requests to unknown paths: a path is user text and must not become a label of a metric."""

OPEN = None
"""Paths for everyone: health checks, signing in, and static files."""

TABLE: dict[str, Scope | None] = {
    "/": OPEN,
    "/livez": OPEN,
    "/leadz": OPEN,
    # Without the scope `read`, these omit the details.
    "/readyz": OPEN,
    "/health": OPEN,
    "/sign-in": OPEN,
    "/sign-out": OPEN,
    "/static/<name>": OPEN,
    "/docs/<release>/<name>": OPEN,
    "/predict": Scope.PREDICT,
    "/explain": Scope.PREDICT,
    "/add_training_data": Scope.WRITE,
    "/trigger_retrain": Scope.WRITE,
    "/promote": Scope.ADMIN,
    "/refuse": Scope.ADMIN,
    "/rollback": Scope.ADMIN,
    # A token that may add rows must not accept its own held drops.
    "/accept": Scope.ADMIN,
    # Nor may it make people stop seeing its bad rows.
    "/acknowledge": Scope.ADMIN,
    "/reject": Scope.ADMIN,
    "/forget": Scope.ADMIN,
    "/metrics": Scope.READ,
    "/prometheus_metrics": Scope.READ,
    "/dashboard": Scope.READ,
    "/dashboard/data": Scope.READ,
    "/dashboard/trends": Scope.READ,
    "/dashboard/drops": Scope.READ,
    "/dashboard/events": Scope.READ,
    "/dashboard/predictions": Scope.READ,
    "/dashboard/queue": Scope.READ,
    "/dashboard/settings": Scope.READ,
    "/dashboard/versions": Scope.READ,
    "/dashboard/versions/<key>": Scope.READ,
    "/dashboard/compare": Scope.READ,
    "/dashboard/drops/<key>": Scope.READ,
    "/dashboard/drops/<key>/rows": Scope.READ,
    "/dashboard/predict": Scope.READ,
    "/dashboard/predictions/<key>": Scope.READ,
    "/openapi.json": Scope.READ,
    "/docs": Scope.READ,
    "/predictions/history": Scope.READ,
    "/predictions/<key>": Scope.READ,
    "/versions": Scope.READ,
    "/versions/<key>": Scope.READ,
    # With this scope one sees the rows of predictions and drops, so the model, which is made of such rows, tells no more.
    "/versions/<key>/export": Scope.READ,
    "/drops": Scope.READ,
    "/uploads/<key>": Scope.WRITE,
    "/drops/<key>": Scope.READ,
    "/drops/<key>/columns": Scope.READ,
    "/drops/<key>/bad.csv": Scope.READ,
    "/drops/<key>/rows": Scope.READ,
    "/compare": Scope.READ,
    "/drift": Scope.READ,
    "/trends": Scope.READ,
    "/events": Scope.READ,
    "/queue": Scope.READ,
    "/settings": Scope.READ,
    "/requests/<key>": Scope.READ,
    # Protocols of other servers
    "/ping": OPEN,
    "/version": Scope.PREDICT,
    "/invocations": Scope.PREDICT,
    "/v2": Scope.PREDICT,
    "/v2/health/live": OPEN,
    "/v2/health/ready": OPEN,
    "/v2/repository/index": Scope.PREDICT,
    "/v1/models": Scope.PREDICT,
}
"""Path templates of the routes, and their scopes."""

POSTS: dict[str, Scope] = {"/drops": Scope.WRITE}
"""Paths whose POST needs another scope than their GET."""

PAGES = frozenset(path for path in TABLE if path.startswith("/dashboard") and path != "/dashboard/data")
"""Path templates of the pages for people."""

BELOW: dict[str, Scope] = {V2: Scope.PREDICT, V1: Scope.PREDICT}
"""The model and all paths below it: description, readiness and predictions."""


def needed(template: str, method: str = "GET") -> Scope | None:
    """The scope for a path template in the form of the routes or of OpenAPI; raises KeyError without an entry.

    A path without a route needs no scope.
    """
    path = template.replace("{", "<").replace("}", ">")
    if method == "POST" and path in POSTS:
        return POSTS[path]
    if path in TABLE:
        return TABLE[path]
    if path == UNMATCHED:
        return OPEN
    for base, scope in BELOW.items():
        if path == base or path.startswith((f"{base}/", f"{base}:")):
            return scope
    raise KeyError(f"retraind.web.auth.path_scopes has no entry for {template}")


def is_page(template: str) -> bool:
    """Whether a path template is that of a page: a browser without a session is sent to sign in, and then back."""
    return template in PAGES or template == "/docs"
