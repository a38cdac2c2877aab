"""Networks of PyTorch and Keras as estimators: what a train function returns of them, alone or as a pipeline's last step.

A network is kept as the program that ``torch.export`` makes of it: operators and float32 weights, without the classes of
the project that built it. The program answers from the first prediction on, so what is judged is what is stored.
"""

from __future__ import annotations

import copy
import io
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags, check_array
from sklearn.utils.metaestimators import available_if

from seakeep.errors import TrainingError
from seakeep.training.usercode import framework_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Gives = Literal["logits", "probabilities", "values"]
LARGEST = 1e15
"""Numbers beyond are refused: the squares that a normalisation adds up must have room in single precision."""
_ALIKE = 1e-5
_COMPARED = 64


class Network(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A trained network with the methods of a scikit-learn estimator.

    Parameters
    ----------
    module
        A trained ``torch.nn.Module``, or a ``keras.Model`` on Keras' torch backend. It takes one float32 tensor
        ``(n, inputs)`` and gives one float32 tensor ``(n,)`` or ``(n, k)``. It is asked in evaluation mode, on the CPU;
        the module given stays as it is.
    gives
        What its output is. ``"logits"``: of one column the logistic function is taken, of several the softmax;
        ``"probabilities"``: of the class 1, or of every class; ``"values"``: what a regressor predicts.
    inputs
        How many numbers a row has.

    Notes
    -----
    Preparation belongs into the steps of a scikit-learn pipeline before it. A row with a missing or infinite number, or
    one beyond ``1e15``, is refused.

    Raises
    ------
    TrainingError
        At the first use: the network cannot be exported, or gives something else.
    """

    def __init__(self, module: Any, *, gives: Gives, inputs: int) -> None:
        self.module = module
        self.gives = gives
        self.inputs = inputs

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 -- scikit-learn's names
        """Do nothing: the network is trained already."""
        return self

    @available_if(lambda self: self.gives != "values")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Probabilities of the classes, ``(n, classes)``, float64."""
        raw = self._raw(X)
        with np.errstate(over="ignore"):
            if self.gives == "logits" and raw.shape[1] > 1:
                powers = np.exp(raw - raw.max(axis=1, keepdims=True))
                raw = powers / powers.sum(axis=1, keepdims=True)
            elif self.gives == "logits":
                raw = 1 / (1 + np.exp(-raw))
        return np.column_stack([1 - raw, raw]) if raw.shape[1] == 1 else raw

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The numbers a regressor predicts, ``(n,)`` or ``(n, k)``; or the most probable class, ``(n,)``."""
        if self.gives != "values":
            likeliest: NDArray[Any] = self.predict_proba(X).argmax(axis=1)
            return likeliest
        raw = self._raw(X)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    @property
    def classes_(self) -> NDArray[np.int64]:
        """The classes, ``0 .. k - 1``; a regressor has none."""
        if self.gives == "values":
            raise AttributeError("a network that gives values has no classes")
        return np.arange(max(2, self.outputs))

    @property
    def n_features_in_(self) -> int:
        """How many numbers a row has."""
        return self.inputs

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for one row."""
        return _shape(self.program)[1]

    @property
    def program(self) -> Any:
        """The ``torch.export.ExportedProgram`` that answers."""
        if "_program" not in self.__dict__:
            if self.gives not in get_args(Gives):
                raise TrainingError(
                    f"a network gives {', '.join(get_args(Gives))}, not {self.gives!r}",
                    hint="say what its output is: without a last activation it gives logits, or values of a regressor",
                )
            self._program = exported(self.module, self.inputs)
        return self._program

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.gives == "values":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {"gives": self.gives, "inputs": self.inputs, "content": to_pt2(self.program)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.gives, self.inputs = state["gives"], state["inputs"]
        self._program = from_pt2(state["content"])
        self.module = None

    def __sklearn_clone__(self) -> Self:
        return copy.copy(self)

    def __copy__(self) -> Self:
        made = type(self)(self.module, gives=self.gives, inputs=self.inputs)
        made.__dict__.update(self.__dict__)
        return made

    def _raw(self, data: Any) -> NDArray[np.float64]:
        """What the network gives, float64 ``(n, k)``."""
        import torch

        numbers = check_array(data, dtype=np.float64)
        if numbers.shape[1] != self.inputs:
            raise ValueError(f"the network takes {self.inputs} numbers a row, not {numbers.shape[1]}")
        if np.abs(numbers).max() > LARGEST:
            raise ValueError(f"a number beyond {LARGEST:.0e} is too large for a network in single precision")
        rows = torch.from_numpy(numbers.astype(np.float32))
        if "_answer" not in self.__dict__:
            self._answer = self.program.module()
            if self.module is not None:
                _require_alike(_runnable(self.module), self._answer, rows[:_COMPARED])
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = self._answer(rows)
        made: NDArray[np.float64] = given.numpy().astype(np.float64).reshape(len(numbers), -1)
        return made


def of_program(program: Any, *, gives: Gives) -> Network:
    """A network whose program is there already."""
    made = Network(None, gives=gives, inputs=_shape(program)[0])
    made._program = program  # noqa: SLF001 -- its own module
    return made


def exported(module: Any, inputs: int) -> Any:
    """The program of a module that takes float32 ``(n, inputs)``.

    Raises
    ------
    TrainingError
        It is no network, or cannot be exported as one graph, or takes or gives other tensors.
    """
    import torch

    runnable = _runnable(module)
    name = type(module).__name__
    numbers = [*runnable.parameters(), *runnable.buffers()]
    odd = {one.dtype for one in numbers if one.is_floating_point() and one.dtype != torch.float32}
    if odd:
        raise TrainingError(
            f"{name} has weights of {', '.join(sorted(map(str, odd)))}",
            hint="call .float() on the module: float32 is what is served",
        )
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                runnable, (torch.zeros(2, inputs),), dynamic_shapes=({0: torch.export.Dim("rows")},)
            )
    except Exception as error:  # the border to the user's module and to the exporter, which raise what they like
        raise _not_exported(name, error) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines and folders of the project, which another machine does not have
    if _shape(program)[0] != inputs:
        raise TrainingError(f"{name} takes {_shape(program)[0]} numbers a row, not {inputs}", hint="mend inputs=")
    return program


def to_pt2(program: Any) -> bytes:
    """A program as the bytes of a ``.pt2`` file; equal programs give equal bytes."""
    import torch

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, content)
    return content.getvalue()


def from_pt2(content: bytes) -> Any:
    """The program of a ``.pt2`` file.

    Raises
    ------
    TrainingError
        The file is damaged, or the program takes or gives other tensors than a :class:`Network` does.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(content))
    except Exception as error:  # a foreign file: the reader raises what it likes
        raise TrainingError(
            f"the program cannot be read: {type(error).__name__}: {_first_line(error)}",
            hint="write it with torch.export.save, with the torch that is installed here",
        ) from error
    _shape(program)
    return program


def _runnable(module: Any) -> Any:
    """The module in evaluation mode, on the CPU."""
    import torch

    framework = framework_of(module)
    if not isinstance(module, torch.nn.Module):
        raise TrainingError(
            f"{type(module).__name__} is not a network of PyTorch"
            if framework != "Keras"
            else f"{type(module).__name__} was built on another backend of Keras than torch",
            hint="set KERAS_BACKEND=torch before keras is imported; a .keras file made on another backend loads there"
            if framework == "Keras"
            else "hand over a trained torch.nn.Module, or a keras.Model on Keras' torch backend",
        )
    return _keras_module(module) if framework == "Keras" else copy.deepcopy(module).cpu().eval()


def _keras_module(model: Any) -> Any:
    import torch

    class Inference(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # typed only where torch is installed
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, rows: Any) -> Any:
            return self.model(rows, training=False)

    return Inference().eval()


def _shape(program: Any) -> tuple[int, int]:
    """How many numbers a program takes and gives for one row.

    Raises
    ------
    TrainingError
        It takes or gives something else, or a fixed number of rows only.
    """
    import torch

    signature = program.graph_signature
    by_name = {node.name: node.meta.get("val") for node in program.graph.nodes}
    found = []
    for what, names in (("takes", signature.user_inputs), ("gives", signature.user_outputs)):
        tensors = [by_name.get(name) for name in names]
        told = ", ".join(f"{one.dtype} {tuple(one.shape)}" for one in tensors if isinstance(one, torch.Tensor))
        one = tensors[0] if tensors else None
        if (
            len(tensors) != 1
            or not isinstance(one, torch.Tensor)
            or one.dtype != torch.float32
            or one.dim() not in ({2} if what == "takes" else {1, 2})
            or not isinstance(one.shape[0], torch.SymInt)
            or any(isinstance(size, torch.SymInt) for size in one.shape[1:])
        ):
            raise TrainingError(
                f"the network {what} {len(tensors)} tensors ({told}), not one of float32 for any number of rows",
                hint="wrap it in a module whose forward takes (n, inputs) and gives (n,) or (n, k); export it with a dynamic first dimension",
            )
        found.append(int(one.shape[1]) if one.dim() == 2 else 1)
    return found[0], found[1]


def _require_alike(module: Any, answer: Any, rows: Any) -> None:
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, given = module(rows), answer(rows)
    if not torch.allclose(expected, given, rtol=_ALIKE, atol=_ALIKE, equal_nan=True):
        raise TrainingError(
            "the exported network answers otherwise than the module on the same rows",
            hint="let forward depend on its rows alone: no random numbers, no state that it changes",
        )


def _not_exported(name: str, error: Exception) -> TrainingError:
    told = _first_line(error)
    if "data-dependent" in str(error):
        return TrainingError(
            f"{name}.forward branches on the numbers it is given, and an exported graph would follow one branch for all: {told}",
            hint="compute both sides and choose row by row with torch.where",
        )
    return TrainingError(
        f"{name} cannot be exported as one graph: {type(error).__name__}: {told}",
        hint="use operators of torch alone in forward, for any number of rows",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
