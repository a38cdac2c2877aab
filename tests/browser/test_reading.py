"""Everybody can read the pages: by keyboard, by screen reader, in the dark, on a phone; and nothing of them leaves here."""

from __future__ import annotations

import itertools

import pytest
from tests.simulated_shop import MODEL

from seakeep.recorder import query
from seakeep.recorder.query import Query

NAMES = ("now", "model", "range", "idle", "prediction", "run", "version", "nobody")
STATIC = {"dashboard.css", "dashboard.js", "htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css", "mark.svg"}
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const poor = [];
  let seen = 0;
  const look = (element, style, text) => {
    seen += 1;
    const found = ratio(light(parse(style.color)), light(ground(element)));
    if (found < 4.5) poor.push([text.trim().slice(0, 40), found.toFixed(2)]);
  };
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("");
    if (text.trim() && element.checkVisibility()) look(element, getComputedStyle(element), text);
    if (element.placeholder) look(element, getComputedStyle(element, "::placeholder"), element.placeholder);
  }
  return { seen, poor };
}"""
OUTLINE = """() => [...document.querySelectorAll("h1, h2, h3, h4")].map((one) => Number(one.tagName[1]))"""
UNNAMED = """() => {
  const name = (one) => one.getAttribute("aria-label") || one.innerText?.trim() || one.labels?.[0]?.innerText.trim();
  return [...document.querySelectorAll("a[href], button, input, nav, summary, [role=img]")]
    .filter((one) => one.checkVisibility() && !name(one)).map((one) => one.outerHTML.slice(0, 80));
}"""
WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".unseen"))
  .map((one) => one.outerHTML.slice(0, 80))"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
CHART = """() => document.querySelector("#chart-traffic canvas").toDataURL()"""


@pytest.fixture(scope="module")
def addresses(living):
    table = query.load(living.project.home.predictions, Query(model=MODEL), damage=[])
    run = living.project.resolve(MODEL).run
    pages = (
        "/", f"/models/{MODEL}", f"/models/{MODEL}?from=2024-03-10&to=2024-03-20", "/models/refused",
        f"/predictions/{table.id[-1]}", f"/runs/{run}", f"/versions/{MODEL}:2", "/models/nobody",
    )  # fmt: skip
    return dict(zip(NAMES, pages, strict=True))


def forgive(seen, name):
    """The console tells of the page that is not there."""
    if name == "nobody":
        assert all("404" in fault for fault in seen.faults)
        seen.faults.clear()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_landmarks_one_heading_an_outline_without_gaps_and_names_for_all_controls(window, addresses, name):
    seen = window(addresses[name])
    for landmark in ("banner", "main", "contentinfo"):
        assert seen.page.get_by_role(landmark).count() == 1
    outline = seen.page.evaluate(OUTLINE)
    assert outline[0] == 1
    assert outline.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(outline))
    assert seen.page.evaluate(UNNAMED) == []
    assert seen.page.evaluate("() => document.documentElement.lang") == "en-GB"
    assert seen.page.title().endswith("· shop (simulated)")
    assert seen.page.evaluate("() => document.querySelectorAll('th:not([scope]):empty').length") <= 1
    forgive(seen, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_text_stands_out_from_its_ground_in_the_light_and_in_the_dark(window, addresses, name):
    seen = window(addresses[name], color_scheme="light")
    for scheme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=scheme)
        shade = [int(part) for part in seen.page.evaluate(BACKGROUND)[4:-1].split(",")]
        assert (max(shade) < 60) if scheme == "dark" else (min(shade) > 200)
        found = seen.page.evaluate(CONTRAST)
        assert found["seen"] >= 8
        assert found["poor"] == [], scheme
    forgive(seen, name)


@pytest.mark.parametrize("name", NAMES)
def test_no_page_scrolls_sideways_on_a_narrow_screen(window, addresses, name):
    seen = window(addresses[name], viewport={"width": 320, "height": 800})
    for width in (320, 390, 600, 768, 1024, 1101):
        seen.page.set_viewport_size({"width": width, "height": 800})
        assert seen.page.evaluate("() => document.documentElement.scrollWidth") <= width, seen.page.evaluate(WIDE)
    forgive(seen, name)


def test_charts_are_painted_anew_when_the_dark_comes(window):
    seen = window(f"/models/{MODEL}?from=2024-03-10&to=2024-03-20", color_scheme="light")
    seen.until("() => document.querySelector('#chart-traffic canvas')")
    before = seen.page.evaluate(CHART)
    seen.page.emulate_media(color_scheme="dark")
    seen.until("before => document.querySelector('#chart-traffic canvas').toDataURL() !== before", before)
    seen.page.emulate_media(color_scheme="light")
    seen.until("before => document.querySelector('#chart-traffic canvas').toDataURL() === before", before)


def test_charts_follow_the_width_of_the_window(window):
    seen = window(f"/models/{MODEL}?from=2024-03-10&to=2024-03-20", viewport={"width": 1280, "height": 800})
    seen.until("() => document.querySelector('#chart-traffic canvas')?.getBoundingClientRect().width > 400")
    seen.page.set_viewport_size({"width": 390, "height": 800})
    seen.until("() => document.querySelector('#chart-traffic canvas').getBoundingClientRect().width <= 360")
    assert seen.page.evaluate("() => document.documentElement.scrollWidth") <= 390


def focused(seen):
    return seen.page.evaluate(
        """() => {
          const one = document.activeElement;
          return one === document.body ? "" : one.innerText?.trim() || one.name || one.tagName;
        }"""
    )


def test_the_first_key_press_offers_to_skip_to_the_content(window):
    seen = window(f"/models/{MODEL}?from=2024-03-10&to=2024-03-20")
    skip = seen.page.locator(".skip")
    assert skip.bounding_box()["y"] < 0
    seen.page.keyboard.press("Tab")
    assert focused(seen) == "Skip to the content"
    assert skip.bounding_box()["y"] >= 0
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("() => document.activeElement.id") == "content"
    seen.page.keyboard.press("Tab")
    assert focused(seen) == "Now"


def test_everything_can_be_reached_by_keyboard_in_the_order_it_is_read_with_the_focus_to_be_seen(window):
    seen = window("/")
    order = []
    while len(order) < 60:
        seen.page.keyboard.press("Tab")
        name = focused(seen)
        if not name:
            break
        outline = seen.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", name
        order.append(name)
    assert order[:5] == ["Skip to the content", "Seakeep", "Live", "JSON", MODEL]
    links = seen.page.evaluate(
        "() => [...document.querySelectorAll('a[href], button')].filter((one) => one.checkVisibility()).length"
    )
    assert len(order) == links


def test_the_keyboard_alone_leads_from_now_to_the_reason_of_one_prediction(window):
    seen = window("/")
    seen.page.get_by_role("link", name=MODEL, exact=True).first.press("Enter")
    seen.page.wait_for_url(f"**/models/{MODEL}")
    seen.page.get_by_role("link", name="Why").first.press("Enter")
    seen.page.wait_for_url("**/predictions/*")
    assert seen.text("#again .cause") == "Bit-equal"
    trail = seen.page.get_by_role("navigation", name="Trail")
    trail.get_by_role("link", name="Now").press("Enter")
    seen.page.wait_for_url(f"{seen.url}/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_verdict_is_told_by_a_word_and_a_shape_not_by_colour_alone(window, scheme):
    seen = window("/", color_scheme=scheme, forced_colors="active")
    assert seen.texts("table.now .cause b") == ["Model failing", "No verdict yet"]
    shapes = seen.page.locator("table.now .cause svg > *").evaluate_all("all => all.map(one => one.outerHTML)")
    assert len(set(shapes)) == 2


@pytest.mark.parametrize("name", ["now", "model", "prediction"])
def test_a_page_asks_for_nothing_but_itself_and_its_own_files(window, addresses, name):
    seen = window(addresses[name])
    files = [one for one in seen.requests if one.startswith("/static/")]
    assert {one.partition("?")[0].rpartition("/")[2] for one in files} <= STATIC
    assert all("?v=" in one for one in files)
    assert [one for one in seen.requests if one not in files] == [addresses[name]]


def test_the_policy_of_the_page_refuses_foreign_code(window):
    seen = window("/")
    seen.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<img src='https://example.invalid/x.png'>");
        }"""
    )
    seen.until("() => true")
    assert seen.page.evaluate("() => window.ran") is None
    assert any("policy: script-src-elem refused inline" in fault for fault in seen.faults)
    assert any("policy: img-src" in fault for fault in seen.faults)
    assert all("policy" in fault.lower() or "example.invalid" in fault for fault in seen.faults)
    seen.faults.clear()


def test_the_page_cannot_be_framed_by_another(window):
    seen = window()
    seen.page.set_content(f"<iframe src='{seen.url}/'></iframe>")
    seen.page.wait_for_timeout(300)
    frame = seen.page.frames[1]
    assert frame.locator("h1").count() == 0 or "attention" not in frame.locator("h1").inner_text()
    seen.faults.clear()
