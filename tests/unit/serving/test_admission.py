import math
from types import SimpleNamespace

import pytest

from seakeep.errors import UnavailableError
from seakeep.serving import admission
from seakeep.serving.admission import HEAVY_ROW_S, MOST_RETRY_S, TICK_ROWS, TICK_S, Queue
from seakeep.serving.priority import CRITICAL, NORMAL, SHEDDABLE


def call(size=1, rank=NORMAL, parsed_s=0.0, deadline_s=None):
    return SimpleNamespace(size=size, rank=rank, parsed_s=parsed_s, deadline_s=deadline_s)


def queue_of(*calls, wait_s=1.0, row_s=0.1):
    queue = Queue(wait_s)
    queue.row_s = row_s
    for one in calls:
        queue.add(one)
    return queue


def test_an_empty_queue_turns_nobody_away():
    queue = queue_of()
    for rank in (CRITICAL, NORMAL, SHEDDABLE):
        queue.check(rank, 5.0, 4.0)
    assert (len(queue), queue.waits_s(SHEDDABLE)) == (0, 0.0)


def test_who_would_wait_too_long_is_turned_away_and_told_when_to_come_back():
    queue = queue_of(call(11))
    with pytest.raises(UnavailableError, match="more is asked than can be answered in time") as caught:
        queue.check(NORMAL, 1.0)
    assert caught.value.retry_after_s == 2  # 1.1 s wait, 0.1 s were turned away
    assert "Retry-After" in caught.value.hint


def test_a_burst_that_has_only_just_arrived_is_worked_off_however_large_it_is():
    queue = queue_of(call(1000, parsed_s=1.0))
    queue.check(NORMAL, 1.2)
    with pytest.raises(UnavailableError):
        queue.check(NORMAL, 1.25)


def test_a_class_waits_for_itself_and_for_those_above_it_alone():
    queue = queue_of(call(5, CRITICAL), call(3, NORMAL), call(4, SHEDDABLE))
    assert [queue.waits_s(rank) for rank in (CRITICAL, NORMAL, SHEDDABLE)] == pytest.approx([0.5, 0.8, 1.2])
    queue.check(NORMAL, 1.0)
    with pytest.raises(UnavailableError):
        queue.check(SHEDDABLE, 1.0)


def test_the_lowest_class_may_wait_for_half_as_long():
    queue = queue_of(call(6))
    queue.check(NORMAL, 1.0)
    with pytest.raises(UnavailableError):
        queue.check(SHEDDABLE, 1.0)


def test_who_would_wait_beyond_its_deadline_is_turned_away_at_once():
    queue = queue_of(call(5))
    queue.check(NORMAL, 1.0, 1.6)
    with pytest.raises(UnavailableError, match="not be answered in its time"):
        queue.check(NORMAL, 1.0, 1.4)


def test_the_time_to_come_back_grows_with_what_was_turned_away_and_falls_with_time():
    queue = queue_of(call(20))
    told = [queue.turned_away(10, now_s) for now_s in (0.0, 0.0, 0.0, 10.0)]
    assert told == [3, 4, 5, 3]
    assert queue.turned_away(10_000, 10.0) == MOST_RETRY_S
    assert queue_of(row_s=0.0).turned_away(1, 0.0) == 1


def test_higher_classes_are_taken_first_and_each_in_the_order_of_arrival():
    calls = [call(rank=rank) for rank in (SHEDDABLE, NORMAL, CRITICAL, NORMAL, CRITICAL)]
    queue = queue_of(*calls)
    assert queue.take() == [calls[place] for place in (2, 4, 1, 3, 0)]
    assert (len(queue), queue.waits_s(SHEDDABLE)) == (0, 0.0)


def test_the_newest_of_the_lowest_class_makes_room_for_a_higher_one_alone():
    calls = [call(rank=rank) for rank in (SHEDDABLE, SHEDDABLE, NORMAL)]
    queue = queue_of(*calls)
    assert queue.displace(SHEDDABLE) is None
    assert [queue.displace(CRITICAL) for _ in range(4)] == [calls[1], calls[0], calls[2], None]
    assert queue.waits_s(SHEDDABLE) == 0.0


def test_what_nobody_waits_for_is_taken_out():
    calls = [call(deadline_s=at) for at in (3.0, None, 1.0, 2.0)]
    queue = queue_of(*calls)
    assert queue.overdue(0.5) == []
    assert queue.overdue(2.0) == [calls[2], calls[3]]
    assert queue.overdue(2.5) == []
    assert queue.overdue(math.inf) == [calls[0]]
    assert queue.take() == [calls[1]]


def test_no_more_rows_wait_than_fit(monkeypatch):
    monkeypatch.setattr(admission, "MAX_WAITING", 10)
    queue = queue_of(call(9))
    assert [queue.has_room(rows) for rows in (1, 2)] == [True, False]


def test_a_turn_takes_as_many_rows_as_its_time_allows():
    queue, taken = queue_of(), []
    for _ in range(40):
        while len(queue) < 2 * TICK_ROWS:
            queue.add(call())
        taken.append(len(queue.take()))
        queue.worked(taken[-1], taken[-1] * TICK_S / 300, 0.0, 0.0)
    assert taken[0] == 64
    assert taken[-1] == 300
    for _ in range(5):
        rows = len(queue.take())
        queue.worked(rows, rows * TICK_S / 50, 0.0, 0.0)
    assert len(queue.take()) < 64


def test_a_turn_takes_at_least_one_call_and_at_most_so_many_rows():
    queue = queue_of(*[call(2 * TICK_ROWS)] * 3)
    for _ in range(20):
        queue.worked(1, 1.0, 0.0, 0.0)
    assert len(queue.take()) == 1
    for _ in range(40):
        queue.worked(10 * TICK_ROWS, 0.0, 0.0, 0.0)
    assert queue._limit_rows == TICK_ROWS


def test_what_a_row_takes_is_learnt_with_the_reading_between_two_turns():
    queue = queue_of(*[call()] * 5000, row_s=0.0)
    now_s = 0.0
    for _ in range(60):
        queue.worked(100, 0.1, now_s, now_s + 0.1)  # a tenth of a second of work, and as much of reading
        now_s += 0.2
    assert queue.row_s == pytest.approx(0.002, rel=0.02)


@pytest.mark.parametrize(("rows", "apart"), [(1, False), (60, False), (200, True)])
def test_rows_that_would_hold_the_event_loop_are_executed_apart(rows, apart):
    queue = queue_of()
    for _ in range(50):
        queue.worked(100, 100 * HEAVY_ROW_S * 0.9, 0.0, 0.0)
    assert queue.apart(rows) is apart


def test_a_model_that_is_heavy_row_by_row_works_apart_until_it_is_light_again():
    queue = queue_of()
    assert not queue.apart(1)
    for cost, apart in ((1.5, True), (0.7, True), (0.4, False), (0.9, False)):
        for _ in range(50):
            queue.worked(100, 100 * HEAVY_ROW_S * cost, 0.0, 0.0)
        assert queue.apart(1) is apart


def test_turns_of_single_rows_never_narrow_those_of_many():
    queue = queue_of(*[call()] * 200)
    for _ in range(1000):
        queue.worked(1, TICK_S / 20, 0.0, 10 * TICK_S)  # the machine did something else meanwhile
    assert len(queue.take()) == 64
    assert not queue.apart(1)


def test_a_model_of_which_a_turn_can_take_only_a_few_rows_works_apart():
    queue = queue_of(*[call()] * 200)
    for _ in range(40):
        queue.worked(len(queue.take()) or 1, 2 * TICK_S, 0.0, 0.0)
    assert queue.apart(1)


def test_single_rows_tell_nothing_of_what_many_cost():
    queue = queue_of()
    for _ in range(1000):
        queue.worked(1, TICK_S / 2, 0.0, 0.0)
    assert not queue.apart(1)


def test_behind_a_batch_that_is_late_by_far_nobody_is_expected_to_be_answered_soon():
    queue = queue_of(call(1), wait_s=0.2, row_s=0.01)
    queue.began(10, 0.0)  # 0.1 s of work, and the longest wait
    assert queue.busy
    queue.check(NORMAL, 0.39)
    with pytest.raises(UnavailableError, match="more is asked"):
        queue.check(NORMAL, 0.41)
    queue.ended()
    queue.check(NORMAL, 0.41)
    assert not queue.busy


def test_who_comes_first_behind_a_batch_that_is_late_may_wait():
    queue = queue_of(wait_s=0.2, row_s=0.01)
    queue.began(1, 0.0)
    queue.check(NORMAL, 100.0)
