"""The table of HTTP routes: what the server answers and what the OpenAPI document says both come from it."""

from __future__ import annotations

from typing import NamedTuple

from seakeep.serving.ports import Action


class Operation(NamedTuple):
    """One path and what it takes.

    Attributes
    ----------
    path
        With ``{model}``, ``{number}`` and ``{source}`` where names stand.
    name
        What answers it.
    posts
        Whether it takes a body.
    action
        What one must be allowed to do; None: it is open to all who can reach the server.
    """

    path: str
    name: str
    posts: bool
    action: Action | None


OPERATIONS = (
    Operation("/v1/models/{model}/predict", "predict", posts=True, action="predict"),
    Operation("/v1/events/{source}", "events", posts=True, action="events"),
    Operation("/v2/models/{model}/infer", "infer", posts=True, action="predict"),
    Operation("/v2/models/{model}/versions/{number}/infer", "infer", posts=True, action="predict"),
    Operation("/v2/models/{model}/ready", "model_ready", posts=False, action="predict"),
    Operation("/v2/models/{model}/versions/{number}/ready", "model_ready", posts=False, action="predict"),
    Operation("/v2/models/{model}", "model_metadata", posts=False, action="predict"),
    Operation("/v2/models/{model}/versions/{number}", "model_metadata", posts=False, action="predict"),
    Operation("/v2", "server_metadata", posts=False, action="predict"),
    Operation("/v2/health/live", "live", posts=False, action=None),
    Operation("/v2/health/ready", "ready", posts=False, action=None),
    Operation("/metrics", "metrics", posts=False, action="metrics"),
    Operation("/openapi.json", "openapi", posts=False, action=None),
)

_SPLIT = tuple((operation, operation.path.split("/")[1:]) for operation in OPERATIONS)


def find(path: bytes) -> tuple[Operation, dict[str, str]] | None:
    """The operation of a path, and the names in it; None if there is nothing under it."""
    parts = path.decode("latin-1").rstrip("/").split("/")[1:]
    for operation, template in _SPLIT:
        if len(template) == len(parts):
            pairs = [pair for pair in zip(template, parts, strict=True) if pair[0] != pair[1]]
            if all(name.startswith("{") for name, _ in pairs):
                return operation, {name[1:-1]: part for name, part in pairs}
    return None
