"""What a model costs, the plan that follows, and whether requests wait; time is a number here."""

import itertools

import pytest

from seakeep.serving.batching import ALONE, AT_ONCE, BUDGET_S, LOOK_S, SIZES, Cost, Gathering, Plan, measure, plan


class Machine:
    """A model with a cost by rows, and a clock that its execution moves."""

    def __init__(self, cost_s, *, noise=()):
        self.now_s, self.cost_s, self.ran, self._noise = 0.0, cost_s, [], list(noise)

    def clock_s(self):
        return self.now_s

    def run(self, rows):
        self.ran.append(rows)
        self.now_s += self.cost_s(rows) * (self._noise.pop(0) if self._noise else 1.0)


def tree(rows):
    return 9e-6 + 2e-6 * rows


def network(rows):
    return max(250e-6, 23e-6 * rows)


def crowded(rows):
    """Its caches overflow beyond 32 rows."""
    return network(rows) * (1 if rows <= 32 else 2)


def measured(cost_s, **settings):
    machine = Machine(cost_s)
    return measure(machine.run, machine.clock_s, **settings), machine


def test_sizes_are_timed_in_rising_order_from_one():
    cost, _ = measured(tree)
    assert cost.rows == SIZES[: len(cost.rows)]
    assert cost.seconds == pytest.approx([tree(rows) for rows in cost.rows])


@pytest.mark.parametrize("cost_s", [tree, network, crowded, lambda _: 0.05, lambda _: 10.0])
def test_measuring_takes_no_longer_than_its_budget_and_one_run(cost_s):
    cost, machine = measured(cost_s)
    assert machine.now_s <= BUDGET_S + cost_s(1) + cost_s(cost.rows[-1])
    assert cost.rows[0] == 1


def test_the_fastest_run_counts_so_that_a_busy_machine_misleads_nobody():
    machine = Machine(tree, noise=[9.0, 3.0, 1.0, 50.0, 2.0])
    assert measure(machine.run, machine.clock_s).seconds[0] == pytest.approx(tree(1))


def test_sizes_beyond_what_helps_are_not_timed():
    assert measured(crowded)[0].rows[-1] == 128
    assert measured(tree, most=16)[0].rows[-1] == 16


def test_a_clock_that_stands_still_is_no_fault():
    assert plan(measure(lambda _: None, lambda: 0.0)).patience_s == 0.0


def test_nobody_waits_for_a_tree_and_its_rows_are_scored_at_once():
    found = plan(measured(tree)[0])
    assert (found.patience_s, found.most) == (0.0, SIZES[-1])


def test_for_a_network_it_is_worth_waiting_up_to_the_size_that_is_as_good_as_the_best():
    found = plan(measured(network)[0])
    assert found.enough == 16
    assert found.patience_s == pytest.approx(network(1) - network(16) / 16)


def test_a_model_is_not_given_more_rows_than_it_can_take_well():
    assert plan(measured(crowded)[0]).most == 32


def test_a_model_that_gains_nothing_by_a_batch_is_not_waited_for():
    assert plan(measured(lambda rows: 120e-6 * rows)[0]).patience_s == 0.0


def test_what_saves_less_than_looks_at_the_sockets_cost_is_not_waited_for():
    assert plan(Cost((1, 2), (LOOK_S, LOOK_S))).patience_s == 0.0
    assert plan(Cost((1, 2), (3 * LOOK_S, 3 * LOOK_S))).patience_s > 0.0


def turns(gathering, of, arrivals, *, turn_s=1e-5):
    """Ask at the end of each turn; ``arrivals`` are the rows that come in it. How many turns it took, and the rows."""
    rows, now_s = 0, 0.0
    for turn, more in enumerate(arrivals, 1):
        rows += more
        if not gathering.waits(of, rows, now_s):
            return turn, rows
        now_s += turn_s
    raise AssertionError("it waits for ever")


PATIENT = Plan(enough=8, patience_s=200e-6)


@pytest.mark.parametrize("of", [AT_ONCE, ALONE, Plan(enough=64)])
def test_who_gains_nothing_by_it_never_waits(of):
    assert turns(Gathering(), of, [1]) == (1, 1)


def test_requests_wait_until_there_are_enough():
    assert turns(Gathering(), PATIENT, [3, 0, 3, 0, 2, 5]) == (5, 8)
    assert turns(Gathering(), PATIENT, [9]) == (1, 9)


def test_requests_wait_no_longer_than_a_pause():
    turn, rows = turns(Gathering(), PATIENT, [1, 1] + 99 * [0])
    assert rows == 2
    assert turn <= 2 + 6


def test_requests_wait_no_longer_than_what_it_saves_even_if_others_keep_coming():
    many = Plan(enough=1000, patience_s=200e-6)
    turn, rows = turns(Gathering(), many, 99 * [1])
    assert turn == rows == 21


def test_waiting_that_brings_nothing_is_given_up_and_tried_again_now_and_then():
    gathering = Gathering()
    alone = [turns(gathering, PATIENT, [1] + 99 * [0])[0] for _ in range(400)]
    waited = [place for place, turn in enumerate(alone) if turn > 1]
    assert waited[:5] == [0, 1, 2, 3, 4]
    late = [place for place in waited if place > 50]
    assert 3 <= len(late) <= 7
    assert {second - first for first, second in itertools.pairwise(late)} == {64}


def test_when_waiting_begins_to_bring_something_it_is_taken_up_again():
    gathering = Gathering()
    for _ in range(100):
        turns(gathering, PATIENT, [1] + 99 * [0])
    for _ in range(64 * 12):
        turns(gathering, PATIENT, [1, 3, 4])
    assert turns(gathering, PATIENT, [1, 3, 4]) == (3, 8)
