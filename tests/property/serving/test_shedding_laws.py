"""Laws of turning away: whatever waits and whenever it came, a higher class is never worse off than a lower one."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from seakeep.config import PRIORITIES
from seakeep.errors import UnavailableError
from seakeep.serving.admission import Queue

RANKS = range(len(PRIORITIES))
calls = st.builds(
    lambda rank, size, parsed_s, within_s: SimpleNamespace(
        rank=rank, size=size, parsed_s=parsed_s, deadline_s=None if within_s is None else parsed_s + within_s
    ),
    st.sampled_from(RANKS),
    st.integers(1, 50),
    st.floats(0, 1),
    st.none() | st.floats(0, 2),
)
queues = st.tuples(st.lists(calls, max_size=30), st.floats(0, 0.05), st.floats(0.01, 1))
deadlines = st.none() | st.floats(0, 3)


def made(waiting, row_s, wait_s):
    queue = Queue(wait_s)
    queue.row_s = row_s
    for call in sorted(waiting, key=lambda call: call.parsed_s):
        queue.add(call)
    return queue


def admitted(queue, rank, now_s, deadline_s):
    try:
        queue.check(rank, now_s, deadline_s)
    except UnavailableError:
        return False
    return True


@given(queues, st.floats(1, 3), deadlines)
def test_whoever_is_let_in_every_higher_class_is_too(given_queue, now_s, deadline_s):
    queue = made(*given_queue)
    let_in = [admitted(queue, rank, now_s, deadline_s) for rank in RANKS]
    assert let_in == sorted(let_in, reverse=True)


@given(queues, st.floats(1, 3), st.sampled_from(RANKS))
def test_more_that_waits_never_lets_anybody_in(given_queue, now_s, rank):
    waiting, row_s, wait_s = given_queue
    fewer, more = made(waiting[: len(waiting) // 2], row_s, wait_s), made(waiting, row_s, wait_s)
    for asked in RANKS:
        assert admitted(fewer, asked, now_s, None) or not admitted(more, asked, now_s, None)


@given(queues, st.lists(st.sampled_from(RANKS), max_size=40))
def test_room_is_made_only_at_the_cost_of_lower_classes(given_queue, askers):
    queue = made(*given_queue)
    for rank in askers:
        given_way = queue.displace(rank)
        left = [call.rank for lane in queue._lanes for call in lane]
        if given_way is None:
            assert all(other <= rank for other in left)
        else:
            assert given_way.rank > rank
            assert all(other <= given_way.rank for other in left)


@given(queues, st.floats(0, 4))
def test_every_call_leaves_once_overdue_or_in_its_turn_and_none_before_a_higher_one(given_queue, now_s):
    waiting = given_queue[0]
    queue = made(*given_queue)
    overdue, turns = queue.overdue(now_s), []
    while len(queue):
        turns.append(queue.take())
    left = [call for turn in turns for call in turn]
    assert sorted(map(id, [*overdue, *left])) == sorted(map(id, waiting))
    assert all(call.deadline_s is not None and call.deadline_s <= now_s for call in overdue)
    assert all(call.deadline_s is None or call.deadline_s > now_s for call in left)
    assert [call.rank for call in left] == sorted(call.rank for call in left)
    assert queue.waits_s(RANKS[-1]) == 0.0
