"""A measured number."""

from __future__ import annotations

import msgspec


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A number with the interval it lies in with 95 % confidence."""

    value: float
    low: float
    high: float
