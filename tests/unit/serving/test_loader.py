"""The loader with real bundles and threads; releases are in a list that tests replace."""

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.serving_rig import candidate
from tests.serving_runs import run, until

from seakeep.errors import IntegrityError
from seakeep.serving import loader as module
from seakeep.serving.loader import KEPT_RETIRED, Loader


class Releases:
    def __init__(self) -> None:
        self.now, self.number, self.fault = (), 0, None

    def put(self, *routes) -> None:
        self.now, self.number = routes, self.number + 1

    def revision(self) -> int:
        if self.fault:
            raise self.fault
        return self.number

    def routes(self):
        return self.now


class Followed:
    def __init__(self, rig) -> None:
        self.releases, self.rig = Releases(), rig
        self.loads: list[int] = []
        self.applied: list[dict] = []
        self.broken: set[int] = set()
        self.gates: dict[int, threading.Event] = {}

    def load(self, route):
        self.loads.append(route.version)
        if route.version in self.gates:
            assert self.gates[route.version].wait(20)
        if route.version in self.broken:
            raise IntegrityError(f"version {route.version} does not verify")
        return self.rig.load(route)

    @contextlib.asynccontextmanager
    async def follow(self):
        with ThreadPoolExecutor(module.THREADS) as executor:
            self.loader = Loader(self.releases, self.load, self.applied.append, executor)
            task = asyncio.create_task(self.loader.follow())
            try:
                yield self.loader
            finally:
                for gate in self.gates.values():
                    gate.set()
                await until(lambda: not self.loader._loading)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def in_force(self, model="late"):
        """Numbers of champion and candidate in force; None if nothing is."""
        traffic = self.applied[-1].get(model) if self.applied else None
        return traffic and tuple(one.number for one in traffic.versions)


@pytest.fixture
def followed(rig, caplog):
    caplog.set_level(logging.CRITICAL, "seakeep.serving")
    return Followed(rig)


def test_releases_that_are_there_at_the_start_are_loaded_before_it_is_settled(followed, rig):
    async def scenario():
        followed.releases.put(rig.put(1), candidate(rig.put(2), 0.5), rig.put(1, name="other"))
        async with followed.follow() as loader:
            assert not loader.state.settled
            assert not loader.state.ready
            async with asyncio.timeout(20):
                await loader.settled()
            return loader.state

    state = run(scenario())
    assert (state.settled, state.ready, state.failures) == (True, True, ())
    assert state.versions == {"late": [1, 2], "other": [1]}
    assert [one.number for one in followed.loader.champions_last] == [2, 1, 1]


def test_a_service_without_releases_is_ready_to_say_that_it_serves_none(followed):
    async def scenario():
        async with followed.follow() as loader, asyncio.timeout(20):
            await loader.settled()
            return loader.state

    assert run(scenario()).ready


def test_the_old_version_answers_until_the_new_one_can(followed, rig):
    async def scenario():
        first, second = rig.put(1), rig.put(2)
        followed.gates[2] = threading.Event()
        followed.releases.put(first)
        async with followed.follow():
            await until(lambda: followed.in_force() == (1,))
            followed.releases.put(second)
            await until(lambda: 2 in followed.loads)
            assert followed.in_force() == (1,)
            assert followed.loader.state.ready
            followed.gates[2].set()
            await until(lambda: followed.in_force() == (2,))

    run(scenario())


def test_a_rollback_to_a_version_in_memory_needs_no_loading(followed, rig):
    async def scenario():
        first, second = rig.put(1), rig.put(2)
        followed.releases.put(first)
        async with followed.follow():
            for routes, expected in (
                ((first,), (1,)),
                ((first, candidate(second, 0.1)), (1, 2)),
                ((first, candidate(second, 0.9)), (1, 2)),
                ((second,), (2,)),
                ((first,), (1,)),
                ((first, candidate(second, 0.0)), (1, 2)),
            ):
                followed.releases.put(*routes)
                await until(lambda expected=expected: followed.in_force() == expected)

    run(scenario())
    assert sorted(followed.loads) == [1, 2]


def test_the_weight_of_a_candidate_is_in_force_at_the_next_look(followed, rig):
    async def scenario():
        first, second = rig.put(1), rig.put(2)
        async with followed.follow():
            for weight in (0.1, 0.5, 1.0):
                followed.releases.put(first, candidate(second, weight))
                await until(lambda weight=weight: followed.in_force() and followed.applied[-1]["late"].weight == weight)

    run(scenario())


def test_versions_out_of_force_are_forgotten_but_for_the_last_few(followed, rig):
    routes = [rig.put(number) for number in range(1, 7)]

    async def scenario():
        async with followed.follow() as loader:
            for route in routes:
                followed.releases.put(route)
                await until(lambda route=route: followed.in_force() == (route.version,))
            return {version.number for version in loader._loaded.values()}

    assert run(scenario()) == {6, *range(6 - KEPT_RETIRED, 6)}


class TestFailures:
    def test_a_version_that_does_not_verify_never_answers_and_the_old_one_does(self, followed, rig):
        async def scenario():
            followed.broken.add(2)
            followed.releases.put(rig.put(1))
            async with followed.follow() as loader:
                await until(lambda: followed.in_force() == (1,))
                followed.releases.put(rig.put(2))
                return await until(lambda: loader.state.failures and loader.state)

        state = run(scenario())
        (failure,) = state.failures
        assert (failure.model, failure.version, failure.code) == ("late", 2, "integrity")
        assert (state.ready, state.versions) == (True, {"late": [1]})

    def test_a_candidate_that_does_not_load_leaves_all_traffic_to_the_champion(self, followed, rig):
        async def scenario():
            followed.broken.add(2)
            followed.releases.put(rig.put(1), candidate(rig.put(2), 1.0))
            async with followed.follow() as loader:
                await until(lambda: loader.state.settled)
                return loader.state

        state = run(scenario())
        assert (state.ready, state.versions) == (True, {"late": [1]})
        assert [failure.version for failure in state.failures] == [2]

    def test_a_model_of_which_nothing_loads_is_settled_and_not_ready(self, followed, rig):
        async def scenario():
            followed.broken.add(1)
            followed.releases.put(rig.put(1), rig.put(5, name="other"))
            async with followed.follow() as loader:
                await until(lambda: loader.state.settled)
                return loader.state

        state = run(scenario())
        assert (state.settled, state.ready, state.versions) == (True, False, {"other": [5]})
        assert followed.applied[-1]["late"] is None

    def test_what_failed_is_tried_again_and_then_answers(self, followed, rig, monkeypatch):
        monkeypatch.setattr(module, "RETRY_S", 0.01)

        async def scenario():
            followed.broken.add(1)
            followed.releases.put(rig.put(1))
            async with followed.follow() as loader:
                await until(lambda: followed.loads.count(1) >= 3)
                followed.broken.clear()
                await until(lambda: loader.state.ready)
                return loader.state

        state = run(scenario())
        assert (state.failures, state.versions) == ((), {"late": [1]})

    def test_what_failed_is_not_tried_again_at_once(self, followed, rig):
        async def scenario():
            followed.broken.add(1)
            followed.releases.put(rig.put(1))
            async with followed.follow() as loader:
                await until(lambda: loader.state.settled)
                for _ in range(5):
                    followed.releases.number += 1
                    await until(lambda: loader._revision == followed.releases.number)
                return followed.loads

        assert run(scenario()) == [1]

    def test_a_failure_is_forgotten_with_its_release(self, followed, rig):
        async def scenario():
            followed.broken.add(2)
            first = rig.put(1)
            followed.releases.put(first, candidate(rig.put(2), 0.5))
            async with followed.follow() as loader:
                await until(lambda: loader.state.failures)
                followed.releases.put(first)
                await until(lambda: not loader.state.failures)

        run(scenario())

    def test_a_failure_after_its_release_has_passed_is_none(self, followed, rig):
        async def scenario():
            first = rig.put(1)
            followed.broken.add(2)
            followed.gates[2] = threading.Event()
            followed.releases.put(first, candidate(rig.put(2), 0.5))
            async with followed.follow() as loader:
                await until(lambda: 2 in followed.loads)
                followed.releases.put(first)
                await until(lambda: loader._revision == followed.releases.number)
                followed.gates[2].set()
                await until(lambda: not loader._loading)
                return loader.state.failures

        assert run(scenario()) == ()

    def test_releases_that_cannot_be_read_leave_in_force_what_is_and_are_told_once(self, followed, rig, caplog):
        caplog.set_level(logging.ERROR, "seakeep.serving")

        async def scenario():
            followed.releases.put(rig.put(1))
            async with followed.follow() as loader:
                await until(lambda: followed.in_force() == (1,))
                followed.releases.fault = OSError("the database is locked")
                looks = []
                followed.releases.revision = lambda: looks.append(1) or Releases.revision(followed.releases)
                await until(lambda: len(looks) > 3)
                assert loader.state.ready
                followed.releases.fault = None
                followed.releases.put(rig.put(2))
                await until(lambda: followed.in_force() == (2,))

        run(scenario())
        assert caplog.text.count("the releases cannot be followed") == 1


def test_a_model_that_is_released_no_more_is_gone(followed, rig):
    async def scenario():
        followed.releases.put(rig.put(1), rig.put(1, name="other"))
        async with followed.follow() as loader:
            await until(lambda: loader.state.ready)
            followed.releases.put(rig.put(1, name="other"))
            await until(lambda: loader.state.versions == {"other": [1]})
            return followed.applied[-1]

    assert "late" not in run(scenario())


def test_a_version_whose_release_has_passed_while_it_loaded_does_not_answer(followed, rig):
    async def scenario():
        first = rig.put(1)
        followed.gates[2] = threading.Event()
        followed.releases.put(first)
        async with followed.follow() as loader:
            await until(lambda: followed.in_force() == (1,))
            followed.releases.put(first, candidate(rig.put(2), 1.0))
            await until(lambda: 2 in followed.loads)
            followed.releases.put(first)
            await until(lambda: loader._revision == followed.releases.number)
            followed.gates[2].set()
            await until(lambda: not loader._loading)
            return followed.in_force()

    assert run(scenario()) == (1,)


def test_a_version_whose_load_does_not_return_is_given_up_and_holds_up_no_other(followed, rig, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    first, second, third = (rig.put(number) for number in (1, 2, 3))

    async def scenario():
        async with followed.follow() as loader:
            followed.releases.put(first)
            await until(lambda: followed.in_force() == (1,))
            monkeypatch.setattr(module, "LOAD_S", 0.1)
            followed.gates[2] = threading.Event()
            followed.releases.put(second)
            await until(lambda: loader.state.failures)
            told = followed.in_force(), loader.state
            monkeypatch.setattr(module, "LOAD_S", 20)
            followed.releases.put(third)
            await until(lambda: followed.in_force() == (3,))
            return told, loader.state

    (in_force, state), after = run(scenario())
    assert in_force == (1,)
    assert [(one.version, one.code) for one in state.failures] == [(2, "internal")]
    assert state.ready
    assert after.failures == ()
    assert followed.loads == [1, 2, 3]
