"""All formats, in the order in which they are told apart. A new one is a module of this package and a line here."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from seakeep.conversion.formats import (
    catboostfile,
    lightgbmfile,
    networks,
    onnxfile,
    picklefile,
    skopsfile,
    xgboostfile,
)
from seakeep.conversion.formats.bounds import zip_entries
from seakeep.conversion.formats.format import Format, Taken
from seakeep.conversion.reading import Reading
from seakeep.errors import ConversionError, SeakeepError
from seakeep.records.feature import FeatureColumn

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        skopsfile.FORMAT,
        catboostfile.FORMAT,
        lightgbmfile.FORMAT,
        xgboostfile.JSON,
        xgboostfile.UBJ,
        networks.PT2,
        networks.KERAS_CODE,
        networks.KERAS,
        onnxfile.FORMAT,
        networks.SAFETENSORS,
        picklefile.FORMAT,  # last: its oldest forms begin as other files may
    )
}
_MOST_NOTES = 10
_PLAIN = Reading()


def format_of(content: bytes, name: str) -> Format:
    """Which format a file's bytes are in.

    Raises
    ------
    ConversionError
        None of them, or damaged.
    """
    for one in FORMATS.values():
        if one.recognise(content, name):
            return one
    told = ", ".join(one.told for one in FORMATS.values())
    if zip_entries(content, name):
        raise ConversionError(f"{name} is a zip archive, but of no format that is taken", hint=f"give {told}")
    raise ConversionError(
        f"{name} is in no format that is taken ({len(content):,} bytes, beginning {content[:12].hex(' ') or 'nowhere'})",
        hint=f"give {told}; a file cut off in the middle is not recognised either",
    )


def take(form: str, content: bytes, columns: Sequence[FeatureColumn], reading: Reading = _PLAIN) -> Taken:
    """The model in a file, in the cage alone.

    Raises
    ------
    SeakeepError
        Its library is not installed, it is damaged or holds what is not trusted, or has other inputs than the model.
    """
    chosen = FORMATS[form]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            taken = chosen.take(content, columns, reading)
        except SeakeepError:
            raise
        except ImportError as error:
            raise ConversionError(
                f"{chosen.told} needs a library that is not installed: {error}",
                hint=f"install seakeep[{chosen.extra}]",
            ) from error
        except Exception as error:  # damaged files make the libraries raise what they like
            raise ConversionError(
                f"{chosen.told} cannot be loaded: {type(error).__name__}: {str(error)[:500]}", hint="save it again"
            ) from error
    # That another release wrote it, for one, is told by libraries in this way.
    heard = dict.fromkeys(str(one.message)[:500] for one in said if issubclass(one.category, UserWarning))
    notes = (*taken.notes, *heard)[:_MOST_NOTES]
    return Taken(trained=taken.trained, emission=taken.emission, name=taken.name, notes=notes)
