"""Where the pages of the models are kept."""

from __future__ import annotations

from typing import Protocol

from seakeep.records.finding import Page


class PageStore(Protocol):
    """Keeps the pages that were sent; they never change."""

    def pages(self, model: str) -> list[Page]:
        """All pages of a model, oldest first."""
        ...

    def add(self, page: Page) -> bool:
        """Keep a page, with an entry in the audit log; False if the model has one of that moment already."""
        ...
