"""When a worker has grown too large: whatever leaks in it, a successor takes its place before memory runs out."""

from __future__ import annotations

from typing import Literal as OneOf

Verdict = OneOf["keep", "replace", "end"]

EARLY = 0.8
"""Part of the ceiling from which on a successor is started: it needs time, and the leak goes on meanwhile."""


def judge(used_bytes: int, ready_bytes: int, ceiling_bytes: int) -> Verdict:
    """What to do about a worker.

    Parameters
    ----------
    used_bytes
        Its own memory now.
    ready_bytes
        Its own memory when it had loaded everything; 0 if it has not yet.
    ceiling_bytes
        0: there is none.

    Returns
    -------
    str
        ``keep``; ``replace`` it once a successor listens; ``end`` it at once: it goes on to answer what it has taken.
        A worker that needed so much from the start is kept: a successor would need as much.
    """
    if not ceiling_bytes or not ready_bytes or too_low(ready_bytes, ceiling_bytes):
        return "keep"
    if used_bytes >= ceiling_bytes:
        return "end"
    return "replace" if used_bytes >= EARLY * ceiling_bytes else "keep"


def too_low(ready_bytes: int, ceiling_bytes: int) -> bool:
    """Whether a worker needs more than a ceiling allows, though it has not grown."""
    return ready_bytes >= EARLY * ceiling_bytes > 0
