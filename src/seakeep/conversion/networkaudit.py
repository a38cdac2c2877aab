"""What a network's archive may hold: told part by part before a library reads it, since these libraries run code.

``torch.export.load`` unpickles parts that say so (``use_pickle``), loads compiled libraries, hands sizes to ``eval``
(``sympy.sympify``), and looks operators up by dotted names within ``torch``. Keras imports what a configuration names, and
HDF5 follows links to other files. Here stands what is admitted; all else is refused by name.

References
----------
``torch/export/pt2_archive/_package.py`` and ``torch/_export/serde/serialize.py``; ``keras/src/saving/serialization_lib.py``.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from seakeep.errors import ConversionError

_PARTS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id)|models/[\w-]+\.json"
    r"|data/weights/(weight_\d+|[\w-]+_config\.json)|data/constants/(tensor_\d+|[\w-]+_config\.json)"
    r"|data/sample_inputs/[\w-]+\.pt|extra/.*"
)
_CONFIGURATION = "_config.json"
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.[a-zA-Z]\w*(\.[a-zA-Z]\w*)?|torch\.sym_[a-z]+"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|getitem|and_|or_|not_)"
)
_WORDS = frozenset(
    [
        "Symbol",
        "Integer",
        "Rational",
        "Float",
        "Add",
        "Mul",
        "Pow",
        "Max",
        "Min",
        "Mod",
        "PythonMod",
        "FloorDiv",
        "CleanDiv",
        "CeilToInt",
        "IntTrueDiv",
        "ToFloat",
        "ModularIndexing",
        "Eq",
        "Ne",
        "Equality",
        "Unequality",
        "GreaterThan",
        "LessThan",
        "StrictGreaterThan",
        "StrictLessThan",
        "And",
        "Or",
        "Not",
        "positive",
        "nonnegative",
        "integer",
        "True",
        "False",
        "true",
        "false",
    ]
)
_TOKENS = re.compile(r"[A-Za-z_]\w*|\d+|[-+*/()<>=!,' ]")
_SYMBOL = re.compile(r"[su]\d+")
_LONGEST_SIZE = 1_000
_KERAS = re.compile(
    r"keras(\.src)?(\.(layers|models|activations|initializers|regularizers|constraints|dtype_policies|ops|random)(\.\w+)*)?"
)
_TENSORFLOW = frozenset(
    {"Hashing", "HashedCrossing", "IntegerLookup", "StringLookup", "TFSMLayer", "TextVectorization"}
)
_CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper"})


def audit_pt2(content: bytes) -> None:
    """Refuse what a program needs not: pickles, compiled code, operators beyond torch's own, sizes that are no sums.

    Raises
    ------
    ConversionError
        Of any other part, by name.
    """
    import torch

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            part = name.partition("/")[2]
            if not _PARTS.fullmatch(part):
                raise _refused(f"the part {name[:200]}, which may be code")
            if part.startswith("models/"):
                _audit_program(json.loads(archive.read(name)))
            elif part.endswith(_CONFIGURATION):
                for key, value in _items(json.loads(archive.read(name))):
                    if key == "use_pickle" and value is not False:
                        raise _refused(f"pickled parts ({name[:200]})")
            elif part.startswith("data/sample_inputs/"):
                try:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                except Exception as error:  # torch would go on and read it as any pickle
                    raise _refused(f"a pickled part that is not of tensors alone ({name[:200]})") from error


def _audit_program(program: Any) -> None:
    if not isinstance(program, dict) or program.get("guards_code"):
        raise _refused("code that guards its inputs")
    for key, value in _items(program):
        if key in {"target", "as_operator"} and isinstance(value, str) and not _OPERATOR.fullmatch(value):
            raise _refused(f"the operator {value[:200]}, which is not one of torch's own on tensors")
        if key == "expr_str" and not _is_size(value):
            raise _refused(f"the size {str(value)[:200]!r}, which is no sum or product")


def _is_size(text: Any) -> bool:
    if not isinstance(text, str) or len(text) > _LONGEST_SIZE or _TOKENS.sub("", text):
        return False
    words = [one for one in _TOKENS.findall(text) if one[0].isalpha() or one[0] == "_"]
    return all(one in _WORDS or _SYMBOL.fullmatch(one) for one in words)


def _refused(what: str) -> ConversionError:
    return ConversionError(
        f"the program of torch.export holds {what}",
        hint="export the plain network again, with torch.export.export and torch.export.save",
    )


def keras_runs_code(content: bytes) -> bool:
    """Whether a Keras archive holds code: a Lambda layer, or a module of torch within."""
    return any(key == "class_name" and value in _CODE for key, value in _items(_configuration(content)))


def audit_keras(content: bytes) -> None:
    """Refuse layers that are not Keras' own or need TensorFlow, and weights that lie in other files.

    Raises
    ------
    ConversionError
        Of any such, by name.
    """
    for node in _nodes(_configuration(content)):
        kind, module = node.get("class_name"), node.get("module")
        if kind in _TENSORFLOW:
            raise ConversionError(
                f"the Keras model has the layer {kind}, which is of TensorFlow alone",
                hint="save the model without it, and let a scikit-learn step or the project's features do its part",
            )
        if "module" in node and "class_name" in node and not (isinstance(module, str) and _KERAS.fullmatch(module)):
            named = node.get("registered_name") or f"{module}.{kind if kind != 'function' else node.get('config')}"
            raise ConversionError(
                f"the Keras model is made of {str(named)[:200]}, which is not of Keras' own layers",
                hint="its code is not in the file: where it is, make a program of it: "
                "torch.export.save(sk.Network(model, gives=..., inputs=...).program, 'model.pt2')",
            )
    _audit_weights(content)


def _audit_weights(content: bytes) -> None:
    import h5py

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))

    def look(group: Any) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _elsewhere(name)
            one = group[name]
            if isinstance(one, h5py.Group):
                look(one)
            elif not isinstance(one, h5py.Dataset) or one.external or one.is_virtual:
                raise _elsewhere(name)

    with h5py.File(weights, "r") as file:
        look(file)


def _elsewhere(name: str) -> ConversionError:
    return ConversionError(
        f"the Keras archive's weights {name[:200]} lie in another place than the file", hint="save the model again"
    )


def _configuration(content: bytes) -> Any:
    """What is built; how it was compiled for training is read by nobody."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = json.loads(archive.read("config.json"))
    return {key: value for key, value in found.items() if key != "compile_config"} if isinstance(found, dict) else {}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All objects in decoded JSON."""
    open_ = [tree]
    while open_:
        node = open_.pop()
        if isinstance(node, dict):
            yield node
            open_ += node.values()
        elif isinstance(node, list):
            open_ += node


def _items(tree: Any) -> Iterator[tuple[str, Any]]:
    return (item for node in _nodes(tree) for item in node.items())
