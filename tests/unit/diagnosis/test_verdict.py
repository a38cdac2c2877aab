"""Simulated streams: the cause is known by construction (see streams.py)."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from tests.unit.diagnosis.streams import CHANGE_US, END_US, LIVE_US, Change, simulate

from seakeep.alerting.budget import FAILING
from seakeep.clock import DAY_US
from seakeep.diagnosis.evidence import Periods, Ratios, gather
from seakeep.diagnosis.hindsight import truth
from seakeep.diagnosis.verdict import judge, weigh
from seakeep.monitoring.history import History
from seakeep.records.finding import Verdict

SEEDS = 12
STUCK = ("load is stuck in 100% of rows",)


def verdict(change: Change, seed: int, *, now_us: int = END_US + DAY_US, broken: tuple[str, ...] = ()) -> Verdict:
    history = simulate(change, seed)
    return judge(history, from_us=CHANGE_US, to_us=END_US, now_us=now_us, broken_inputs=broken, seed=seed)


def hindsight(history: History) -> str:
    before, recent = history.live.between(LIVE_US, CHANGE_US), history.live.between(CHANGE_US, END_US)
    return truth(history.reference, before, recent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "causes", "share"),
    [
        ("stationary", Change(), {"nothing"}, 0.8),
        ("world up by prior shift", Change(prior=2.2), {"world-changed"}, 0.9),
        ("world down by prior shift", Change(prior=0.4), {"world-changed"}, 0.8),
        ("world up, inputs say so, calibration intact", Change(shift=0.6), {"world-changed"}, 0.9),
        ("world down, inputs say so, calibration intact", Change(shift=-0.6), {"world-changed"}, 0.9),
        ("concept shift at the same rate", Change(weights=(0.0, 0.9)), {"model-failing"}, 0.9),
        ("input stuck at its middle", Change(load_stuck_at=0.0), {"model-failing"}, 0.9),
        ("input stuck low", Change(load_stuck_at=-1.0), {"model-failing"}, 0.9),
        ("input stuck high", Change(load_stuck_at=2.0), {"model-failing"}, 0.9),
        ("threshold raised", Change(threshold=1.4), {"model-failing"}, 0.9),
        ("threshold lowered", Change(threshold=0.7), {"model-failing"}, 0.9),
        ("alerts stopped, scores went on", Change(threshold=np.inf), {"model-failing"}, 0.9),
        ("alerts stopped while the world fell a little", Change(threshold=np.inf, prior=0.65), FAILING, 0.8),
        ("alerts stopped while the world fell by half", Change(threshold=np.inf, prior=0.5), {"both"}, 0.9),
        ("alerts stopped while the inputs foretold a calm", Change(threshold=np.inf, shift=-0.6), {"both"}, 0.9),
        ("scores collapsed while the world fell by half", Change(squeeze=0.1, prior=0.5), {"both"}, 0.9),
        ("input stuck while the world rose", Change(load_stuck_at=-1.0, shift=0.6), {"both"}, 0.9),
        ("labels stopped", Change(labels_until_us=CHANGE_US + 5 * DAY_US), {"cannot-tell"}, 0.9),
        ("no labels at all", Change(labels_until_us=CHANGE_US), {"cannot-tell"}, 0.9),
        ("tiny", Change(per_day=4), {"cannot-tell"}, 0.9),
    ],
    ids=lambda value: value if isinstance(value, str) else " ",
)
def test_simulated_cause_is_found_and_never_confidently_mistaken(name, change, causes, share):
    broken = STUCK if change.load_stuck_at is not None else ()
    verdicts = [verdict(change, seed, broken=broken) for seed in range(SEEDS)]
    right = sum(one.cause in causes for one in verdicts)
    wrong = [one for one in verdicts if one.cause not in causes | {"cannot-tell"}]
    assert right >= share * SEEDS, Counter(one.cause for one in verdicts)
    assert all(one.confidence < 0.8 for one in wrong), [one.headline for one in wrong]


@pytest.mark.parametrize("change", [Change(threshold=np.inf, prior=0.5), Change(squeeze=0.1, prior=0.5)])
def test_hindsight_sees_a_dead_model_in_a_calm_world(change):
    assert hindsight(simulate(change, 1)) == "both"


def test_alerts_that_stopped_are_told_as_a_threshold_above_every_score():
    told = verdict(Change(threshold=np.inf, prior=0.5), 1)
    assert "the decision threshold moved above every score" in told.headline
    assert "nothing is alerted" in told.evidence[0]


def test_honest_calm_is_no_fault_but_a_model_that_catches_nothing_is_never_called_good():
    for seed in range(6):
        calm, dead = (verdict(Change(shift=shift), seed) for shift in (-0.8, -2.0))
        assert calm.cause == "world-changed"
        assert "as the scores foretold" in calm.headline
        assert dead.cause in {"both", "cannot-tell"}
        assert hindsight(simulate(Change(shift=-0.8), seed)) == "world-changed"


def test_a_cause_needs_most_of_the_histories_not_only_most_for_each_claim():
    history = simulate(Change(offset=0.5), 0)
    evidence = gather(
        Periods.of(history, from_us=CHANGE_US, to_us=END_US, previous_from_us=LIVE_US), now_us=END_US + DAY_US, seed=0
    )
    rank = np.arange(len(evidence.resampled.world)) / len(evidence.resampled.world)
    still = {field.name: np.zeros(len(rank)) for field in dataclasses.fields(Ratios)}
    failing = np.where(rank < 0.29, 1.0, 0.0)
    moved = {"world": np.where(rank < 0.65, 1.0, 0.0), "recall": -failing, "missed": failing}
    told = weigh(dataclasses.replace(evidence, resampled=Ratios(**{**still, **moved})))
    assert told.cause == "cannot-tell"
    assert "only 36% of resampled histories" in told.headline


def test_world_that_moves_unseen_by_the_model_is_never_called_steady():
    causes = {verdict(Change(offset=1.0), seed).cause for seed in range(6)}
    assert causes <= {"both", "world-changed", "cannot-tell"}


def test_broken_input_denies_the_excuse_that_the_world_fell():
    change = Change(load_stuck_at=-1.0, shift=-0.6)
    seeds = range(6)
    assert {verdict(change, seed, broken=STUCK).cause for seed in seeds} <= {"both", "model-failing"}
    assert STUCK[0] in verdict(change, 0, broken=STUCK).headline


def test_moved_threshold_is_named_with_both_values():
    told = verdict(Change(threshold=0.7), 1)
    assert "decision threshold moved" in told.headline
    assert told.evidence[0].startswith("Decisions follow another threshold")


def test_world_changed_is_never_concluded_from_model_outputs_alone():
    told = verdict(Change(shift=1.5, labels_until_us=CHANGE_US), 3)
    assert told.cause == "cannot-tell"
    assert told.confidence == 0.0


def test_only_what_was_known_at_the_moment_counts():
    change = Change(shift=0.6)
    now_us = CHANGE_US + 20 * DAY_US
    told = judge(simulate(change, 5), from_us=CHANGE_US, to_us=END_US, now_us=now_us, seed=5)
    history = simulate(change, 5)
    live = history.live.select(history.live.predictions.time_us < now_us)
    hidden = np.where(live.known_us < now_us, live.value, np.nan)
    cut = History(history.reference, type(live)(live.predictions, hidden, live.known_us))
    assert judge(cut, from_us=CHANGE_US, to_us=END_US, now_us=now_us, seed=5) == told


def test_same_seed_gives_the_same_verdict_and_numbers_hold_their_intervals():
    first, second = verdict(Change(shift=0.6), 2), verdict(Change(shift=0.6), 2)
    assert first == second
    for metric in first.numbers.values():
        assert metric.low <= metric.value <= metric.high
    assert first.numbers["base_rate"].low > first.numbers["base_rate_before"].high


def test_without_live_predictions_the_verdict_abstains():
    history = simulate(Change(), 0)
    empty = History(history.reference, history.live.select(slice(0, 0)))
    assert judge(empty, from_us=CHANGE_US, to_us=END_US, now_us=END_US).cause == "cannot-tell"


def test_first_weeks_of_a_version_are_compared_with_its_validation_rows():
    history = simulate(Change(), 4)
    told = judge(history, from_us=LIVE_US, to_us=CHANGE_US, now_us=CHANGE_US + DAY_US, seed=4)
    assert told.numbers["base_rate_before"].value == told.numbers["base_rate_reference"].value


def test_headline_counts_alerts_as_people_see_them():
    history = simulate(Change(shift=0.6), 2)
    told = judge(history, from_us=CHANGE_US, to_us=END_US, now_us=END_US + DAY_US, seed=2)
    before = history.live.between(LIVE_US, CHANGE_US).predictions.decision.mean()
    now = history.live.between(CHANGE_US, END_US).predictions.decision.mean()
    assert told.headline.startswith(f"Alerts rose {now / before - 1:.0%}")
