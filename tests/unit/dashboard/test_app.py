from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import msgspec
import pytest
from tests.unit.dashboard.conftest import ask
from tests.unit.dashboard.simulated import MODELS, RUN, SimulatedSource

from seakeep.clock import parse_moment
from seakeep.dashboard.app import create_app, quality_metric
from seakeep.dashboard.values import ModelPage, NowPage, PredictionPage, RunPage, VersionPage
from seakeep.errors import AccessError, IntegrityError, NotFoundError, UnavailableError
from seakeep.records.finding import Page

VOID = {"meta", "link", "input", "wbr", "br", "img"}


class Tree(HTMLParser):
    """Checks that tags nest, and gathers what they carry."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


def prediction_id(source):
    return source.model(MODELS[0], None, None).recent[0].id


def addresses(source):
    return {
        "/": NowPage,
        "/models/late-arrival": ModelPage,
        "/models/turnaround": ModelPage,
        "/models/late-arrival?from=2013-07-05&to=2013-07-09": ModelPage,
        "/models/late-arrival?from=2013-06-01&to=2013-06-09": ModelPage,
        f"/predictions/{prediction_id(source)}": PredictionPage,
        f"/runs/{RUN}": RunPage,
        "/versions/late-arrival%3A3": VersionPage,
    }


def twin_of(address):
    path, _, query = address.partition("?")
    return f"{'/now' if path == '/' else path}.json" + (f"?{query}" if query else "")


def test_every_page_is_well_formed_and_its_links_lead_somewhere(app, source):
    seen = set()
    for address in addresses(source):
        answer = ask(app, address)
        assert answer.status == 200, address
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        tree = Tree(answer.text)
        ids = tree.values("id")
        assert len(ids) == len(set(ids))
        assert tree.tags.count("h1") == 1
        for link in tree.values("href") + tree.values("src") + tree.values("hx-get"):
            if link.startswith("#"):
                assert link[1:] in ids
                continue
            assert link.startswith("/"), link
            if link not in seen:
                seen.add(link)
                assert ask(app, link.partition("#")[0]).status == 200, link
    assert any(link.startswith("/predictions/") for link in seen)


def test_links_with_an_anchor_find_it_on_the_other_page(app):
    links = {link for link in Tree(ask(app, "/").text).values("href") if "#" in link and not link.startswith("#")}
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        assert anchor in Tree(ask(app, path).text).values("id"), link


def test_every_twin_decodes_to_the_value_of_its_page(app, source):
    for address, kind in addresses(source).items():
        answer = ask(app, twin_of(address))
        assert answer.headers["content-type"] == "application/json"
        decoded = msgspec.json.decode(answer.body, type=kind)
        assert isinstance(decoded, kind)
    assert msgspec.json.decode(ask(app, "/now.json").body, type=NowPage) == source.now()
    expected = source.model(MODELS[0], parse_moment("2013-07-05"), parse_moment("2013-07-09"))
    decoded = msgspec.json.decode(
        ask(app, "/models/late-arrival.json?from=2013-07-05&to=2013-07-09").body, type=ModelPage
    )
    assert decoded == expected


def test_each_page_names_its_twin(app, source):
    for address in addresses(source):
        assert html.unescape(twin_of(address)) in Tree(ask(app, address).text).values("href")


def test_now_says_what_the_source_says(app, source):
    text = Tree(ask(app, "/").text).text
    row = source.now().models[0]
    assert f"{row.predictions:,}" in text
    assert row.verdict.headline in text
    assert "late-arrival needs attention." in text
    assert "Model failing" in text
    assert "Steady" in text
    assert f"{row.estimated.value:.2f}" in text
    assert f"{row.realised.value:.2f} recall ({row.realised.low:.2f} to {row.realised.high:.2f})" in text
    assert "candidate, 10\N{NO-BREAK SPACE}%".replace("\N{NO-BREAK SPACE}", " ") in text.replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_pages_and_losses_are_told_before_all_else():
    class Paged(SimulatedSource):
        def now(self):
            page = Page(model=MODELS[0], version=3, time_us=0, reasons=("3 % <failed>", "slow"), action="")
            return msgspec.structs.replace(super().now(), pages=(page,), losses=("12 bytes cannot be read",))

    text = Tree(ask(create_app(Paged(), name="p"), "/").text).text
    assert f"{MODELS[0]}:3" in text
    assert "3 % <failed>; slow" in text
    assert text.index("12 bytes cannot be read") < text.index("Traffic")


def test_a_project_without_models_says_what_to_do():
    class Empty(SimulatedSource):
        def now(self):
            return NowPage(now_us=1, from_us=0, to_us=1, models=(), receipts=())

    text = Tree(ask(create_app(Empty(), name="new"), "/").text).text
    assert "No model is served yet." in text
    assert "seakeep train" in text


def test_the_model_page_ranks_what_changed_by_effect(app, source):
    text = ask(app, "/models/late-arrival").text
    strongest = max(source.model(MODELS[0], None, None).findings, key=lambda f: abs(f.effect))
    section = text[text.index('id="drift"') :]
    places = {f.subject: section.index(f.sentence) for f in source.model(MODELS[0], None, None).findings}
    assert min(places, key=places.get) == strongest.subject


def test_a_live_page_polls_itself_and_gets_only_its_live_part(app):
    page = Tree(ask(app, "/").text)
    assert page.values("hx-get") == ["/"]
    assert page.values("hx-trigger") == ["every 2000ms"]
    part = ask(app, "/", hx_request="true")
    assert "<html" not in part.text
    assert "<script" not in part.text
    assert part.headers["vary"] == "HX-Request"
    assert Tree(part.text).tags.count("h1") == 1


def test_only_a_range_that_follows_now_is_refreshed(app):
    assert Tree(ask(app, "/models/late-arrival?from=2013-07-20").text).values("hx-get") == [
        "/models/late-arrival?from=2013-07-20"
    ]
    assert Tree(ask(app, "/models/late-arrival?from=2013-07-20&to=2013-07-21").text).values("hx-get") == []


def test_a_range_that_cannot_be_read_is_the_askers_fault(app):
    for query in (
        "from=yesterday",
        "to=1969-12-31",
        "from=9999-01-01",
        "from=2013-07-02&to=2013-07-01",
        "from=%3Cb%3E",
    ):
        answer = ask(app, f"/models/late-arrival?{query}")
        assert answer.status == 400, query
        assert "<b>" not in answer.text.replace("<b>Hint</b>", "")
        assert ask(app, f"/models/late-arrival.json?{query}").json()["error"] == "row"


@pytest.mark.parametrize(
    "address",
    ["/models/nobody", "/predictions/nothing", "/runs/r-0", "/versions/late", "/elsewhere", "/static/none.js"],
)
def test_what_nobody_knows_is_a_friendly_404(app, address):
    answer = ask(app, address)
    assert answer.status == 404
    assert "Back to Now" in answer.text
    assert Tree(answer.text).tags.count("h1") == 1
    twin = ask(app, f"{address}.json")
    assert twin.status == 404
    assert twin.json()["error"] == "not-found"


def test_not_found_carries_the_sources_hint(app):
    answer = ask(app, "/models/nobody")
    assert "known: late-arrival, turnaround" in answer.text


class Broken(SimulatedSource):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def now(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("gone", hint="look elsewhere"), 404),
        (AccessError("no", hint="ask the owner"), 403),
        (UnavailableError("the recorder is away", retry_after_s=7, hint="wait"), 503),
        (IntegrityError("the chain does not verify", hint="run `seakeep audit`"), 500),
    ],
)
def test_a_fault_of_the_source_is_shown_with_its_hint(error, status):
    app = create_app(Broken(error), name="x")
    answer = ask(app, "/", hx_request="true")
    assert answer.status == status
    assert error.message in answer.text.lower()
    assert html.escape(error.hint) in answer.text
    assert answer.headers["hx-reswap"] == "none"
    assert (answer.headers.get("retry-after") == "7") == (status == 503)
    assert ask(app, "/now.json").json() == {"error": error.code, "message": error.message, "hint": error.hint}


def test_an_unforeseen_fault_tells_nothing_of_the_inside_and_reaches_the_log():
    app = create_app(Broken(ValueError("password=hunter2 in /srv/secret")), name="x")
    with pytest.raises(ValueError, match="hunter2"):
        ask(app, "/")
    answer = ask(app, "/", raises=False)
    assert answer.status == 500
    assert "hunter2" not in answer.text
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_metric_drawn_is_recall_or_the_first_known(source):
    page = source.model(MODELS[0], None, None)
    assert quality_metric(page) == "recall"
    assert quality_metric(msgspec.structs.replace(page, quality=())) == "recall"
    windows = tuple(
        msgspec.structs.replace(w, estimated={}, realised={k: v for k, v in w.realised.items() if k != "recall"})
        for w in page.quality
    )
    assert quality_metric(msgspec.structs.replace(page, quality=windows)) == "precision"


def test_releases_tell_what_was_in_production_when(app):
    text = Tree(ask(app, "/models/late-arrival").text).text.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"2013-07-09 16:30 rollback to 3 late-arrival:3 champion seakeep: log-loss worse", text)
    assert "advance 2 to 10 %" in text


def test_why_shows_every_digit_of_the_inputs_and_whether_it_is_bit_equal(app, source):
    identity = prediction_id(source)
    page = source.prediction(identity)
    text = Tree(ask(app, f"/predictions/{identity}").text).text
    wind = next(f.value for f in page.features if f.name == "wind_speed")
    assert repr(wind) in text
    assert "Bit-equal" in text
    assert "14 min before" in text.replace("\N{NO-BREAK SPACE}", " ")
