import asyncio
import sys
import threading

import pytest

from seakeep.serving.apart import SWITCH_S, Apart, Daemons


@pytest.fixture(autouse=True)
def interval():
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_work_runs_in_the_model_s_own_thread_and_is_told_on_the_loop(on_loop):
    async def scenario():
        loop, told = asyncio.get_running_loop(), asyncio.Queue()
        apart = Apart(loop)
        for model in ("a", "b", "a"):
            apart.run(model, threading.get_ident, lambda ident: told.put_nowait((ident, threading.get_ident())))
        return [await told.get() for _ in range(3)], threading.get_ident()

    found, mine = on_loop(scenario())
    assert {on for _, on in found} == {mine}
    assert len({ident for ident, _ in found}) == 2
    assert mine not in {ident for ident, _ in found}
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)


def test_a_thread_that_hangs_holds_no_other(on_loop):
    async def scenario():
        release, told = threading.Event(), asyncio.Queue()
        apart = Apart(asyncio.get_running_loop())
        apart.run("hangs", lambda: release.wait(30), told.put_nowait)
        apart.run("works", lambda: "done", told.put_nowait)
        first = await told.get()
        release.set()
        return first, await told.get()

    assert on_loop(scenario()) == ("done", True)


def test_what_comes_of_a_thread_that_was_left_is_not_heard_of_and_the_next_work_gets_another(on_loop):
    async def scenario():
        release, told = threading.Event(), asyncio.Queue()
        apart = Apart(asyncio.get_running_loop())
        apart.run("one", lambda: release.wait(30), told.put_nowait)
        apart.run("one", lambda: "waits behind it", told.put_nowait)
        apart.leave("one")
        apart.leave("none")
        apart.run("one", lambda: "works", told.put_nowait)
        first = await told.get()
        release.set()
        apart.run("one", lambda: "again", told.put_nowait)
        return first, await told.get(), told.empty()

    assert on_loop(scenario()) == ("works", "again", True)


def test_work_that_found_no_thread_leaves_nothing_behind(on_loop, monkeypatch):
    async def scenario():
        told, apart = asyncio.Queue(), Apart(asyncio.get_running_loop())
        with monkeypatch.context() as crowded:

            def refuse(_thread):
                raise RuntimeError("can't start new thread")

            crowded.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                apart.run("one", lambda: "lost", told.put_nowait)
        apart.run("one", lambda: "works", told.put_nowait)
        return await told.get(), told.empty()

    assert on_loop(scenario()) == ("works", True)


def test_what_ends_after_the_loop_is_told_to_nobody(on_loop):
    started, release, after = threading.Event(), threading.Event(), []

    async def scenario():
        apart = Apart(asyncio.get_running_loop())

        def work():
            started.set()
            release.wait(30)

        apart.run("late", work, after.append)
        await asyncio.to_thread(started.wait, 30)
        return apart

    apart = on_loop(scenario())
    release.set()
    assert after == []
    (inbox,) = apart._inboxes.values()
    done = threading.Event()
    inbox.put(done.set)
    assert done.wait(30)  # the thread lives on


def test_what_is_done_can_be_gone_on_with_before_the_loop_comes_to_it(on_loop):
    async def scenario():
        apart, told, done = Apart(asyncio.get_running_loop()), [], threading.Event()
        apart.run("a", lambda: "first", told.append)
        apart.run("a", done.set, told.append)
        while len(apart._done) < 2:  # the loop does not turn meanwhile
            assert done.wait(30)
        apart.collect()
        before = list(told)
        await asyncio.sleep(0)
        return before, told

    assert on_loop(scenario()) == (["first", None], ["first", None])


def test_something_can_be_done_later(on_loop):
    async def scenario():
        told = asyncio.Event()
        Apart(asyncio.get_running_loop()).after(-1, told.set)
        await told.wait()
        return True

    assert on_loop(scenario())


class TestDaemons:
    def test_work_gives_its_result_or_what_it_raised(self):
        with Daemons(2, "d") as daemons:
            assert [daemons.submit(pow, 2, power).result(20) for power in range(5)] == [1, 2, 4, 8, 16]
            assert daemons.submit(int, "11", base=2).result(20) == 3
            with pytest.raises(ZeroDivisionError):
                daemons.submit(divmod, 1, 0).result(20)
            assert len(daemons._threads) == 2
        assert not any(thread.is_alive() for thread in daemons._threads)
        with pytest.raises(RuntimeError, match="after shutdown"):
            daemons.submit(pow, 2, 2)

    def test_what_was_cancelled_before_its_turn_is_not_done(self):
        gate, done = threading.Event(), []
        with Daemons(1, "d") as daemons:
            first = daemons.submit(gate.wait, 20)
            second = daemons.submit(done.append, 1)
            assert second.cancel()
            gate.set()
            assert first.result(20)
        assert done == []

    def test_one_that_hangs_is_left(self, monkeypatch):
        monkeypatch.setattr("seakeep.serving.apart.LEAVE_S", 0.0)
        gate = threading.Event()
        with Daemons(2, "d") as daemons:
            hanging = daemons.submit(gate.wait, 20)
            assert daemons.submit(int, "1").result(20) == 1
        assert not hanging.done()
        gate.set()
        assert hanging.result(20)
