from types import SimpleNamespace

import pytest

from seakeep.errors import (
    DeadlineError,
    FeaturesError,
    NotFoundError,
    QuotaError,
    RowError,
    ServingError,
    UnavailableError,
)
from seakeep.records.outputs import PROBABILITY, number
from seakeep.serving.errors import InternalError, RequestError
from seakeep.serving.ladder import below, declared, trigger_of
from seakeep.serving.routing import Traffic

ALL = ("stale", "standby", "rule")


def version(rule=None, takes=(("a",), ()), outputs=PROBABILITY):
    return SimpleNamespace(rule=rule, takes=(*takes, outputs.kind), outputs=outputs)


def call(direct=None, chosen=None, role="champion"):
    return SimpleNamespace(direct=direct, version=chosen, role=role)


@pytest.mark.parametrize(
    ("trigger", "rungs"),
    [("features", ("stale", "rule")), ("model", ("standby", "rule")), ("pressure", ("standby", "rule"))],
)
def test_each_trigger_leads_to_what_can_still_answer_in_order(trigger, rungs):
    assert below(trigger, ALL) == rungs
    assert below(trigger, ("rule",)) == ("rule",)
    assert below(trigger, ()) == ()


@pytest.mark.parametrize(
    ("error", "trigger"),
    [
        (FeaturesError("x"), "features"),
        (ServingError("x"), "model"),
        (InternalError("x"), "model"),
        (UnavailableError("x"), "model"),
        (DeadlineError("x"), None),
        (RowError("x"), None),
        (RequestError(400, "x"), None),
        (NotFoundError("x"), None),
        (QuotaError("x"), None),
    ],
)
def test_a_client_that_is_at_fault_or_gone_is_not_answered_by_something_else(error, trigger):
    assert trigger_of(error) == trigger


def test_a_request_with_a_row_has_every_rung_that_is_declared():
    champion = version(rule=len)
    assert declared(call(), Traffic(champion, standby=version()), stale=True) == ALL
    assert declared(call(), Traffic(champion), stale=False) == ("rule",)
    assert declared(call(), Traffic(version()), stale=False) == ()
    assert declared(call(), None, stale=True) == ()


def test_one_that_brings_its_inputs_is_answered_by_a_version_that_takes_the_same_alone():
    champion, twin, other = version(rule=len), version(), version(takes=(("b",), ()))
    asked = call(direct=object(), chosen=champion)
    assert declared(asked, Traffic(champion, standby=twin), stale=True) == ("standby",)
    assert declared(asked, Traffic(champion, standby=other), stale=True) == ()


@pytest.mark.parametrize("direct", [None, object()])
def test_a_number_does_not_stand_in_for_a_probability_nor_the_other_way_round(direct):
    for outputs, other in ((PROBABILITY, number()), (number(), PROBABILITY)):
        champion, before = version(outputs=outputs), version(outputs=other)
        asked = call(direct=direct, chosen=champion if direct else None)
        assert declared(asked, Traffic(champion, standby=before), stale=False) == ()
        assert declared(asked, Traffic(champion, standby=version(outputs=outputs)), stale=False) == ("standby",)


def test_one_that_asks_for_a_version_is_answered_by_no_other():
    champion = version(rule=len)
    assert declared(call(role="pinned", chosen=champion), Traffic(champion, standby=version()), stale=True) == ()
