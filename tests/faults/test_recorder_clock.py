"""Clocks that jump: what was recorded is read once and in the order of numbers, and gaps have a beginning before their end."""

import random

import pytest
from tests.recording import NOW_US, batch, prediction, queue_mb

from seakeep.clock import DAY_US, FixedClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.query import Query, find, gaps, load, load_events
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.recovery import recover
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import Prediction


def pen(folder, clock, **settings):
    return Writer(folder, "w", clock=clock, settings=RecorderSettings(commit_ms=60_000, **settings))


def test_jumps_ahead_and_back_change_neither_order_nor_count(tmp_path):
    chance, clock = random.Random(3), FixedClock(NOW_US)
    tail, followed, made = Tail(tmp_path), [], []
    for turn in range(12):
        one = pen(tmp_path, clock)
        for _ in range(50):
            clock.value_us += chance.choice([1, 1, 1, 10**13, -(10**13)])
            record = prediction(one.next_sequence(), time_us=clock.now_us(), recorded_us=clock.now_us())
            made.append(record)
            assert one.append(record)
        one.commit()
        followed += tail.poll()
        one.close()
        if turn % 4 == 3:
            compact(tmp_path)
    assert [one.sequence for one in scan(tmp_path)] == list(range(1, 601))
    followed += tail.poll()
    tail.close()
    assert [one.sequence for one in followed] == list(range(1, 601))
    table = load(tmp_path, Query(model="late-arrival"))
    assert table.time_us.tolist() == sorted(one.time_us for one in made)
    assert find(tmp_path, made[77].id).recorded_us == made[77].recorded_us


def test_a_tail_since_a_moment_reads_what_was_recorded_before_the_clock_was_set_back(tmp_path):
    clock = FixedClock(NOW_US + DAY_US)
    one = pen(tmp_path, clock)
    one.append(prediction(one.next_sequence(), recorded_us=clock.now_us()))
    one.close()
    clock.value_us = NOW_US - DAY_US
    one = pen(tmp_path, clock)
    one.append(prediction(one.next_sequence(), recorded_us=clock.now_us()))
    one.close()
    tail = Tail(tmp_path, since_us=NOW_US)
    assert [found.sequence for found in tail.poll()] == [1]
    tail.close()


@pytest.mark.parametrize("jump_us", [DAY_US, -DAY_US])
def test_a_gap_begins_before_it_ends(tmp_path, jump_us):
    clock = FixedClock(NOW_US)
    one = pen(tmp_path, clock, queue_mb=queue_mb(2))
    for _ in range(6):
        one.append(prediction(one.next_sequence(), recorded_us=clock.now_us()))
        clock.value_us += jump_us
    one.next_sequence()
    one.close()
    (tmp_path / "w.ledger").write_bytes((20).to_bytes(8, "little") + (tmp_path / "w.ledger").read_bytes()[8:])
    recover(tmp_path, clock)
    found = gaps(tmp_path)
    assert [gap.reason for gap in sorted(found, key=lambda gap: gap.sequence)] == ["overflow", "crash", "crash"]
    assert all(gap.from_us <= gap.to_us for gap in found)
    assert sum(gap.count for gap in found) + sum(isinstance(one, Prediction) for one in scan(tmp_path)) == 20


def test_of_a_batch_that_came_twice_one_counts_whenever_it_came(tmp_path):
    clock = FixedClock(NOW_US)
    one = pen(tmp_path, clock)
    for jump_us in (0, -DAY_US, DAY_US):
        clock.value_us += jump_us
        one.append(batch(one.next_sequence(), batch="same", recorded_us=clock.now_us()))
    one.close()
    assert len(load_events(tmp_path, "arrivals")["landed"]) == 1
