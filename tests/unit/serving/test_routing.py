import dataclasses

import msgspec
import pytest
from tests.serving_rig import candidate

from seakeep.records.outputs import number
from seakeep.records.release import Route
from seakeep.serving.routing import Traffic, place_of, share_out


@pytest.fixture
def loaded(rig):
    routes = [rig.put(number) for number in (1, 2, 3)]
    return routes, {route.bundle: rig.load(route) for route in routes}


@pytest.mark.parametrize(
    ("key", "model", "version", "place"),
    [
        ("", "late", 2, 0.8013249140863714),
        ("f1", "late", 2, 0.7074543316204094),
        ("f1", "late", 3, 0.034100167159551366),
        ("f1", "latf", 2, 0.042602665773759096),
        ("\u00e9\U0001f6a2", "late", 2, 0.3648186899900447),
    ],
)
def test_a_key_keeps_its_place_from_release_to_release_of_this_software(key, model, version, place):
    assert place_of(key, model=model, version=version) == place


def test_without_a_candidate_the_champion_answers_all(loaded):
    (first, *_), versions = loaded
    traffic = Traffic(versions[first.bundle])
    assert traffic.choose("any") == (versions[first.bundle], "champion")
    assert not traffic.split
    assert traffic.shadow_of(traffic.champion) is None
    assert traffic.versions == (traffic.champion,)
    assert traffic.version(1) is traffic.champion
    assert traffic.version(2) is None


@pytest.mark.parametrize(("weight", "role", "split"), [(0.0, "champion", False), (1.0, "canary", False)])
def test_at_the_ends_the_key_does_not_matter(loaded, weight, role, split):
    (first, second, _), versions = loaded
    traffic = Traffic(versions[first.bundle], versions[second.bundle], weight)
    assert {traffic.choose(str(key))[1] for key in range(50)} == {role}
    assert traffic.split is split


def test_each_version_scores_in_the_shadow_of_the_other(loaded):
    (first, second, _), versions = loaded
    one, two = versions[first.bundle], versions[second.bundle]
    traffic = Traffic(one, two, 0.5)
    assert traffic.split
    assert (traffic.shadow_of(one), traffic.shadow_of(two)) == (two, one)
    assert (traffic.version(1), traffic.version(2), traffic.version(3)) == (one, two, None)
    for key in map(str, range(50)):
        version, role = traffic.choose(key)
        assert (version, role) == (
            (two, "canary") if place_of(key, model="late", version=2) < 0.5 else (one, "champion")
        )


def test_traffic_follows_the_routes_as_far_as_their_versions_are_loaded(loaded):
    (first, second, third), versions = loaded
    routes = (first, candidate(second, 0.25))

    def shared(*names: Route, before: Traffic | None = None) -> Traffic | None:
        return share_out(routes, {route.bundle: versions[route.bundle] for route in names}, before)

    old = Traffic(versions[third.bundle])
    assert shared(first, second) == Traffic(versions[first.bundle], versions[second.bundle], 0.25)
    assert shared(first, before=old) == Traffic(versions[first.bundle])
    assert shared(second, before=old) is old
    assert shared(before=old) is old
    assert shared() is None
    assert share_out((), versions, old) is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_the_routes_does_not_matter(loaded, order):
    (first, second, _), versions = loaded
    routes = (first, candidate(second, 0.25))
    traffic = share_out([routes[place] for place in order], versions, None)
    assert (traffic.champion.number, traffic.candidate.number) == (1, 2)


def test_a_version_that_stands_by_takes_part_without_a_share(rig, loaded):
    (first, second, third), versions = loaded
    standing = msgspec.structs.replace(third, role="standby", weight=0.0)
    traffic = share_out([first, candidate(second, 0.5), standing], versions, None)
    assert traffic.standby is versions[third.bundle]
    assert [one.number for one in traffic.versions] == [1, 2, 3]
    assert {traffic.choose(str(key))[0].number for key in range(50)} == {1, 2}
    assert traffic.can_degrade
    assert share_out([first, standing], {first.bundle: versions[first.bundle]}, None).standby is None
    assert not share_out([first], versions, None).can_degrade
    of_another_kind = dataclasses.replace(versions[third.bundle], outputs=number())
    assert not dataclasses.replace(traffic, standby=of_another_kind).can_degrade


def test_an_a_b_test_keeps_its_share_and_its_column(loaded):
    (first, second, _), versions = loaded
    held = msgspec.structs.replace(candidate(second, 0.5), held=True, by="carrier")
    traffic = share_out([first, held], versions, None)
    assert (traffic.held, traffic.by, traffic.weight) == (True, "carrier", 0.5)
    assert share_out([first, candidate(second, 0.5)], versions, None).held is False
