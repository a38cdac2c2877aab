import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.recording import NOW_US, batch, prediction, writer

from seakeep.clock import MICROSECONDS, FixedClock
from seakeep.errors import ConflictError
from seakeep.recorder.pairs import PairTable
from seakeep.recorder.writer import Writer
from seakeep.records.expression import col
from seakeep.records.model import Canary, Label
from seakeep.records.release import Receipt, Release, Route
from seakeep.records.source import ColumnSchema, Events
from seakeep.serving.rollout import SETTLE_US, RolloutController, Subject

ARRIVALS = Events("arrivals", time="landed", key="flight_id")
SUBJECT = Subject(
    name="late-arrival",
    canary=Canary((0.1, 0.5, 1.0), min_pairs=20),
    label=Label(ARRIVALS, col("arr_delay") > 30, delay="0s"),
    schema=(
        ColumnSchema(name="flight_id", kind="string"),
        ColumnSchema(name="arr_delay", kind="float"),
        ColumnSchema(name="landed", kind="time", nullable=False),
    ),
)


@dataclasses.dataclass
class Judged:
    action: str
    reasons: tuple[str, ...]


def judge(pairs: PairTable, canary: Canary) -> Judged:
    """The candidate loses if its failures or its squared errors on labelled pairs are clearly worse."""
    failures = int((pairs.candidate_failed & ~pairs.champion_failed).sum())
    if failures >= 3:
        return Judged("rollback", (f"it failed {failures} requests that the champion answered",))
    known = ~np.isnan(pairs.label)
    if known.sum() >= 20:
        worse = (pairs.candidate_score - pairs.label)[known] ** 2 - (pairs.champion_score - pairs.label)[known] ** 2
        if worse.mean() > 0.1:
            return Judged("rollback", (f"its error is {worse.mean():.2f} larger", f"on {known.sum()} labelled pairs"))
    if len(pairs) < canary.min_pairs:
        return Judged("wait", (f"{len(pairs)} pairs",))
    return Judged("advance", ("nothing speaks against it",))


class Registry:
    """Releases and receipts in memory, with the registry's rule that a change names the revision it saw."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock, self.releases, self.kept = clock, [], []

    def release(self, action: str, champion: int, candidate: int = 0, weight: float = 0.0, reason: str = "") -> Release:
        self.clock.value_us += 1
        routes = [Route(model="late-arrival", version=champion, bundle="b", role="champion", weight=1 - weight)]
        if candidate:
            routes.append(Route(model="late-arrival", version=candidate, bundle="c", role="candidate", weight=weight))
        release = Release(
            model="late-arrival",
            revision=len(self.releases) + 1,
            from_us=self.clock.now_us(),
            action=action,
            actor="test",
            reason=reason,
            routes=tuple(routes),
        )
        self.releases.append(release)
        return release

    def history(self, model: str) -> list[Release]:
        return [release for release in self.releases if release.model == model]

    def advance(self, model: str, share: float, *, revision: int, reason: str) -> Release:
        current = self._at(revision)
        if share == 1.0:
            return self.release("advance", current.candidate.version, reason=reason)
        return self.release("advance", current.champion.version, current.candidate.version, share, reason)

    def rollback(self, model: str, *, revision: int, reason: str) -> Release:
        return self.release("rollback", self._at(revision).champion.version, reason=reason)

    def receipts(self, model: str) -> list[Receipt]:
        return self.kept

    def add_receipt(self, receipt: Receipt) -> None:
        self.kept.append(receipt)

    def _at(self, revision: int) -> Release:
        if self.releases[-1].revision != revision:
            raise ConflictError("the release has changed")
        return self.releases[-1]


@dataclasses.dataclass
class World:
    """A server in miniature: it answers and shadows requests through the recorder, and labels arrive."""

    folder: Path
    clock: FixedClock
    registry: Registry
    predictions: Writer
    events: Writer
    asked: int = 0

    def controller(self) -> RolloutController:
        return RolloutController(
            SUBJECT,
            predictions=self.folder / "predictions",
            events=self.folder / "events",
            releases=self.registry,
            receipts=self.registry,
            judge=judge,
            clock=self.clock,
        )

    def ask(self, count: int, *, by_candidate: bool = False, candidate_score: float = 0.9, error: str = "") -> None:
        """Requests whose outcome is "late"; the champion says 0.8 of each."""
        for _ in range(count):
            self.asked += 1
            self.clock.value_us += 1_000
            name = f"r{self.asked}"
            sides = {"champion": (1, 0.8, ""), "candidate": (2, candidate_score, error)}
            answered, shadow = ("candidate", "champion") if by_candidate else ("champion", "candidate")
            for side, role in ((answered, "canary" if by_candidate else "champion"), (shadow, "shadow")):
                version, score, failure = sides[side]
                one = prediction(
                    self.predictions.next_sequence(),
                    id=name if role != "shadow" else f"{name}s",
                    pair=name if role == "shadow" else "",
                    role=role,
                    version=version,
                    score=score,
                    error=failure,
                    key=name,
                    recorded_us=self.clock.now_us(),
                )
                self.predictions.append(one)
        self.predictions.commit()

    def label_all(self) -> None:
        names = [f"r{n}" for n in range(1, self.asked + 1)]
        columns = {"flight_id": names, "arr_delay": [60.0] * len(names), "landed": [NOW_US] * len(names)}
        number = self.events.next_sequence()
        self.events.append(batch(number, batch=f"b{number}", columns=columns, recorded_us=self.clock.now_us()))
        self.events.commit()


@pytest.fixture
def world(tmp_path):
    clock = FixedClock(NOW_US)
    registry = Registry(clock)
    one = World(
        tmp_path,
        clock,
        registry,
        writer(tmp_path / "predictions", clock=clock),
        writer(tmp_path / "events", clock=clock),
    )
    registry.release("promote", 1)
    one.ask(5)
    clock.value_us += MICROSECONDS
    yield one
    one.predictions.close()
    one.events.close()


def begin(world: World) -> Release:
    started = world.registry.release("promote", 1, 2, 0.1)
    world.clock.value_us += 1
    return started


def test_without_a_candidate_nothing_happens(world):
    controller = world.controller()
    assert controller.step() is None
    assert len(world.registry.releases) == 1


def test_a_good_candidate_goes_through_all_stages(world):
    started = begin(world)
    controller = world.controller()
    for expected in (0.5, None):
        world.clock.value_us += 1
        world.ask(19)
        controller.step()
        before = world.registry.releases[-1]
        world.ask(1, by_candidate=True)
        assert controller.step() is None
        after = world.registry.releases[-1]
        assert after.revision == before.revision + 1, "20 pairs are enough for a stage, 19 are not"
        assert (after.candidate.weight if after.candidate else None) == expected
    assert world.registry.releases[-1].champion.version == 2
    world.clock.value_us += SETTLE_US
    receipt = controller.step()
    assert receipt == Receipt(
        model="late-arrival",
        champion=1,
        candidate=2,
        outcome="completed",
        reason="nothing speaks against it",
        started_us=started.from_us,
        ended_us=world.registry.releases[-1].from_us,
        requests=40,
        failed=0,
        answered_by_candidate=2,
        detect_s=pytest.approx(0.040, abs=0.001),
        switch_s=0.0,
        evidence=("nothing speaks against it",),
    )
    assert world.registry.kept == [receipt]
    assert controller.step() is None
    assert len(world.registry.kept) == 1


def test_a_candidate_that_is_worse_on_the_same_traffic_is_taken_back(world):
    begin(world)
    controller = world.controller()
    world.ask(15, candidate_score=0.1)
    world.ask(5, by_candidate=True, candidate_score=0.1)
    world.label_all()
    controller.step()
    ended = world.registry.releases[-1]
    assert ended.action == "rollback"
    assert ended.champion.version == 1
    assert ended.candidate is None
    world.clock.value_us += 100
    world.ask(1, by_candidate=True, candidate_score=0.1)  # a worker that saw the switch a moment later
    late_us = world.clock.now_us()
    world.ask(3)
    assert controller.step() is None, "a receipt waits for records on their way"
    world.clock.value_us += SETTLE_US
    receipt = controller.step()
    assert (receipt.outcome, receipt.requests, receipt.failed, receipt.answered_by_candidate) == (
        "rolled-back",
        21,
        0,
        6,
    )
    assert receipt.ended_us == late_us
    assert receipt.switch_s == pytest.approx(0.0011)
    assert receipt.evidence == ("its error is 0.77 larger", "on 20 labelled pairs")


def test_harm_is_looked_for_in_all_pairs_and_each_stage_is_earned_by_its_own(world):
    begin(world)
    controller = world.controller()
    world.ask(2, by_candidate=True, error="serving")
    world.ask(18)
    controller.step()
    assert world.registry.releases[-1].candidate.weight == 0.5
    world.ask(19)
    controller.step()
    assert world.registry.releases[-1].candidate.weight == 0.5, "19 of 20 fresh pairs"
    world.ask(1, error="serving")
    controller.step()
    assert world.registry.releases[-1].action == "rollback", "its third failure, but the first in this stage"


def test_a_changed_world_takes_nobody_back(world):
    # Both are wrong on every request: the absolute numbers are terrible, the comparison is not.
    begin(world)
    controller = world.controller()
    world.ask(20, candidate_score=0.8)
    names = [f"r{n}" for n in range(1, world.asked + 1)]
    columns = {"flight_id": names, "arr_delay": [0.0] * len(names), "landed": [NOW_US] * len(names)}
    world.events.append(batch(world.events.next_sequence(), columns=columns, recorded_us=world.clock.now_us()))
    world.events.commit()
    controller.step()
    assert world.registry.releases[-1].action == "advance"


def test_failures_take_back_and_are_counted(world):
    begin(world)
    controller = world.controller()
    world.ask(2, by_candidate=True, error="serving")
    controller.step()
    assert world.registry.releases[-1].candidate is not None
    world.ask(1, by_candidate=True, error="serving")
    controller.step()
    world.clock.value_us += SETTLE_US
    receipt = controller.step()
    assert (receipt.outcome, receipt.requests, receipt.failed) == ("rolled-back", 3, 3)


def test_a_new_controller_goes_on_where_the_last_one_was(world):
    begin(world)
    first = world.controller()
    world.ask(12)
    first.step()
    world.ask(8)
    world.controller().step()
    assert world.registry.releases[-1].candidate.weight == 0.5


def test_a_receipt_is_written_though_the_controller_died_after_the_switch(world):
    begin(world)
    world.ask(4)
    world.controller().step()
    world.registry.rollback("late-arrival", revision=2, reason="by hand")
    world.clock.value_us += SETTLE_US
    receipt = world.controller().step()
    assert (receipt.outcome, receipt.reason, receipt.requests) == ("rolled-back", "by hand", 4)
    assert world.controller().step() is None


def test_each_rollout_gets_its_own_receipt_though_the_next_began_at_once(world):
    begin(world)
    world.ask(4)
    world.registry.rollback("late-arrival", revision=2, reason="first")
    world.clock.value_us += 1
    world.registry.release("promote", 1, 3, 0.1)
    world.clock.value_us += SETTLE_US
    controller = world.controller()
    assert controller.step().candidate == 2
    controller.step()
    assert world.registry.releases[-1].candidate.version == 3
    world.registry.rollback("late-arrival", revision=4, reason="second")
    world.clock.value_us += SETTLE_US
    assert controller.step().candidate == 3
    assert [one.reason for one in world.registry.kept] == ["first", "second"]


def test_somebody_who_was_faster_is_respected(world, monkeypatch):
    begin(world)
    controller = world.controller()
    world.ask(20)
    honest = world.registry.history

    def stale(model: str) -> list[Release]:
        found = honest(model)
        world.registry.rollback("late-arrival", revision=2, reason="by hand")
        monkeypatch.undo()
        return found

    monkeypatch.setattr(world.registry, "history", stale)
    assert controller.step() is None
    assert [one.reason for one in world.registry.releases] == ["", "", "by hand"]
    world.clock.value_us += SETTLE_US
    assert controller.step().reason == "by hand"


def test_missing_records_are_said(world):
    begin(world)
    world.ask(2)
    world.predictions.next_sequence()
    world.predictions.next_sequence()
    world.predictions.close()
    world.registry.rollback("late-arrival", revision=2, reason="by hand")
    world.clock.value_us += SETTLE_US
    receipt = world.controller().step()
    assert receipt.requests == 2
    assert receipt.evidence == ("by hand", "2 records of this time are missing from the recorder.")


def test_what_was_recorded_before_the_rollout_does_not_count(world):
    begin(world)
    world.ask(1)
    world.registry.rollback("late-arrival", revision=2, reason="by hand")
    world.clock.value_us += SETTLE_US
    assert world.controller().step().requests == 1


def test_an_a_b_test_goes_on_until_a_person_ends_it_unless_it_does_harm(world):
    begin(world)
    (champion, candidate) = world.registry.releases[-1].routes
    held = msgspec.structs.replace(candidate, held=True)
    world.registry.releases[-1] = msgspec.structs.replace(world.registry.releases[-1], routes=(champion, held))
    controller = world.controller()
    world.ask(500)
    assert controller.step() is None
    assert world.registry.releases[-1].candidate == held
    world.ask(50, error="serving")
    controller.step()
    assert world.registry.releases[-1].action == "rollback"
