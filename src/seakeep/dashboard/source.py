"""Where the pages get their values: the port that the composition root implements."""

from __future__ import annotations

from typing import Protocol

from seakeep.dashboard.values import ModelPage, NowPage, PredictionPage, RunPage, VersionPage


class PageSource(Protocol):
    """Gives each page its value. Methods are called from several threads and must not change anything.

    All raise :class:`~seakeep.errors.NotFoundError` for a name nobody knows; any other
    :class:`~seakeep.errors.SeakeepError` is shown with its hint.
    """

    def now(self) -> NowPage:
        """All models, those that need attention first."""
        ...

    def model(self, name: str, from_us: int | None, to_us: int | None) -> ModelPage:
        """One model over ``[from_us, to_us)``; ``None`` leaves that end to the source, for a range that follows now."""
        ...

    def prediction(self, id: str) -> PredictionPage:  # noqa: A002 -- the record's own word
        """One recorded prediction."""
        ...

    def run(self, id: str) -> RunPage:  # noqa: A002 -- the record's own word
        """One training run."""
        ...

    def version(self, ref: str) -> VersionPage:
        """One version, by a reference such as ``late-arrival:3``."""
        ...
