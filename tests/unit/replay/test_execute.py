import threading

import numpy as np
import pytest
from tests.replaying import DEFINITION, WEEK, Kept, Weighted, executable, table, with_columns

from seakeep.replay.execute import BATCH, execute


def test_every_version_executes_the_same_rows_in_their_order():
    rows = table(3 * BATCH + 17)
    (block,) = execute([rows], [executable(1), executable(2, (0.1, 0.2))], threads=2)
    answered = rows.select(rows.error == "")
    assert block.table.id.tolist() == answered.id.tolist()
    assert (block.failed, block.unmatched) == (len(rows) - len(answered), 0)
    for execution, weights in zip(block.executions, [(0.7, -0.3), (0.1, 0.2)], strict=True):
        expected = Weighted(weights).score(answered.numbers, answered.categories)
        np.testing.assert_array_equal(execution.score.view(np.int64), expected.view(np.int64))
        np.testing.assert_array_equal(execution.numbers, answered.numbers)
        assert execution.cpu_s >= 0


def test_rows_that_one_version_lacks_are_executed_by_none():
    rows = table(40)
    wanted = with_columns(WEEK, *DEFINITION.columns)
    versions = [executable(2, (1.0, 0.1, 0.2), definition=wanted, history=Kept()), executable(1)]
    (block,) = execute([rows], versions, threads=1)
    answered = rows.select(rows.error == "")
    even = [int(key.removeprefix("flight-")) % 2 == 0 for key in answered.key]
    assert block.table.key.tolist() == answered.key[even].tolist()
    assert block.unmatched == len(answered) - sum(even)
    new, old = block.executions
    assert new.numbers.shape == (sum(even), 3)
    np.testing.assert_array_equal(new.numbers[:, 1:], old.numbers)
    np.testing.assert_array_equal(old.score, block.table.score)


def test_no_batch_is_larger_than_a_proof_tries():
    sizes = []

    class Counting(Weighted):
        def score(self, numbers, categories):
            sizes.append(len(numbers))
            return super().score(numbers, categories)

    version = executable()
    object.__setattr__(version, "scorer", Counting((0.7, -0.3)))
    list(execute([table(2_500)], [version], threads=3))
    assert sorted(sizes, reverse=True) == [1_000, 1_000, 250]


def test_the_next_block_is_read_while_one_is_worked_on_and_no_further():
    read = []
    second = threading.Event()

    def tables():
        for place in range(5):
            read.append(place)
            if place == 1:
                second.set()
            yield table(20, start=20 * place)

    blocks = execute(tables(), [executable()], threads=1)
    first = next(blocks)
    assert first.table.id[0] == "p1-0"
    assert second.wait(10)
    assert read == [0, 1]
    blocks.close()
    assert len(read) <= 2


def test_what_goes_wrong_while_reading_reaches_the_one_who_asks():
    def tables():
        yield table(20)
        message = "torn"
        raise ValueError(message)

    blocks = execute(tables(), [executable()], threads=1)
    assert len(next(blocks).table) == 18
    with pytest.raises(ValueError, match="torn"):
        next(blocks)


def test_what_a_model_raises_reaches_the_one_who_asks():
    version = executable(weights=(0.7, -0.3, 0.1))
    with pytest.raises(AssertionError):
        list(execute([table(20)], [version], threads=2))


def test_of_a_block_that_failed_as_a_whole_nothing_is_asked():
    rows = table(50)
    version = executable()
    (block,) = execute([rows.select(rows.error != "")], [version], threads=1)
    assert (len(block.table), block.executions, block.failed, block.unmatched) == (0, (), 5, 0)
    assert version.scorer.asked == 0
