"""How a model file is to be read: what its owner allows, and what the file cannot say itself."""

from __future__ import annotations

from typing import Literal

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a model file beside its bytes.

    Attributes
    ----------
    trust_pickle
        A pickle, or another file with code in it, which runs what it likes, is read in a cage.
    without_cage
        And even where this system gives no full cage.
    gives
        Of a network, what its output is, as of :class:`~seakeep.training.network.Network`; ``""``: not said.
    network
        Of weights alone, ``"module:name"``: a function or class in the project's files that gives, without arguments,
        the ``torch.nn.Module`` they are of; ``""``: not said.
    """

    trust_pickle: bool = False
    without_cage: bool = False
    gives: Literal["", "logits", "probabilities", "values"] = ""
    network: str = ""
