"""Law 8: every answer is the answer of exactly one named version, also while releases change all the time.

Each version of the rig scores a row differently, so the bits of a score tell whose it is. Several worker processes
follow a release that is promoted, led through canary stages and rolled back without pause, while clients ask by row, by
tensor and for a version by number. Each score must be the named version's own, to the bit, and the recorder must name
the same version for it.
"""

import asyncio
import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.serving_rig import Rig, candidate
from tests.serving_runs import INFER, PREDICT, body, row, run, supervised, until

from seakeep.serving.client import Client
from seakeep.serving.routing import place_of

VERSIONS = (1, 2, 3)
ROUNDS = 12
CLIENTS = 6


def rollouts(routes):
    """Release after release: a candidate grows and is completed, or is taken back."""
    one, two, three = (routes[number] for number in VERSIONS)
    while True:
        for champion, other in ((one, two), (two, three), (three, one)):
            yield (champion,)
            for weight in (0.0, 0.3, 0.7):
                yield champion, candidate(other, weight)
            yield (champion,)
            yield champion, candidate(other, 0.5)
            yield champion, candidate(other, 1.0)
            yield (other,)


class Asker:
    """Asks in all three ways, and keeps what it was told: (id, key, distance, version, score)."""

    def __init__(self, name, port):
        self.name, self.client = name, Client("127.0.0.1", port, timeout_s=20)
        self.told, self.pinned, self.absent = [], 0, 0

    async def by_row(self, number):
        rows = [row(f"{self.name}-{number}-{place}", 10.0 * number + place) for place in range(4)]
        status, answer = await self.client.post(PREDICT, body(*rows))
        assert status == 200, answer
        told = json.loads(answer)
        versions = {one["version"] for one in told["predictions"]}
        assert told["model_version"] == (str(*versions) if len(versions) == 1 else "")
        for asked, one in zip(rows, told["predictions"], strict=True):
            assert one["key"] == asked["flight_id"]
            self.told.append((one["id"], one["key"], asked["distance"], one["version"], one["score"]))

    async def by_tensor(self, number, version=0):
        distances = [7.0 * number + place for place in range(3)]
        columns = (
            ("carrier_recent.late_1h", "FP64", [None] * 3),
            ("distance", "FP64", distances),
            ("carrier", "BYTES", ["AA"] * 3),
        )
        inputs = [{"name": name, "datatype": kind, "shape": [3], "data": data} for name, kind, data in columns]
        path = INFER.replace("/infer", f"/versions/{version}/infer") if version else INFER
        status, answer = await self.client.post(path, json.dumps({"inputs": inputs}).encode())
        if version and status == 404:
            self.absent += 1
            return
        assert status == 200, answer
        told = json.loads(answer)
        self.pinned += bool(version)
        assert told["model_version"] == str(version or told["model_version"])
        scores = next(output["data"] for output in told["outputs"] if output["name"] == "score")
        ids = told["parameters"]["prediction_ids"].split(",")
        self.told += [
            (*one, int(told["model_version"]), score)
            for one, score in zip(zip(ids, [""] * 3, distances, strict=True), scores, strict=True)
        ]

    async def go_on(self, over):
        for number in itertools.count():
            await self.by_row(number)
            await self.by_tensor(number)
            await self.by_tensor(number, VERSIONS[number % 3])
            if over.is_set():
                break
        await self.client.close()


async def ask_while_releases_change(rig, routes, port):
    askers = [Asker(f"a{number}", port) for number in range(CLIENTS)]
    over = asyncio.Event()
    load = [asyncio.ensure_future(asker.go_on(over)) for asker in askers]
    changes = rollouts(routes)
    for _ in range(ROUNDS * 8):
        rig.releases.put(*next(changes))
        told = sum(len(asker.told) for asker in askers)
        await until(
            lambda told=told: any(one.done() for one in load) or sum(len(one.told) for one in askers) > told + 30
        )
    over.set()
    await asyncio.gather(*load)
    return askers


@pytest.mark.slow
def test_every_answer_is_the_answer_of_the_version_it_names(tmp_path):
    rig = Rig(tmp_path)
    routes = {number: rig.put(number) for number in VERSIONS}
    rig.releases.put(routes[1])
    with supervised(rig) as service:
        askers = run(ask_while_releases_change(rig, routes, service.port))

    loaded = {number: rig.load(route) for number, route in routes.items()}
    told = [one for asker in askers for one in asker.told]
    for number, version in loaded.items():
        mine = [one for one in told if one[3] == number]
        assert len(mine) > 100
        numbers = np.array([[np.nan, distance] for _, _, distance, _, _ in mine])
        scores = version.score(numbers, np.full((len(mine), 1), "AA", dtype=object))
        assert scores.tolist() == [score for *_, score in mine]
    assert sum(asker.pinned for asker in askers) > 0

    records = {record.id: record for record in rig.records("predictions")}
    for name, key, distance, number, score in told:
        record = records[name]
        assert (record.version, record.bundle, record.score, record.key) == (
            number, routes[number].bundle, score, key,
        )  # fmt: skip
        assert record.numbers[1] == distance
        assert (record.role != "shadow", record.error) == (True, "")
    for record in records.values():
        if record.role == "shadow":
            twin = records[record.pair]
            assert twin.version != record.version
            assert twin.numbers[1] == record.numbers[1]
            expected = loaded[record.version].score(
                np.array([record.numbers]), np.array([record.categories], dtype=object)
            )
            assert record.score == expected[0]
            assert record.bundle == routes[record.version].bundle


@pytest.mark.slow
def test_a_canary_gets_only_the_keys_below_its_weight(tmp_path):
    """While a candidate's weight is w, whoever it answers by row stands below w, in every worker."""
    rig = Rig(tmp_path)
    first, second = rig.put(1), rig.put(2)
    rig.releases.put(first, candidate(second, 0.25))

    async def scenario(port):
        asker = Asker("k", port)
        for number in range(80):
            await asker.by_row(number)
        await asker.client.close()
        return asker.told

    with supervised(rig) as service, ThreadPoolExecutor(2) as threads:
        told = [one for found in threads.map(lambda _: run(scenario(service.port)), range(2)) for one in found]
    for _, key, _, number, _ in told:
        assert (number == 2) is (place_of(key, model="late", version=2) < 0.25)


def test_after_a_rollback_no_worker_answers_with_the_candidate(tmp_path):
    rig = Rig(tmp_path)
    first, second = rig.put(1), rig.put(2)
    rig.releases.put(first, candidate(second, 1.0))

    async def settled(port, expected):
        """From the first moment at which every one of many fresh connections gets it, nobody gets anything else."""
        async with asyncio.timeout(20):
            while True:
                found = set()
                for _ in range(12):
                    client = Client("127.0.0.1", port, timeout_s=20)
                    status, answer = await client.post(PREDICT, body(row()))
                    await client.close()
                    assert status == 200
                    found.add(json.loads(answer)["model_version"])
                if found == {expected}:
                    return

    async def scenario(port):
        await settled(port, "2")
        rig.releases.put(first)
        await settled(port, "1")
        rig.releases.put(second)
        await settled(port, "2")

    with supervised(rig) as service:
        run(scenario(service.port))
