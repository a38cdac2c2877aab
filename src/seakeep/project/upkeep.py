"""What is done beside a service, in a process of its own: days judged, records compacted and let go, and views too.

It is heavy, and in the service's own process would hold up the care for workers and rollouts, and the service's end. All
of it may be killed at any moment, so it ends when it is told to, whatever it is at.
Entry: ``python -m seakeep.project.upkeep FOLDER``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from pathlib import Path

from seakeep.clock import DAY_US, Clock, SystemClock
from seakeep.config import Home, load_settings
from seakeep.errors import SeakeepError
from seakeep.project.build import Builder
from seakeep.project.keyring import keyring
from seakeep.project.load import LoadedProject, load_project
from seakeep.project.online import OnlineViews
from seakeep.project.pager import Pager
from seakeep.project.stores import open_stores
from seakeep.project.watch import Watcher
from seakeep.recorder.compaction import compact
from seakeep.recorder.retention import Steadiness, expire
from seakeep.serving.logs import configured

RECORDS_S = 30.0
"""How often sealed segments are made into Parquet and old records let go, in seconds."""
NICENESS = 10
"""Requests come first: https://pubs.opengroup.org/onlinepubs/9799919799/functions/nice.html."""

_log = logging.getLogger("seakeep.project")


class Upkeep:
    """The jobs, done one after another when they are due.

    Parameters
    ----------
    pager
        Judges the days.
    views
        Lets go of the features that nobody needs any more.
    clock
        The wall clock.
    """

    def __init__(self, loaded: LoadedProject, home: Home, pager: Pager, views: OnlineViews, *, clock: Clock) -> None:
        self._loaded, self._home, self._pager, self._views, self._clock = loaded, home, pager, views, clock
        self._steadiness = Steadiness(clock)
        self._judge_due_s = time.monotonic()
        self._records_due_s = self._judge_due_s + RECORDS_S

    def step(self) -> float:
        """Do what is due; the seconds until something is due again."""
        if time.monotonic() >= self._judge_due_s:
            self._judge_due_s = time.monotonic() + self._judge()
        if time.monotonic() >= self._records_due_s:
            self._keep_records()
            now_us = self._clock.now_us()  # read before the clock is asked for: no jump comes in between
            if self._steadiness.settled():
                self._let_go_of_views(now_us)
            self._records_due_s = time.monotonic() + RECORDS_S
        return max(0.0, min(self._judge_due_s, self._records_due_s) - time.monotonic())

    def _judge(self) -> float:
        try:
            return self._pager.look()
        except Exception:  # noqa: BLE001 -- the job border: the other jobs go on
            _log.exception("the day could not be judged")
            return RECORDS_S

    def _keep_records(self) -> None:
        try:
            keys = keyring(self._home.predictions, self._loaded.folder, self._loaded.settings, self._home)
            compact(self._home.predictions, keys)
            self._let_go(by_age=self._steadiness.settled())  # asked now: to compact may take long
        except (SeakeepError, OSError):
            _log.exception("the records could not be compacted or let go; they stay as they are")

    def _let_go_of_views(self, now_us: int) -> None:
        try:
            gone = self._views.retire(self._loaded.models, now_us)
        except (SeakeepError, OSError):
            _log.exception("which features nobody needs any more could not be told; they stay as they are")
        else:
            if gone:
                _log.info("let go of %d views that no version needs any more", gone)

    def _let_go(self, *, by_age: bool) -> None:
        """Let go of the records that are too old or too many. Events, of which features are rebuilt, go by age alone."""
        settings, now_us = self._loaded.settings.recorder, self._clock.now_us()
        older_than_us = now_us - settings.keep_days * DAY_US if settings.keep_days and by_age else None
        for folder, room in ((self._home.predictions, int(settings.keep_gb * (1 << 30))), (self._home.events, 0)):
            gone = expire(folder, older_than_us=older_than_us, now_us=now_us, max_bytes=room)
            if gone.files or gone.in_use:
                _log.info("let go of %d files of %s; %d are in use", gone.files, folder.name, gone.in_use)


def upkeep(folder: Path, clock: Clock) -> Upkeep:
    """Wire the jobs of the project in ``folder``.

    Raises
    ------
    SeakeepError
        The project or its state cannot be read.
    """
    loaded = load_project(folder)
    home = Home(loaded.folder / loaded.settings.project.home)
    stores = open_stores(home, clock)
    watcher = Watcher(loaded, home, stores, Builder(loaded, home, stores, clock), clock)
    return Upkeep(loaded, home, Pager(loaded.models, stores, watcher), OnlineViews(home, stores), clock=clock)


def main(arguments: list[str]) -> int:
    """Do the jobs until killed, or until standard input, a pipe from whoever started it, ends.

    Returns
    -------
    int
        The exit status. A fault is one line on standard error.
    """
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m seakeep.project.upkeep FOLDER\n")
        return 2
    _give_way()
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        observing = load_settings(Path(arguments[0])).observe
        jobs = upkeep(Path(arguments[0]), SystemClock())
    except SeakeepError as fault:
        sys.stderr.write(f"upkeep: error: {fault.message}\n  hint: {fault.hint}\n")
        return 1
    with configured(observing):
        while True:
            time.sleep(jobs.step())


def _give_way() -> None:
    os.nice(NICENESS)
    # Where the scheduler groups processes by session, niceness counts within a session alone, and this process leads one
    # of its own: https://man7.org/linux/man-pages/man7/sched.7.html, "The autogroup feature".
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), "ascii")


def _end_with_standard_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
