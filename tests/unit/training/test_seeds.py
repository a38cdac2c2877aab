import random
import types

import numpy as np

from seakeep.training.seeds import set_seeds


def drawn():
    return random.random(), float(np.random.rand())  # noqa: NPY002 -- the generator that a user's code may draw from


def test_what_the_global_generators_draw_is_the_seeds():
    set_seeds(3)
    first = drawn()
    set_seeds(3)
    assert drawn() == first
    set_seeds(4)
    assert drawn() != first


def test_frameworks_in_use_are_seeded_and_torch_is_told_to_repeat_itself(monkeypatch):
    told = []
    torch = types.SimpleNamespace(
        manual_seed=lambda seed: told.append(("torch", seed)),
        use_deterministic_algorithms=lambda mode: told.append(("deterministic", mode)),
    )
    utils = types.SimpleNamespace(set_random_seed=lambda seed: told.append(("keras", seed)))
    monkeypatch.setitem(__import__("sys").modules, "torch", torch)
    monkeypatch.setitem(__import__("sys").modules, "keras", types.SimpleNamespace(utils=utils))
    set_seeds(7)
    assert sorted(told) == [("deterministic", True), ("keras", 7), ("torch", 7)]
