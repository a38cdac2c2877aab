"""``profile``: a short real run, and what it says."""

import math

import msgspec
import pytest
from tests.flights import MODEL

from seakeep.cli.profile import profile_text
from seakeep.project import profiling
from seakeep.records.profile import Advice, Bottleneck, Level, Profile, StageCost
from seakeep.records.run import Metric

STAGES = {"parse", "queue", "validate", "features", "model", "serialise", "record"}


def level(rate, us, **changes):
    metric = Metric(value=us, low=us - 1, high=us + 1)
    parts = {
        "offered": rate, "answered": rate, "failed": 0, "mean_us": metric, "p50_us": metric, "p99_us": metric,
        "busy": 0.9, "preempted": 0.0, "batch_rows": 2.5, "late_us": 3.0, "limited": False,
        "stages": {"model": StageCost(mean_us=20, p99_us=1500, share=0.5)},
    }  # fmt: skip
    return Level(**(parts | changes))


def found(**changes):
    advice = Advice(rate=5000, workers=3, cores=2, rows=32, row_us=1.75, alone_us=13.5, worker_mb=52.4)
    parts = {
        "model": "late", "requests": 1200, "looked_up": 1200, "levels": (level(1000, 300), level(3000, 2500)),
        "knee": Metric(value=2000, low=1000, high=3000), "advice": advice,
        "bottleneck": Bottleneck(limit="processor", stage="model", share=0.5),
    }  # fmt: skip
    return Profile(**(parts | changes))


def test_the_curve_the_stages_and_what_follows_are_on_one_screen():
    said = profile_text(found())
    lines = said.splitlines()
    assert lines[0] == "late: one worker, 1,200 recorded requests, latency from when each was due"
    assert " ".join(lines[4].split()) == "1,000 1,000 0 300 us 300 us (299 us to 301 us) 90% 2.5"
    assert "2.5 ms (2.5 ms to 2.5 ms)" in said
    assert "at 3,000 a second:" in lines
    assert [line.split() for line in lines if line.startswith(("model", "transport"))] == [
        ["model", "20", "us", "1.5", "ms", "50.0%"],
        ["transport", "—", "—", "40.0%"],
    ]
    assert lines[-4:] == [
        "bottleneck  the worker's event loop is full; most of its time, 50%, goes to model",
        "workers     3 (more than the 2 processors here) for 5,000 requests a second, if each has a processor",
        "memory      52 MiB a worker, 157 MiB in all",
        "rows        32 together where a client has so many: the model takes 1.8 us a row, and 13.5 for one alone",
    ]
    assert lines[-5] == "knee        2,000 a second a worker (between 1,000 and 3,000)"


def test_what_it_cannot_tell_it_says():
    nothing = Metric(value=math.nan, low=math.nan, high=math.nan)
    wide = Metric(value=5.0, low=-math.inf, high=math.inf)
    levels = (level(9, 5, p99_us=wide), level(1000, 5, limited=True, p50_us=nothing))
    advice = Advice(rate=5, workers=0, cores=2, rows=1, row_us=5, alone_us=5, worker_mb=52)
    limit = Bottleneck(limit="generator", stage="model", share=0.2)
    said = profile_text(found(levels=levels, knee=None, advice=advice, bottleneck=limit, looked_up=1000))
    assert "at 9 a second:" in said
    assert "  —  " in said
    assert "inf" not in said
    assert said.splitlines()[-6:] == [
        "knee        not among the rates that were tried",
        "bottleneck  the load generator was not fast enough to tell; free a processor for it, or ask for less",
        "memory      52 MiB a worker",
        "rows        one a request: the model takes 5.0 us a row however many come together",
        "note        200 requests were not recorded as sent, so their features were sent, not looked up",
        "note        rates marked * say what the load generator could do, not the worker",
    ]


@pytest.mark.slow
def test_recorded_requests_are_answered_by_a_worker_that_leaves_no_trace(seakeep, flights_at):
    folder = flights_at("recorded")
    before = sorted(path for path in (folder / ".seakeep" / "recorder").rglob("*"))
    said = seakeep("profile", MODEL, "--project", folder, "--rate", 50, "--seconds", 1, "--json")
    told = msgspec.json.decode(said.out, type=Profile, strict=False)
    assert (told.model, told.requests, told.looked_up) == (MODEL, told.requests, told.requests)
    (level,) = told.levels
    assert (level.offered, level.failed) == (50, 0)
    assert level.answered > 0
    assert set(level.stages) == STAGES
    assert 0 < level.busy < 1.2
    assert level.p50_us.value <= level.p99_us.value
    assert told.knee is None
    assert told.advice.worker_mb > 20
    assert "50 a second: p99" in said.err
    assert sorted(path for path in (folder / ".seakeep" / "recorder").rglob("*")) == before
    assert not list((folder / ".seakeep").glob("profile-*"))


@pytest.mark.slow
def test_requests_that_were_not_recorded_as_sent_ask_with_their_recorded_inputs(seakeep, flights_at, monkeypatch):
    folder = flights_at("recorded")
    monkeypatch.setattr(profiling, "unreadable", lambda _source: frozenset({"origin"}))
    said = seakeep("profile", "--project", folder, "--rate", 40, "--seconds", 0.5, "--json")
    told = msgspec.json.decode(said.out, type=Profile, strict=False)
    assert (told.looked_up, told.levels[0].failed) == (0, 0)
    assert set(told.levels[0].stages) == STAGES - {"validate", "features"}


def test_one_rate_and_many_exclude_one_another(seakeep, tmp_path):
    said = seakeep("profile", "--rate", 5, "--sweep", code=2)
    assert "choose one" in said.err
