"""One model: what the page says is what the records, the registry and the brief say, in the range its address names."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from tests.browser.living import BAD_TO_US
from tests.simulated_shop import BROKEN_US, END_US, IDLE, LIVE_US, MODEL

from seakeep.clock import DAY_US, format_day, format_moment
from seakeep.dashboard import formatting
from seakeep.dashboard.timerange import parse_range, write_moment
from seakeep.recorder import query
from seakeep.recorder.query import Query
from seakeep.records.run import Metric

PAGE = f"/models/{MODEL}"
MARCH = f"{PAGE}?from=2024-03-10&to=2024-03-20"
FIGURES = ("traffic", "latency", "quality", "rates")
INK = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) colours.add(data.slice(at, at + 3).join());
  return [...colours];
}"""


def facts(seen, selector):
    return dict(zip(seen.texts(f"{selector} dt"), seen.texts(f"{selector} dd"), strict=True))


def recorded(living, from_us=0, to_us=END_US + DAY_US):
    table = query.load(living.project.home.predictions, Query(model=MODEL), damage=[])
    table = table.select((table.time_us >= from_us) & (table.time_us < to_us))
    return table.select(table.role != "shadow"), table.select(table.role == "shadow")


def painted(seen, key):
    seen.until("key => document.querySelector(`#chart-${key} canvas`)", key)
    return seen.page.locator(f"#chart-{key} canvas").evaluate(INK)


def pointed(seen):
    over = seen.page.locator("#chart-traffic .u-over")
    over.scroll_into_view_if_needed()
    return over.bounding_box()


def test_the_verdict_its_sentences_and_the_next_step_are_those_of_the_morning_brief(living, window):
    seen = window(PAGE)
    brief = living.project.morning(MODEL)
    assert seen.text("h1") == brief.verdict.headline
    assert seen.text("#verdict .cause") == "Model failing"
    assert seen.texts("#evidence ol li") == list(brief.verdict.evidence)
    assert seen.text("#verdict .lede") == f"Next {brief.action.replace('`', '')}"
    assert seen.text("#verdict .lede code") == f"seakeep train {MODEL}"


def test_each_number_behind_the_sentences_stands_in_the_column_of_its_period(living, window):
    seen = window(PAGE)
    numbers = living.project.morning(MODEL).verdict.numbers
    cells = seen.page.locator("table.numbers tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].slice(0, 4).map(cell => cell.innerText))"
    )
    table = {name: [" ".join(cell.split()) for cell in row] for name, *row in cells}
    assert len(table) == len(numbers) / 3
    for label, name in (("Recall", "recall"), ("Base rate", "base_rate"), ("ROC AUC", "roc_auc")):
        for cell, end in zip(table[label], ("_reference", "_before", ""), strict=True):
            assert cell == " ".join(formatting.estimate(numbers[name + end], name).split())


def test_the_summary_counts_the_recorded_predictions_of_the_range(living, window):
    seen = window(MARCH)
    answered, _ = recorded(living, LIVE_US + 9 * DAY_US, LIVE_US + 19 * DAY_US)
    summary = facts(seen, ".summary")
    assert summary["Predictions"] == f"{len(answered):,}"
    assert summary["Failed"] == "0"
    assert summary["p99"] == formatting.milliseconds(np.percentile(answered.total_us, 99) / 1_000).replace("\xa0", " ")
    share = answered.decision.mean()
    assert summary["Alert rate"].startswith(f"{100 * share:.1f} % (")


def test_champion_and_candidate_stand_side_by_side_with_their_shares_and_shadows(living, window):
    seen = window(f"{PAGE}?from=2024-03-01")
    answered, shadowed = recorded(living)
    now = living.project.history(MODEL)[-1]
    assert seen.texts("#serving h3") == [f"{MODEL}:1 champion", f"{MODEL}:3 candidate"]
    for place, route in enumerate(now.routes):
        card = facts(seen, f"#serving .card:nth-child({place + 1})")
        assert card["Answered"] == f"{(answered.version == route.version).sum():,}"
        assert card["Computed in shadow"] == f"{(shadowed.version == route.version).sum():,}"
        assert card["Share of keys"] == ("90 %", "10 %")[place]
    assert (shadowed.version == 3).sum() > (answered.version == 3).sum() > 0


def test_an_open_rollout_and_the_receipt_of_the_last_one_are_on_the_page_and_in_its_summary(living, window):
    seen = window(PAGE)
    summary = facts(seen, ".summary")
    assert summary["Candidate"] == f"{MODEL}:3 10 % of keys"
    assert summary["Last rollout"] == "Rolled back"
    (receipt,) = living.project.stores.receipts.receipts(MODEL)
    told = facts(seen, "#rollouts .receipt")
    assert (told["Requests"], told["Failed"]) == (f"{receipt.requests:,}", f"{receipt.failed:,}")
    assert told["Decided after"] == formatting.duration(receipt.detect_s).replace("\xa0", " ")
    assert "Candidate 3 answers 10 % of keys" in seen.text("#rollouts .rollout")
    done, needed = living.json(f"{PAGE}.json")["rollout"]["pairs"], 5_000
    bar = seen.page.locator("#rollouts .weight .part").get_attribute("width")
    assert float(bar) == pytest.approx(100 * done / needed)


def test_releases_say_who_put_what_into_production_and_why(living, window):
    seen = window(PAGE)
    history = living.project.history(MODEL)
    rows = seen.texts("#releases tbody tr")
    assert len(rows) == len(history) == 4
    for row, release in zip(rows, reversed(history), strict=True):
        assert row.startswith(formatting.moment(release.from_us))
        assert release.actor in row
        assert release.reason in row
    assert "rollback to 1" in rows[1]


def test_releases_are_marked_where_they_took_effect_among_the_predictions(living, window):
    seen = window(f"{PAGE}?from=2024-03-01&to=2024-05-01")
    page = living.json(f"{PAGE}.json?from=2024-03-01&to=2024-05-01")
    answered, _ = recorded(living)
    for moment_us, release in zip(page["released_us"], page["releases"], strict=True):
        later = answered.time_us[answered.recorded_us >= release["from_us"]]
        assert moment_us == later.min()
    assert BAD_TO_US - 4 * DAY_US <= page["released_us"][2] <= BAD_TO_US + DAY_US
    chart = seen.page.locator("#chart-traffic").get_attribute("data-chart")
    assert '"promote 2 to 10 %"' in chart
    assert '"rollback to 1"' in chart


def test_gates_show_what_they_found_for_the_versions_that_answer(living, window):
    seen = window(PAGE)
    assert seen.texts("#gates h3") == [f"{MODEL}:1", f"{MODEL}:3"]
    text = seen.text("#gates")
    for result in living.project.stores.gates.get(MODEL, 3):
        assert result.observed in text
        assert result.required in text


def test_the_newest_predictions_are_listed_first_with_the_bits_that_were_answered(living, window):
    seen = window(MARCH)
    answered, _ = recorded(living, LIVE_US + 9 * DAY_US, LIVE_US + 19 * DAY_US)
    rows = seen.texts("#predictions tbody tr")
    assert len(rows) == 12
    for row, place in zip(rows, range(-1, -13, -1), strict=True):
        assert row.startswith(formatting.moment(int(answered.time_us[place])))
        assert f"{answered.key[place]} {answered.score[place]:.4f}" in row


@pytest.mark.parametrize("key", FIGURES)
def test_a_chart_paints_its_series_and_keeps_a_name_for_who_cannot_see_it(window, key):
    seen = window(f"{PAGE}?from=2024-03-01")
    colours = painted(seen, key)
    assert len(colours) > 3
    assert seen.page.locator(f"#chart-{key} [role=img]").get_attribute("aria-label").endswith("over time")
    assert seen.page.locator(f"#chart-{key} canvas").bounding_box()["width"] > 300


def test_the_chart_under_the_pointer_tells_the_values_of_its_window(living, window):
    seen = window(MARCH)
    painted(seen, "traffic")
    windows = living.json(f"{PAGE}.json?from=2024-03-10&to=2024-03-20")["traffic"]
    over = pointed(seen)
    seen.page.mouse.move(over["x"] + over["width"] / 2, over["y"] + 20)
    told = seen.text("#chart-traffic .key:has-text('answered')")
    middle = len(windows) // 2
    near = {f"answered {one['predictions']}" for one in windows[middle - 1 : middle + 2]}
    assert told in near


def test_dragging_over_a_chart_asks_for_that_range(window):
    seen = window(MARCH)
    painted(seen, "traffic")
    over = pointed(seen)
    y = over["y"] + 40
    seen.page.mouse.move(over["x"] + over["width"] * 0.2, y)
    seen.page.mouse.down()
    seen.page.mouse.move(over["x"] + over["width"] * 0.4, y, steps=4)
    seen.page.mouse.up()
    seen.page.wait_for_url(lambda url: url != seen.url + MARCH)
    asked = parse_range(dict(parse_qsl(urlsplit(seen.page.url).query)))
    start = LIVE_US + 9 * DAY_US
    for end, days in ((asked.from_us, 2), (asked.to_us, 4)):
        assert abs(end - start - days * DAY_US) < DAY_US / 10
    assert seen.page.locator("input[name=from]").input_value() == write_moment(asked.from_us)


def test_without_scripts_the_page_reads_the_same_and_its_charts_are_drawn(living, window):
    seen = window(MARCH, java_script_enabled=False)
    page = living.json(f"{PAGE}.json?from=2024-03-10&to=2024-03-20")
    assert facts(seen, ".summary")["Predictions"] == f"{page['predictions']:,}"
    assert seen.page.locator("#refreshing").is_hidden()
    for key in FIGURES:
        paths = seen.page.locator(f"#chart-{key} .plot path.line").all()
        assert any(len(path.get_attribute("d")) > 50 for path in paths)
        assert seen.page.locator(f"#chart-{key} .plot > svg").bounding_box()["height"] > 100


def test_the_range_is_in_the_address_and_the_form_asks_for_another(living, window):
    seen = window(MARCH)
    assert [seen.page.locator(f"input[name={end}]").input_value() for end in ("from", "to")] == [
        "2024-03-10",
        "2024-03-20",
    ]
    assert seen.page.locator("#refreshing").count() == 0
    seen.page.locator("input[name=to]").fill("2024-03-12")
    seen.page.locator("input[name=to]").press("Enter")
    seen.page.wait_for_url("**from=2024-03-10&to=2024-03-12")
    answered, _ = recorded(living, LIVE_US + 9 * DAY_US, LIVE_US + 11 * DAY_US)
    assert facts(seen, ".summary")["Predictions"] == f"{len(answered):,}"
    seen.page.reload()
    assert facts(seen, ".summary")["Predictions"] == f"{len(answered):,}"
    seen.page.go_back()
    assert seen.page.locator("input[name=to]").input_value() == "2024-03-20"


def test_a_form_left_empty_follows_now_and_shows_what_it_follows(window):
    seen = window(PAGE)
    start, end = (seen.page.locator(f"input[name={name}]") for name in ("from", "to"))
    assert (start.input_value(), end.input_value(), end.get_attribute("placeholder")) == ("", "", "now")
    assert start.get_attribute("placeholder").startswith("2024-0")
    seen.page.get_by_role("button", name="Show").click()
    seen.page.wait_for_url("**from=&to=")
    assert seen.page.locator("#refreshing").is_visible()
    assert seen.text("nav[aria-label='Time range'] [aria-current]") == "Latest"


def test_earlier_later_and_everything_lead_through_the_whole_record(living, window):
    seen = window(MARCH)
    ranges = seen.page.get_by_role("navigation", name="Time range")
    ranges.get_by_role("link", name="Earlier").click()
    seen.page.wait_for_url("**from=2024-02-29&to=2024-03-10")
    assert ranges.get_by_role("link", name="Earlier").count() == 0
    ranges.get_by_role("link", name="Later").click()
    seen.page.wait_for_url("**from=2024-03-10&to=2024-03-20")
    ranges.get_by_role("link", name="Everything").click()
    seen.page.wait_for_url("**from=2024-03-01&to=**")
    answered, _ = recorded(living)
    assert facts(seen, ".summary")["Predictions"] == f"{len(answered):,}"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("from=yesterday", "From='yesterday' is not a moment"),
        ("from=2024-03-02&to=2024-03-01", "is empty"),
        ("from=2150-01-01", "has not begun"),
        ("from=%3Cscript%3Ealert(1)%3C/script%3E", "is not a moment"),
    ],
)
def test_a_range_that_cannot_be_shown_says_so_and_how_to_write_one(window, asked, told):
    seen = window(f"{PAGE}?{asked}")
    assert told in seen.text("h1")
    assert seen.text(".lede").startswith("Hint ")
    assert [fault for fault in seen.faults if "400" not in fault] == []
    seen.faults.clear()


def test_a_range_without_records_says_that_there_are_none(window):
    seen = window(f"{PAGE}?from=2023-01-01&to=2023-02-01")
    assert seen.texts(".chart .nothing") == ["Nothing recorded in this range."] * 4
    assert seen.page.locator("canvas").count() == 0
    assert facts(seen, ".summary")["Predictions"] == "0"
    assert "Nothing was predicted in this range." in seen.text("#predictions")


def test_a_model_without_a_release_makes_no_claims(window):
    seen = window(f"/models/{IDLE}")
    assert seen.text("h1") == f"{IDLE} has not been judged yet."
    assert f"seakeep promote {IDLE}@candidate" in seen.text("#verdict")
    assert "Nothing has been compared yet." in seen.text("#drift")
    assert seen.texts("nav[aria-label='Time range'] a") == ["Latest"]
    assert "beyond its own noise" not in seen.text("main")


def test_quality_in_numbers_gives_each_window_an_interval_that_fits_its_few_labels(living, window):
    seen = window(MARCH)
    seen.page.get_by_text("windows in numbers").click()
    page = living.json(f"{PAGE}.json?from=2024-03-10&to=2024-03-20")
    rows = seen.texts("#quality details tbody tr")
    assert len(rows) == len(page["quality"]) == 10
    for row, one in zip(rows, page["quality"], strict=True):
        assert row.startswith(f"{format_day(one['from_us'])} to {format_day(one['to_us'])} {one['labelled']} 0 ")
        recall = Metric(**one["realised"]["recall"])
        assert recall.low < recall.value or recall.value == 0
        assert recall.high - recall.low > 0.1
        assert " ".join(formatting.estimate(recall).split()) in row


def test_the_break_of_the_prices_is_to_be_seen_in_the_realised_recall(living):
    def recall(from_us, to_us):
        found = living.json(f"{PAGE}.json?from={format_moment(from_us)}&to={format_moment(to_us)}")["quality"]
        return [one["realised"]["recall"]["value"] for one in found if "recall" in one["realised"]]

    assert np.mean(recall(LIVE_US, BROKEN_US)) > 3 * np.mean(recall(BROKEN_US, END_US))
