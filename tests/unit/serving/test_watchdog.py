"""Who hangs is told by beats alone; time in which nobody looked condemns nobody."""

from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.watchdog import Watchdog


def test_a_process_whose_beat_stands_still_for_too_long_hangs_and_one_that_beats_does_not():
    dog = Watchdog(3)
    found = [dog.look({1: 7, 2: now}, now) for now in range(6)]
    assert found == [set(), set(), set(), set(), {1}, {1}]


def test_a_beat_that_goes_backwards_is_a_sign_of_life():
    dog = Watchdog(3)
    assert not any(dog.look({1: -now}, now) for now in range(50))


def test_a_process_is_counted_from_the_first_look_at_it():
    dog = Watchdog(2)
    for now in range(4):
        dog.look({1: 0}, now)
    assert dog.look({2: 0}, 4) == set()
    assert dog.look({2: 0}, 5) == dog.look({2: 0}, 6) == set()
    assert dog.look({2: 0}, 7) == {2}


def test_one_that_begins_to_move_again_starts_anew():
    dog = Watchdog(2)
    beats = [0, 0, 0, 1, 1, 1, 1]
    assert [dog.look({1: beat}, now) for now, beat in enumerate(beats)] == [set()] * 6 + [{1}]


@given(pauses=st.lists(st.floats(5, 1e6), max_size=20))
def test_however_long_nobody_looks_each_absence_counts_for_a_second_at_most(pauses):
    """A machine that slept, or a supervisor that was stopped: the workers slept as well."""
    dog, now = Watchdog(len(pauses) + 1), 0.0
    for pause in pauses:
        assert dog.look({1: 0}, now) == set()
        now += pause
    assert dog.look({1: 0}, now) == set()
