"""The pages' values over a real project, whose predictions and outcomes the recorder's own pen has written."""

from __future__ import annotations

import math
import re
import shutil
import threading
from html import unescape

import msgspec
import numpy as np
import pytest
from tests.recording import flip
from tests.simulated_shop import IDLE, LIVE_US, MODEL
from tests.unit.dashboard import recorded
from tests.unit.dashboard.conftest import ask
from tests.unit.dashboard.recorded import HOUR_US, answers, tell, write

from seakeep.clock import DAY_US, FixedClock, parse_moment
from seakeep.dashboard import records, watched
from seakeep.dashboard.app import create_app
from seakeep.dashboard.records import RecordedPages
from seakeep.errors import IntegrityError, NotFoundError, RowError
from seakeep.project import open_project
from seakeep.records.finding import Page

pytestmark = pytest.mark.slow
NOW_US = LIVE_US + 10 * DAY_US
SPACE_US = 7 * HOUR_US


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "shop"
    recorded.build(folder)
    return folder


@pytest.fixture
def clock():
    return FixedClock(NOW_US)


@pytest.fixture
def project(built, tmp_path, clock):
    return open_project(shutil.copytree(built, tmp_path / "shop"), clock=clock)


@pytest.fixture
def wall(built, tmp_path, clock, monkeypatch):
    """The same project, living by the clock."""
    monkeypatch.setenv("SEAKEEP_SERVING__CLOCK", "wall")
    return open_project(shutil.copytree(built, tmp_path / "shop"), clock=clock)


@pytest.fixture
def pages(project, clock, monkeypatch):
    monkeypatch.setattr(watched, "REFRESH_S", 0.0)
    made = RecordedPages(project, clock=clock)
    yield made
    made.close()


@pytest.fixture
def wall_pages(wall, clock, monkeypatch):
    monkeypatch.setattr(watched, "REFRESH_S", 0.0)
    made = RecordedPages(wall, clock=clock)
    yield made
    made.close()


def models(pages):
    return {row.name: row for row in pages.now().models}


def test_in_a_project_of_the_past_now_is_just_after_the_newest_recorded_moment(pages, project):
    made = write(project, answers(project, 30, from_us=LIVE_US), at_us=NOW_US)
    page = pages.now()
    assert page.now_us == made[-1].time_us + 1
    assert page.to_us - page.from_us == DAY_US
    assert models(pages)[MODEL].predictions == 24


def test_in_a_project_of_the_present_now_is_what_the_clock_says(wall_pages, wall, clock):
    write(wall, answers(wall, 30, from_us=NOW_US - 40 * HOUR_US), at_us=NOW_US)
    assert wall_pages.now().now_us == NOW_US
    row = models(wall_pages)[MODEL]
    assert row.predictions == 30 - 16
    clock.value_us += 5 * HOUR_US
    assert models(wall_pages)[MODEL].predictions == 30 - 21


def test_before_anything_is_recorded_every_number_is_missing_not_zero(pages, clock):
    page = pages.now()
    assert page.now_us == clock.now_us()
    for row in page.models:
        assert (row.predictions, row.errors) == (0, 0)
        assert (row.verdict, row.p99_ms, row.alert_rate, row.estimated, row.realised) == (None,) * 5
    assert [row.champion and row.champion.version for row in page.models] == [None, 1]
    shown = pages.model(MODEL, None, None)
    assert (shown.first_us, shown.last_us) == (0, 0)
    assert (shown.from_us, shown.to_us) == (NOW_US - 30 * DAY_US, NOW_US)
    assert shown.recent == shown.quality == shown.findings == ()
    assert [(one.route.version, one.answered) for one in shown.serving] == [(1, 0)]
    idle = pages.model(IDLE, None, None)
    assert idle.traffic == idle.serving == idle.releases == idle.receipts == ()


def test_failures_count_as_errors_and_never_as_alerts_or_latencies(pages, project):
    good = answers(project, 20, from_us=LIVE_US)
    bad = [
        msgspec.structs.replace(one, id=f"{one.id}F", score=math.nan, decision=True, error="model", total_us=9e6)
        for one in good[:4]
    ]
    write(project, good + bad, at_us=NOW_US)
    row, page = models(pages)[MODEL], pages.model(MODEL, None, None)
    for shown in (row, page):
        assert (shown.predictions, shown.errors) == (24, 4)
        assert shown.p99_ms == pytest.approx(np.percentile([one.total_us for one in good], 99) / 1_000)
        assert shown.alert_rate.value == np.mean([one.decision for one in good])
    assert {one.error for one in page.recent} <= {"", "model"}
    assert all((one.score is None) == bool(one.error) for one in page.recent)


def test_shadows_are_counted_beside_the_answers_and_nowhere_else(pages, project):
    made = write(project, answers(project, 20, from_us=LIVE_US), at_us=NOW_US)
    shadows = answers(project, 12, from_us=LIVE_US, key="s", role="shadow")
    write(project, [msgspec.structs.replace(one, pair=made[0].id) for one in shadows], at_us=NOW_US)
    page = pages.model(MODEL, None, None)
    assert page.predictions == 20
    assert sum(window.predictions for window in page.traffic) == 20
    assert [(one.answered, one.shadowed) for one in page.serving] == [(20, 12)]
    assert {one.role for one in page.recent} == {"champion"}


def test_the_newest_predictions_come_first_and_are_few(pages, project):
    made = write(project, answers(project, 30, from_us=LIVE_US), at_us=NOW_US)
    page = pages.model(MODEL, None, None)
    assert [one.id for one in page.recent] == [one.id for one in made[:-13:-1]]
    assert page.recent[0].score == made[-1].score
    assert pages.model(MODEL, LIVE_US, LIVE_US + 3 * HOUR_US).recent[0].id == made[2].id


def test_a_range_holds_its_start_and_not_its_end(pages, project):
    write(project, answers(project, 30, from_us=LIVE_US), at_us=NOW_US)
    assert pages.model(MODEL, LIVE_US, LIVE_US + 5 * HOUR_US).predictions == 5
    assert pages.model(MODEL, LIVE_US + 1, LIVE_US + 5 * HOUR_US + 1).predictions == 5
    assert pages.model(MODEL, LIVE_US - DAY_US, LIVE_US).predictions == 0


def test_without_a_range_the_last_days_are_shown_or_all_there_is_of_them(pages, project):
    write(project, answers(project, 30, from_us=LIVE_US), at_us=NOW_US)
    page = pages.model(MODEL, None, None)
    assert (page.from_us, page.to_us) == (LIVE_US, LIVE_US + 29 * HOUR_US + 1)
    early = pages.model(MODEL, None, LIVE_US - DAY_US)
    assert (early.from_us, early.to_us) == (LIVE_US - 31 * DAY_US, LIVE_US - DAY_US)
    write(project, answers(project, 2, from_us=LIVE_US + 50 * DAY_US, key="z"), at_us=NOW_US)
    late = pages.model(MODEL, None, None)
    assert late.to_us - late.from_us == 30 * DAY_US


def test_a_range_that_has_not_begun_is_refused_unless_it_has_an_end(pages, project):
    write(project, answers(project, 3, from_us=LIVE_US), at_us=NOW_US)
    with pytest.raises(RowError, match="has not begun") as caught:
        pages.model(MODEL, LIVE_US + 90 * DAY_US, None)
    assert caught.value.column == "from"
    future = pages.model(MODEL, LIVE_US + 90 * DAY_US, LIVE_US + 91 * DAY_US)
    assert future.traffic == ()
    assert future.predictions == 0


def test_windows_end_with_now_so_that_the_future_is_not_drawn_as_silence(pages, project):
    made = write(project, answers(project, 30, from_us=LIVE_US), at_us=NOW_US)
    page = pages.model(MODEL, LIVE_US, LIVE_US + 60 * DAY_US)
    assert page.traffic[-1].to_us == made[-1].time_us + 1
    assert page.quality[-1].from_us <= made[-1].time_us


def test_new_records_are_taken_in_and_the_twelve_newest_move_on(pages, project):
    write(project, answers(project, 3, from_us=LIVE_US), at_us=NOW_US)
    assert pages.model(MODEL, None, None).predictions == 3
    (new,) = answers(project, 1, from_us=LIVE_US + 9 * HOUR_US, key="n")
    made = write(project, [msgspec.structs.replace(new, recorded_us=NOW_US)], at_us=NOW_US)
    page = pages.model(MODEL, None, None)
    assert page.predictions == 4
    assert page.recent[0].id == made[0].id


@pytest.mark.parametrize(
    "moment_us", [-DAY_US, parse_moment("2200-01-02"), 253_402_300_799_999_999, -253_402_300_799_999_999]
)
@pytest.mark.parametrize("beside", [3, 0])
def test_a_row_that_speaks_for_a_nonsensical_time_does_not_take_the_pages_away(pages, project, moment_us, beside):
    (odd,) = answers(project, 1, from_us=LIVE_US, key="o")
    write(project, answers(project, beside, from_us=LIVE_US), at_us=NOW_US)
    write(project, [msgspec.structs.replace(odd, time_us=moment_us)], at_us=NOW_US)
    app = create_app(pages, name="shop")
    for path, twin in (("/", "/now"), (f"/models/{MODEL}",) * 2, (f"/predictions/{odd.id}",) * 2):
        page = ask(app, path)
        assert page.status == 200
        assert ask(app, f"{twin}.json").status == 200
        for link in re.findall(r'href="(/[^"#]+)', page.text):
            assert ask(app, unescape(link)).status == 200, link
    assert pages.model(MODEL, LIVE_US, LIVE_US + DAY_US).predictions == beside


@pytest.mark.parametrize("name", ["nobody", "", "returned ", "x" * 500, "../../etc"])
def test_a_model_nobody_declared_is_not_found_and_the_known_ones_are_named(pages, name):
    with pytest.raises(NotFoundError, match="no model is called") as caught:
        pages.model(name, None, None)
    assert len(caught.value.message) < 100
    assert caught.value.hint == f"known: {MODEL}, {IDLE}"


def test_a_prediction_is_shown_with_its_inputs_and_executed_again(pages, project):
    made = write(project, answers(project, 8, from_us=LIVE_US), at_us=NOW_US)
    page = pages.prediction(made[0].id)
    bundle = project.bundle(project.resolve(MODEL))
    assert [one.name for one in page.features] == [column.name for column in bundle.definition.columns]
    assert page.features[0].value is None
    assert page.features[0].known_us == LIVE_US - HOUR_US
    assert page.threshold == bundle.threshold
    assert page.row.score == made[0].score
    assert (page.reexecution.result, page.reexecution.score) == ("equal", made[0].score)
    assert page.outcome is None


def test_a_score_that_is_not_what_the_inputs_give_is_called_different(pages, project):
    (honest,) = answers(project, 1, from_us=LIVE_US)
    write(project, [msgspec.structs.replace(honest, score=math.nextafter(honest.score, 1))], at_us=NOW_US)
    page = pages.prediction(honest.id)
    assert page.reexecution.result == "different"
    assert page.reexecution.score == honest.score


def test_a_failed_prediction_is_shown_and_not_executed_again(pages, project):
    (one,) = answers(project, 1, from_us=LIVE_US)
    write(project, [msgspec.structs.replace(one, score=math.nan, error="model")], at_us=NOW_US)
    page = pages.prediction(one.id)
    assert page.row.score is None
    assert page.reexecution.result == "not-run"
    assert "failed with 'model'" in page.reexecution.detail


def test_a_prediction_outlives_its_bundle(pages, project):
    (one,) = write(project, answers(project, 1, from_us=LIVE_US), at_us=NOW_US)
    (gone,) = answers(project, 1, from_us=LIVE_US + 1, key="g")
    write(project, [msgspec.structs.replace(gone, bundle="ab" * 32)], at_us=NOW_US)
    page = pages.prediction(gone.id)
    assert (page.features, page.threshold, page.reexecution.result) == ((), None, "not-run")
    assert page.request == gone.request
    assert pages.prediction(one.id).reexecution.result == "equal"


def test_a_prediction_of_a_model_no_longer_declared_is_still_there(pages, project):
    (one,) = answers(project, 1, from_us=LIVE_US)
    write(project, [msgspec.structs.replace(one, model="retired")], at_us=NOW_US)
    page = pages.prediction(one.id)
    assert page.row.model == "retired"
    assert page.outcome is None


@pytest.mark.parametrize("returned", [True, False])
def test_an_outcome_is_shown_once_it_is_told(pages, project, returned):
    (one,) = write(project, answers(project, 1, from_us=LIVE_US), at_us=NOW_US)
    assert pages.prediction(one.id).outcome is None
    tell(project, {one.key: returned, "other": not returned}, at_us=NOW_US)
    outcome = pages.prediction(one.id).outcome
    assert outcome.value is returned
    assert outcome.known_us == NOW_US


def test_a_prediction_without_a_key_has_no_outcome(pages, project):
    (one,) = answers(project, 1, from_us=LIVE_US)
    write(project, [msgspec.structs.replace(one, key="")], at_us=NOW_US)
    tell(project, {"": True}, at_us=NOW_US)
    assert pages.prediction(one.id).outcome is None


def test_what_was_never_recorded_trained_or_registered_is_not_found(pages):
    for page_of, name in (
        (pages.prediction, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        (pages.prediction, "' OR 1=1 --"),
        (pages.run, "r-000000000000"),
        (pages.version, f"{MODEL}:9"),
        (pages.version, "nobody:1"),
    ):
        with pytest.raises(NotFoundError):
            page_of(name)


def test_a_run_leads_to_the_versions_made_from_it_alone(pages, project):
    version = project.resolve(f"{MODEL}:2")
    page = pages.run(version.run)
    assert [one.ref for one in page.versions] == [version.ref]
    assert page.run.id == version.run


def test_a_version_tells_its_part_and_the_releases_that_began_and_ended_it(pages, project):
    assert pages.version(f"{MODEL}:2").releases == ()
    assert pages.version(f"{MODEL}:2").route is None
    assert pages.version(MODEL).route.role == "champion"
    project.promote(f"{MODEL}:2", actor="ada", override="to see")
    assert pages.version(f"{MODEL}:2").route.weight == 0.1
    project.rollback(MODEL, actor="ada", reason="seen")
    page = pages.version(f"{MODEL}:2")
    assert page.route is None
    assert [one.action for one in page.releases] == ["promote", "rollback"]
    assert [one.action for one in pages.version(f"{MODEL}:1").releases] == ["promote", "promote", "rollback"]


def test_a_version_with_a_changed_byte_is_a_fault_not_a_page(pages, project):
    bundle = project.resolve(MODEL).bundle
    (model,) = [path for path in project.home.bundles.rglob("*.onnx") if bundle[:8] in str(path)]
    model.chmod(0o600)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(IntegrityError):
        pages.version(MODEL)


def paired(project, count, *, weight_of_candidate=3):
    """Requests that both versions scored, one answered by the champion and two by the other of every three."""
    old = answers(project, count, from_us=LIVE_US, step_us=60_000_000)
    new = answers(project, count, from_us=LIVE_US, step_us=60_000_000, number=2)
    made = []
    for place, (champion, candidate) in enumerate(zip(old, new, strict=True)):
        answered, shadow = (champion, candidate) if place % weight_of_candidate else (candidate, champion)
        role = "champion" if answered is champion else "canary"
        made += [
            msgspec.structs.replace(answered, role=role, recorded_us=NOW_US + 1 + place),
            msgspec.structs.replace(shadow, role="shadow", pair=answered.id, recorded_us=NOW_US + 1 + place),
        ]
    return made


def test_an_open_rollout_counts_the_pairs_of_its_stage_and_tells_the_comparison_so_far(pages, project, clock):
    assert pages.model(MODEL, None, None).rollout is None
    project.promote(f"{MODEL}:2", actor="ada", override="to see")
    clock.value_us += DAY_US
    write(project, paired(project, 30), at_us=NOW_US)
    page = pages.model(MODEL, None, None)
    rollout = page.rollout
    assert (rollout.champion, rollout.candidate, rollout.weight) == (1, 2, 0.1)
    assert (rollout.pairs, rollout.pairs_needed, rollout.stages) == (30, 5_000, (0.1, 0.5, 1.0))
    assert not [one for one in rollout.evidence if "of 5000 pairs" in one]
    assert [(one.answered, one.shadowed) for one in page.serving] == [(20, 10), (10, 20)]
    assert models(pages)[MODEL].rollout == rollout
    project.stores.promotion.advance(MODEL, 0.5, revision=2, reason="on")
    assert pages.model(MODEL, None, None).rollout.pairs == 0
    assert pages.model(MODEL, None, None).rollout.started_us == rollout.started_us


def test_pairs_from_before_the_rollout_are_not_its_evidence(pages, project):
    early = [msgspec.structs.replace(one, recorded_us=LIVE_US) for one in paired(project, 6)]
    write(project, early, at_us=NOW_US)
    project.promote(f"{MODEL}:2", actor="ada", override="to see")
    assert pages.model(MODEL, None, None).rollout.pairs == 0


def test_a_version_that_comes_back_begins_anew(pages, project, clock):
    def release(number, **how):
        clock.value_us += DAY_US
        return project.promote(f"{MODEL}:{number}", actor="ada", override="to see", **how)

    release(2)
    write(project, paired(project, 6), at_us=NOW_US)
    project.rollback(MODEL, actor="ada", reason="seen")
    again = release(2)
    page = pages.model(MODEL, None, None)
    assert (page.rollout.started_us, page.rollout.pairs) == (again.from_us, 0)
    assert [one.since_us for one in page.serving] == [project.history(MODEL)[0].from_us, again.from_us]
    project.rollback(MODEL, actor="ada", reason="seen")
    release(2, now=True)
    back = release(1, now=True)
    (champion,) = pages.model(MODEL, None, None).serving
    assert (champion.route.version, champion.since_us) == (1, back.from_us)


def test_releases_take_their_place_on_the_time_line_of_the_predictions(pages, project, clock):
    before = [msgspec.structs.replace(one, recorded_us=NOW_US - 5) for one in answers(project, 5, from_us=LIVE_US)]
    write(project, before, at_us=NOW_US)
    project.promote(f"{MODEL}:2", actor="ada", override="to see")
    first, second = pages.model(MODEL, None, None).released_us
    assert first == LIVE_US
    assert second == before[-1].time_us + 1
    after = answers(project, 3, from_us=LIVE_US + SPACE_US, key="a")
    write(project, [msgspec.structs.replace(one, recorded_us=NOW_US + 5) for one in after], at_us=NOW_US)
    assert pages.model(MODEL, None, None).released_us[1] == LIVE_US + SPACE_US


def test_where_predictions_speak_for_now_releases_stand_at_their_own_moment(wall_pages, wall):
    write(wall, answers(wall, 5, from_us=NOW_US - DAY_US), at_us=NOW_US)
    assert wall_pages.model(MODEL, None, None).released_us == tuple(one.from_us for one in wall.history(MODEL))


def test_quality_of_a_week_is_that_of_the_brief_and_of_the_outcomes(pages, project):
    made = write(project, answers(project, 150, from_us=LIVE_US), at_us=NOW_US)
    tell(project, {one.key: place % 4 == 0 for place, one in enumerate(made)}, at_us=LIVE_US + 1)
    row = models(pages)[MODEL]
    hits = [one.decision for place, one in enumerate(made) if place % 4 == 0]
    assert row.realised.value == np.mean(hits)
    assert row.realised.low < row.realised.value < row.realised.high
    assert row.estimated == project.morning(MODEL).estimate.metrics["recall"]
    assert row.verdict == project.morning(MODEL).verdict


def test_what_needs_attention_comes_first_and_what_cannot_be_judged_last(pages, project):
    write(project, answers(project, 30, from_us=LIVE_US), at_us=NOW_US)
    rows = pages.now().models
    assert [row.name for row in rows] == [MODEL, IDLE]
    assert rows[0].verdict.cause == "cannot-tell"
    assert rows[1].verdict is None


def test_pages_asked_for_at_once_are_the_same_pages(pages, project):
    made = write(project, answers(project, 40, from_us=LIVE_US), at_us=NOW_US)
    asks = [pages.now, lambda: pages.model(MODEL, None, None), lambda: pages.prediction(made[0].id)] * 4
    found, start = [None] * len(asks), threading.Barrier(len(asks))

    def ask(place):
        start.wait()
        found[place] = msgspec.json.encode(asks[place](), enc_hook=lambda value: value.item())

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind in range(3):
        assert len({found[place] for place in range(kind, len(asks), 3)}) == 1


def test_closed_pages_let_go_of_the_records_and_take_them_up_again(pages, project):
    write(project, answers(project, 3, from_us=LIVE_US), at_us=NOW_US)
    assert pages.model(MODEL, None, None).predictions == 3
    pages.close()
    write(project, answers(project, 2, from_us=LIVE_US + SPACE_US, key="c"), at_us=NOW_US)
    assert pages.model(MODEL, None, None).predictions == 5


def test_now_shows_the_pages_of_the_last_seven_days_and_what_is_lost(wall_pages, wall, monkeypatch):
    monkeypatch.setattr(records, "LOSSES_S", 0.0)
    write(wall, answers(wall, 60, from_us=NOW_US - 70 * HOUR_US), at_us=NOW_US)
    assert wall_pages.now().pages == wall_pages.now().losses == ()
    for days in (9, 2, 1):
        sent = Page(model=MODEL, version=1, time_us=NOW_US - days * DAY_US, reasons=("slow",), action="")
        wall.stores.pages.add(sent)
    assert [NOW_US - page.time_us for page in wall_pages.now().pages] == [DAY_US, 2 * DAY_US]
    flip(wall.home.predictions)
    (loss,) = wall_pages.now().losses
    assert loss.endswith("cannot be read")


def test_what_was_refused_is_no_error(pages, project):
    good = answers(project, 20, from_us=LIVE_US)
    bad = [msgspec.structs.replace(one, id=f"{one.id}R", score=math.nan, error="row") for one in good[:4]]
    write(project, good + bad, at_us=NOW_US)
    page = pages.model(MODEL, None, None)
    assert (models(pages)[MODEL].errors, page.errors, sum(one.errors for one in page.traffic)) == (0, 0, 0)
