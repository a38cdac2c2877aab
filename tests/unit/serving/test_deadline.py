import math
import time

import pytest
from tests.serving_runs import row

from seakeep.config import ModelSettings, ServingSettings
from seakeep.errors import DeadlineError
from seakeep.serving import deadline
from seakeep.serving.deadline import HEADER, Deadlines, header_us, sooner
from seakeep.serving.errors import RequestError
from seakeep.serving.terms import Terms


@pytest.mark.parametrize(("sent", "found"), [(b"250", 250_000), (b"0", 0), (b"9" * 12, (10**12 - 1) * 1000)])
def test_the_header_names_milliseconds(sent, found):
    assert header_us({HEADER: sent}) == found


def test_without_the_header_no_time_is_named():
    assert header_us({b"host": b"x"}) == 0


@pytest.mark.parametrize("sent", [b"", b"-1", b"+5", b"1.5", b"1e3", b"250ms", b" 7", b"9" * 13, "\u0663".encode()])
def test_a_header_that_is_no_time_is_refused(sent):
    with pytest.raises(RequestError, match="is not a time") as caught:
        header_us({HEADER: sent})
    assert (caught.value.status, caught.value.hint) == (400, "send whole milliseconds, as in 250")


@pytest.mark.parametrize(
    ("by_s", "timeout_us", "found"),
    [(None, 0, None), (9.0, 0, 9.0), (None, 500_000, 7.5), (7.25, 500_000, 7.25), (9.0, 500_000, 7.5)],
)
def test_of_two_deadlines_the_sooner_counts(by_s, timeout_us, found):
    assert sooner(by_s, timeout_us, 7.0) == found


def test_a_model_s_own_default_comes_before_the_server_s():
    settings = ServingSettings(
        deadline_ms=100, models={"slow": ModelSettings(deadline_ms=2000), "any": ModelSettings()}
    )
    deadlines = Deadlines(settings)
    assert deadlines.any
    assert [deadlines.of(model, 5.0) for model in ("slow", "any", "other")] == [7.0, 5.1, 5.1]


def test_where_nothing_is_set_a_request_has_any_time():
    deadlines = Deadlines(ServingSettings())
    assert not deadlines.any
    assert deadlines.of("late", 5.0) is None


def test_what_is_over_is_refused_and_nothing_else():
    deadline.check(None)
    deadline.check(math.inf)
    with pytest.raises(DeadlineError, match="time was over"):
        deadline.check(time.perf_counter())


def test_a_default_reaches_calls_that_bring_none_and_no_others(make_plane, rig):
    settings = ServingSettings(models={"late": ModelSettings(deadline_ms=1)})
    plane = make_plane(terms=Terms(settings, rig.metrics))
    plane.serve(rig.load(rig.put(1)))
    long_ago = time.perf_counter() - 1
    late, patient = plane.ask(row(), arrived_s=long_ago), plane.ask(row(), arrived_s=long_ago, deadline_s=math.inf)
    plane.turn()
    assert isinstance(late.error, DeadlineError)
    assert patient.error is None
    assert [record.error for record in plane.sink.records] == [""]
    assert plane.counted()[":0"]["deadline"] == 1
