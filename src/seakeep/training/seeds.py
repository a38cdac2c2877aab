"""The global generators that a user's training may draw from."""

from __future__ import annotations

import random
import sys

import numpy as np


def set_seeds(seed: int) -> None:
    """Let code that draws from the global generators draw the same every time.

    PyTorch and Keras are seeded if the project's file imported them, and PyTorch is told to use only algorithms that
    give the same bits again. Imported later, inside ``train``, PyTorch starts from its own fixed seed, and Keras draws
    its seeds from :mod:`random`.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002, TID251 -- the user's code may draw from it; ours does not
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(mode=True)
