import pytest

from seakeep.project.source import SourceLines

TEXT = """import seakeep as sk

flights = sk.Events("flights", time="scheduled")
arrivals = sk.Events(
    "arrivals",
    time="landed",
)
tables = {
    flights: "flights.csv",
    arrivals: "arrivals.csv",
}
one = sk.FeatureView("one", source=arrivals, entity="carrier", features={
    "rate": sk.mean("delay", over=["1h"]),
})
other = sk.FeatureView("other", source=arrivals, entity="dest", features={
    "rate": sk.mean("delay", over=["1h", "7x"]),
})
"""


@pytest.mark.parametrize(
    ("words", "message", "line"),
    [
        ((), "", 1),
        (("flights",), "", 3),
        (("arrivals",), "", 4),
        (("arrivals", "time"), "", 6),
        (("tables", "arrivals"), "", 10),
        (("one", "rate"), "", 13),
        (("other", "rate"), "", 16),
        (("other",), "other.rate: '7x' is not a duration", 16),
        (("one",), "there is no column 'delay'", 13),
        (("other", "entity"), "", 15),
        (("nowhere",), "", 1),
        (("other", "nowhere"), "", 15),
    ],
)
def test_words_lead_to_the_line(words, message, line):
    assert SourceLines(TEXT).line(*words, message=message) == line


def test_a_word_may_name_the_kind_of_declaration():
    text = 'sky = sk.Events("sky", time="t")\nview = FeatureView("sky", source=sky)\n'
    assert [SourceLines(text).line(word) for word in ("sky", "FeatureView:sky", "Model:sky")] == [1, 2, 1]


def test_a_declaration_is_found_before_a_string_of_its_name():
    text = 'x = ["late"]\nlate = sk.Model("late", train=f)\n'
    assert SourceLines(text).line("late") == 2
