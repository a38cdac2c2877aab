import pytest

import seakeep as sk
from seakeep.errors import NotFoundError
from seakeep.features.plan import view_columns
from seakeep.features.prune import without

ORDERS = sk.Events("orders", time="ordered", key="id")
RETURNS = sk.Events("returns", time="told", key="id")
RECENT = sk.FeatureView(
    "recent",
    source=RETURNS,
    entity="shop",
    features={"rate": sk.mean("returned", over=["24h", "7d"]), "last": sk.latest("returned", within="7d")},
)
MODEL = sk.Model(
    "returned",
    on=ORDERS,
    features=[RECENT, sk.RequestFeatures(price=sk.col("price"), shop=sk.col("shop"))],
    label=sk.Label(RETURNS, sk.col("returned") > 0),
    train=len,
)


def names(definition):
    return [name for view in definition.views for name, _, _ in view_columns(view)] + [*definition.request_features]


def test_a_window_a_feature_and_a_request_feature_can_go_and_the_rest_keeps_its_order():
    definition = MODEL.definition
    fewer = without(definition, ("recent.rate_24h", "recent.last", "price"))
    assert names(definition) == ["recent.rate_24h", "recent.rate_7d", "recent.last", "price", "shop"]
    assert names(fewer) == ["recent.rate_7d", "shop"]
    assert names(without(definition, ("recent.last",))) == ["recent.rate_24h", "recent.rate_7d", "price", "shop"]


def test_a_view_that_gives_nothing_any_more_is_gone():
    fewer = without(MODEL.definition, ("recent.rate_24h", "recent.rate_7d", "recent.last"))
    assert fewer.views == ()
    assert names(fewer) == ["price", "shop"]


def test_without_nothing_it_is_the_same():
    assert names(without(MODEL.definition, ())) == names(MODEL.definition)


def test_an_input_that_is_not_there_is_told_with_one_that_is():
    with pytest.raises(NotFoundError, match=r"no input 'recent.rate_24'") as caught:
        without(MODEL.definition, ("recent.rate_24",))
    assert "recent.rate_24h" in caught.value.hint
