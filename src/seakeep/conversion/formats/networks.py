"""Networks as files: programs of ``torch.export``, Keras archives, and weights of a network in the project."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from seakeep.conversion.formats.bounds import damaged, zip_entries
from seakeep.conversion.formats.format import Format, Taken, fitted
from seakeep.conversion.networkaudit import keras_runs_code
from seakeep.conversion.networkfile import network_format, read_network
from seakeep.conversion.reading import Reading
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn


def _recognise(form: str, *, code: bool | None = None) -> Callable[[bytes, str], bool]:
    def is_it(content: bytes, name: str) -> bool:
        zip_entries(content, name)  # with its bounds
        if network_format(content) != form:
            return False
        try:
            return code is None or keras_runs_code(content) is code
        except Exception as error:  # what it unpacks, and its JSON, may be anything
            raise damaged(name, "Keras archive", f"{type(error).__name__}: {str(error)[:200]}") from error

    return is_it


def _taker(form: str, *, code: bool = False) -> Callable[[bytes, Sequence[FeatureColumn], Reading], Taken]:
    def take(content: bytes, columns: Sequence[FeatureColumn], reading: Reading) -> Taken:
        if not reading.gives:
            raise ConversionError("it is not said what the network gives", hint="say it: --gives")
        module = _built(reading.network) if form == "safetensors" else None
        network = read_network(form, content, gives=reading.gives, inputs=len(columns), module=module, code=code)
        return fitted(network, columns)

    return take


def _built(name: str) -> Any:
    """What the project's function or class of this name gives."""
    place, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(place), attribute)()
    except Exception as error:  # the project's code raises what it likes
        raise ConversionError(
            f"{name} of the project gives no network: {type(error).__name__}: {str(error)[:500]}",
            hint="name a function or class, as module:name, that takes no arguments and gives the torch.nn.Module",
        ) from error


PT2 = Format(
    name="pt2",
    told="a program of torch.export",
    suffixes=(".pt2",),
    extra="torch",
    recognise=_recognise("pt2"),
    take=_taker("pt2"),
    needs=("gives",),
)
KERAS_CODE = Format(
    name="keras-code",
    told="a Keras archive with code in it",
    suffixes=(".keras",),
    extra="keras",
    recognise=_recognise("keras", code=True),
    take=_taker("keras", code=True),
    needs=("gives",),
    runs_code=True,
    caveat="it came with code of its own: that the model answers as the file's is only as true as whoever made the file",
)
KERAS = Format(
    name="keras",
    told="a Keras archive",
    suffixes=(".keras",),
    extra="keras",
    recognise=_recognise("keras", code=False),
    take=_taker("keras"),
    needs=("gives",),
)
SAFETENSORS = Format(
    name="safetensors",
    told="weights as safetensors",
    suffixes=(".safetensors",),
    extra="torch",
    recognise=_recognise("safetensors"),
    take=_taker("safetensors"),
    needs=("gives", "network"),
)
