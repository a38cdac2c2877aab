"""Judges every model once a day while its service runs, and tells somebody at once where that is worth a budget."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from seakeep.alerting.budget import symptoms
from seakeep.clock import DAY_US, format_moment
from seakeep.records.finding import Page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seakeep.project.stores import Stores
    from seakeep.project.watch import Watcher
    from seakeep.records.finding import Brief

LOOK_S = 60.0
"""Seconds between two looks whether a day has ended."""
DUTY = 0.1
"""Largest share of the time that is spent on looking and judging."""


class Pager:
    """Turns the days of the models into pages.

    A day is judged when it has ended (UTC): by the clock, or in a project that lives in the past by the newest
    recorded prediction. So what is judged is the brief that ``seakeep morning --at`` shows for that midnight, and to
    judge a day again, after a restart, changes nothing.
    """

    def __init__(self, models: Iterable[str], stores: Stores, watcher: Watcher) -> None:
        self._models, self._stores, self._watcher = tuple(models), stores, watcher
        self._judged: dict[str, int] = {}

    def look(self) -> float:
        """Judge the day that ended last, of each model where that was not done; seconds until the next look."""
        began = time.monotonic()
        for model in self._models:
            history = self._stores.releases.history(model)
            champion = history[-1].champion if history else None
            if champion is None:
                continue
            judged_us = self._judged.get(model, 0)
            midnight_us = self._watcher.now_us(model, judged_us) // DAY_US * DAY_US
            if judged_us < midnight_us:
                self._judged[model] = midnight_us
                version = self._stores.versions.get(model, champion.version)
                self._keep(self._watcher.morning(version, midnight_us))
        return max(LOOK_S, (time.monotonic() - began) / DUTY)

    def _keep(self, brief: Brief) -> None:
        if not brief.page:
            return
        page = Page(
            model=brief.model,
            version=brief.version,
            time_us=brief.now_us,
            reasons=symptoms(brief.lines, brief.verdict),
            action=brief.action,
        )
        if self._stores.pages.add(page):
            sys.stderr.write(page_text(page) + "\n")
            sys.stderr.flush()


def page_text(page: Page) -> str:
    """A page in a few lines: who, when, why and what to do."""
    head = f"PAGE {page.model}:{page.version}  {format_moment(page.time_us)}"
    next_step = [f"  next: {page.action}"] if page.action else []
    return "\n".join([head, *(f"  {reason}" for reason in page.reasons), *next_step])
