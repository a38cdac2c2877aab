"""Days of a real project judged into pages: within the budget, once, in the brief, and to standard error."""

import pytest
from tests.flights import MODEL, REPLAY_FROM_US, failing_day, opened

from seakeep.clock import DAY_US
from seakeep.diagnosis.render import render_brief
from seakeep.project import pager
from seakeep.project.pager import Pager, page_text
from seakeep.records.finding import Page

pytestmark = pytest.mark.slow


@pytest.fixture
def project(flights_at):
    """Three days that went well, a fourth in which every second answer failed, and the first answer of a fifth."""
    with opened(flights_at("recorded")) as project:
        failing_day(project)
        yield project


def judged(project):
    return Pager(project.models, project.stores, project._watcher)


def test_a_day_that_users_felt_is_a_page_told_at_once_and_kept(project, capsys):
    judged(project).look()
    (page,) = project.stores.pages.pages(MODEL)
    assert (page.model, page.version, page.time_us) == (MODEL, 1, REPLAY_FROM_US + 4 * DAY_US)
    assert any("of 400 requests failed" in reason for reason in page.reasons)
    assert "requests failed" in page.reasons[0]
    assert page_text(page) + "\n" == capsys.readouterr().err
    assert project.stores.audit.list()[-1].action == "page"
    project.verify_audit()


def test_to_judge_a_day_again_changes_nothing(project, capsys):
    first = judged(project)
    first.look()
    capsys.readouterr()
    first.look()
    judged(project).look()
    assert capsys.readouterr().err == ""
    assert len(project.stores.pages.pages(MODEL)) == 1


def test_the_budget_counts_what_was_sent_in_the_last_seven_days(project):
    per_week = project.models[MODEL].alerts.per_week
    midnight_us = REPLAY_FROM_US + 4 * DAY_US
    assert project.morning(now_us=midnight_us).page
    for ago in range(1, per_week + 1):
        sent = Page(model=MODEL, version=1, time_us=midnight_us - ago * DAY_US // 2, reasons=("slow",), action="")
        project.stores.pages.add(sent)
    assert not project.morning(now_us=midnight_us).page
    judged(project).look()
    assert len(project.stores.pages.pages(MODEL)) == per_week
    assert project.morning(now_us=midnight_us + 7 * DAY_US).pages == ()


def test_the_morning_after_names_the_page(project):
    judged(project).look()
    brief = project.morning()
    assert [page.time_us for page in brief.pages] == [REPLAY_FROM_US + 4 * DAY_US]
    assert "paged      2013-03-05T00:00:00Z: " in render_brief(brief)


def test_days_that_went_well_wake_nobody(recorded, capsys):
    judged(recorded).look()
    assert recorded.stores.pages.pages(MODEL) == []
    assert capsys.readouterr().err == ""


def test_a_project_without_a_champion_is_not_judged(flights_at):
    with opened(flights_at("converted")) as project:
        assert judged(project).look() == pager.LOOK_S
        assert project.stores.pages.pages(MODEL) == []
