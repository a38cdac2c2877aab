"""The composition root: settings become wired objects. The only importer of backends.

Nothing is imported with the package itself: a serving worker, a training and a command each load what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seakeep.project.project import Project, open_project

__all__ = ["Project", "open_project"]


def __getattr__(name: str) -> Any:
    """Import the facade when it is first used (PEP 562)."""
    if name not in __all__:
        message = f"module 'seakeep.project' has no attribute {name!r}"
        raise AttributeError(message)
    from seakeep.project import project

    return getattr(project, name)
