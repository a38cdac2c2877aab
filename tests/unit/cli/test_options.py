import getpass
import os

import click
import pytest

from seakeep.cli import options
from seakeep.clock import parse_moment


@pytest.mark.parametrize("text", ["2013-07-15", "2013-07-15T06:00", "2013-07-15T06:00:00+02:00", "2013-W01-1"])
def test_a_moment_is_iso_8601_in_utc_unless_it_says_otherwise(text):
    assert options.Moment().convert(text, None, None) == parse_moment(text)
    assert options.Moment().convert(5, None, None) == 5


@pytest.mark.parametrize("text", ["", "now", "15.07.2013", "2013-13-01", "2013-07-15T25:00"])
def test_what_is_no_moment_is_a_usage_fault(text):
    with pytest.raises(click.BadParameter, match="is not a date or date-time, as in 2013-07-15"):
        options.Moment().convert(text, None, None)


def test_the_actor_is_the_user_by_name_or_else_by_number(monkeypatch):
    assert options.actor() == getpass.getuser()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)  # of whom no user data base has heard
    assert options.actor() == "user 4000000"
