"""A page that follows now: what it takes in by itself, what it leaves alone, and what it says when nobody answers."""

from __future__ import annotations

import time

import msgspec
import pytest
from tests.browser.conftest import served
from tests.browser.living import wait
from tests.simulated_shop import MODEL
from tests.unit.dashboard.simulated import MODELS, SimulatedSource

from seakeep.clock import DAY_US
from seakeep.dashboard.server import DashboardServer
from seakeep.errors import IntegrityError
from seakeep.project import open_project

TRAFFIC = f"#row-{MODEL} [data-label=Traffic] a"
SAYS = "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)"


def polls(seen, path):
    """Requests of the page for itself, after the first."""
    return seen.requests.count(path) - 1


def test_new_predictions_appear_by_themselves(living, window):
    seen = window("/")
    before = int(seen.text(TRAFFIC))
    asked = living.ask("fresh", rows=4)
    seen.until("([selector, before]) => Number(document.querySelector(selector).innerText) > before", [TRAFFIC, before])
    assert polls(seen, "/") >= 1
    assert seen.requests.count("/static/dashboard.css") <= 1
    model = window(f"/models/{MODEL}")
    assert asked[-1]["id"] in model.page.locator("#predictions tbody a >> nth=-1").first.evaluate(
        "link => [...document.querySelectorAll('#predictions a')].map(a => a.href).join()"
    )


def test_a_models_page_takes_in_new_predictions_and_draws_them(living, window):
    seen = window(f"/models/{MODEL}")
    seen.until("() => document.querySelector('#chart-traffic canvas')")
    seen.page.evaluate("() => { window.kept = document.querySelector('#chart-traffic canvas'); }")
    drawn = seen.page.locator("#chart-traffic").get_attribute("data-chart")
    living.ask("drawn & <b>not bold</b>")
    seen.until(SAYS, ["#predictions tbody", "drawn & <b>not bold</b>"])
    seen.until("drawn => document.querySelector('#chart-traffic').dataset.chart !== drawn", drawn)
    assert seen.page.evaluate("() => window.kept.isConnected")
    assert seen.page.locator("#predictions b").count() == 0


def test_a_refresh_leaves_what_a_person_is_doing_alone(living, window):
    seen = window(f"/models/{MODEL}")
    seen.page.get_by_text("windows in numbers").click()
    seen.page.locator("input[name=from]").fill("2024-03-1")
    seen.page.locator("input[name=from]").focus()
    seen.page.evaluate("() => scrollTo(0, 900)")
    living.ask("meanwhile")
    seen.until(SAYS, ["#predictions tbody", "meanwhile"])
    assert seen.page.locator("input[name=from]").input_value() == "2024-03-1"
    assert seen.page.evaluate("() => document.activeElement.name") == "from"
    assert seen.page.locator("#quality details").get_attribute("open") is not None
    assert seen.page.evaluate("() => scrollY") == 900


def test_a_paused_page_asks_for_nothing_until_it_is_resumed(window):
    with served(SimulatedSource()) as url:
        seen = window("/", url=url)
        button = seen.page.locator("#refreshing")
        button.click()
        assert (button.inner_text(), button.get_attribute("aria-pressed")) == ("Paused", "false")
        seen.page.wait_for_timeout(300)  # an answer under way may still come
        before = len(seen.requests)
        seen.page.wait_for_timeout(800)
        assert len(seen.requests) == before
        button.press("Space")
        assert (button.inner_text(), button.get_attribute("aria-pressed")) == ("Live", "true")
        seen.until("() => performance.now() > 0")
        with seen.page.expect_response(f"{url}/"):
            pass


def test_only_a_page_that_follows_now_refreshes(window):
    with served(SimulatedSource()) as url:
        following, fixed = f"/models/{MODELS[0]}?from=2013-07-20", f"/models/{MODELS[0]}?from=2013-07-20&to=2013-07-25"
        live, still = window(following, url=url), window(fixed, url=url)
        wait(lambda: live.page.evaluate("1") and polls(live, following) > 3, "some refreshes")
        still.page.evaluate("1")
        assert polls(still, fixed) == 0
        assert still.page.locator("#refreshing").count() == 0


def test_a_dashboard_that_went_away_is_told_until_it_is_back(living, window):
    project = open_project(living.project.folder)
    with DashboardServer(project) as server:
        port = int(server.url.rstrip("/").rpartition(":")[2])
        seen = window("/", url=server.url.rstrip("/"))
        assert seen.page.locator("#lost").is_hidden()
    seen.until(SAYS, ["#refreshing", "No answer"])
    told = seen.text("#lost")
    assert told.startswith("The dashboard does not answer. What you see is from ")
    assert seen.page.locator("#lost").get_attribute("role") == "alert"
    assert seen.page.locator("#lost").bounding_box()["y"] < seen.page.viewport_size["height"]
    assert seen.text("h1") == f"{MODEL} needs attention."
    settings = project.settings
    project.settings = msgspec.structs.replace(
        settings, dashboard=msgspec.structs.replace(settings.dashboard, port=port)
    )
    with DashboardServer(project):
        seen.until(SAYS, ["#refreshing", "Live"])
        assert seen.page.locator("#lost").is_hidden()
        seen.page.close()
    assert all("ERR_CONNECTION" in fault or "ERR_EMPTY" in fault or "fetch" in fault for fault in seen.faults)
    seen.faults.clear()


class Moody(SimulatedSource):
    """Fails or is slow when told to."""

    fault: Exception | None = None
    delay_s = 0.0

    def now(self):
        time.sleep(self.delay_s)
        if self.fault:
            raise self.fault
        return super().now()


def test_a_refresh_that_fails_keeps_what_is_shown_and_says_that_it_failed(window):
    source = Moody()
    with served(source) as url:
        seen = window("/", url=url)
        heading = seen.text("h1")
        source.fault = IntegrityError("the chain does not verify", hint="run `seakeep audit`")
        seen.until(SAYS, ["#lost", "answers with a fault (500)"])
        assert seen.text("h1") == heading
        source.fault = None
        seen.until(SAYS, ["#refreshing", "Live"])
        assert all("500" in fault for fault in seen.faults)
        seen.faults.clear()


def test_a_dashboard_slower_than_its_refresh_still_refreshes(window):
    source = Moody()
    with served(source) as url:
        seen = window("/", url=url)
        source.delay_s = 0.5  # five refreshes fall due meanwhile
        source.clock.value_us -= 3 * DAY_US
        day = "2013-07-27"
        seen.until(SAYS, [".lede", day])
        assert seen.page.locator("#lost").is_hidden()
        source.delay_s = 0


class Young(SimulatedSource):
    """Has recorded nothing yet until told otherwise."""

    empty = True

    def model(self, name, from_us, to_us):
        page = super().model(name, from_us, to_us)
        return msgspec.structs.replace(page, traffic=(), quality=(), recent=(), predictions=0) if self.empty else page


@pytest.mark.parametrize("key", ["traffic", "quality"])
def test_a_chart_that_was_empty_is_drawn_when_the_first_predictions_come(window, key):
    source = Young()
    with served(source) as url:
        seen = window(f"/models/{MODELS[0]}", url=url)
        chart = seen.page.locator(f"#chart-{key}")
        assert "Nothing recorded" in chart.inner_text()
        assert chart.locator(".plot").is_hidden()
        source.empty = False
        seen.until("key => document.querySelector(`#chart-${key} canvas`)?.getBoundingClientRect().width > 300", key)
        assert "Nothing recorded" not in chart.inner_text()
