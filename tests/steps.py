"""How much work Python has with something, told by counting instead of by a clock."""

import sys
from collections.abc import Callable
from typing import Any


def steps(function: Callable[[], Any]) -> int:
    """Calls of Python and C functions while a function runs in this thread.

    A number that is the same on every machine: where it does not grow with the rows, they are worked off by libraries and
    not by a loop.
    """
    counted = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return counted
