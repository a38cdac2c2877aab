"""Networks of PyTorch, in the form of :mod:`benchmarks.zoo.scikit_learn`; of few steps of training, whatever the size."""

import warnings

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import nn

from seakeep.training.network import Network

torch.set_num_threads(1)  # each side of the zoo is timed on one


class Trained(BaseEstimator):
    """A shorthand whose ``fit`` prepares, trains and returns the pipeline that a train function would."""

    def __init__(self, prepare, build, gives="logits"):
        self.prepare = prepare
        self.build = build
        self.gives = gives

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        """Fit, and return the plain pipeline."""
        torch.manual_seed(0)
        ready = np.asarray(self.prepare.fit_transform(X), dtype=np.float32)
        module = self.build(ready.shape[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._train(module, torch.from_numpy(ready), np.asarray(y))
        return make_pipeline(self.prepare, Network(module, gives=self.gives, inputs=ready.shape[1]))

    def _train(self, module, rows, y):
        optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
        for _ in range(10):
            optimiser.zero_grad()
            self._loss(module(rows), y).backward()
            optimiser.step()

    def _loss(self, given, y):
        if self.gives == "values":
            return nn.functional.mse_loss(given, torch.from_numpy(y.reshape(given.shape)).float())
        if given.dim() == 2 and given.shape[1] > 1:
            given = given if self.gives == "logits" else given.log()
            return nn.functional.cross_entropy(given, torch.from_numpy(y))
        loss = nn.functional.binary_cross_entropy
        loss = nn.functional.binary_cross_entropy_with_logits if self.gives == "logits" else loss
        return loss(given.reshape(-1), torch.from_numpy(y).float())


class Embedded(nn.Module):
    """The first column is a code, which gets an embedding."""

    def __init__(self, inputs, codes):
        super().__init__()
        self.embedding = nn.Embedding(codes, 4)
        self.hidden, self.last = nn.Linear(3 + inputs, 16), nn.Linear(16, 1)

    def forward(self, rows):
        """One logit a row."""
        codes = self.embedding(rows[:, 0].long())
        return self.last(torch.tanh(self.hidden(torch.cat([codes, rows[:, 1:]], 1))))[:, 0]


class Convolved(nn.Module):
    """The numbers as a short sequence."""

    def __init__(self, inputs):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2))
        self.last = nn.Linear(8 * (inputs // 2), 3)

    def forward(self, rows):
        """Three logits a row."""
        return self.last(self.body(rows[:, None, :]).flatten(1))


class Recurrent(nn.Module):
    """The numbers as two steps of two."""

    def __init__(self, _):
        super().__init__()
        self.memory, self.last = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, rows):
        """One logit a row."""
        return self.last(self.memory(rows.reshape(rows.shape[0], 2, 2))[0][:, -1])


class Attending(nn.Module):
    """Every number a token."""

    def __init__(self, _):
        super().__init__()
        self.first = nn.Linear(1, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
        self.last = nn.Linear(16, 1)

    def forward(self, rows):
        """One number a row."""
        return self.last(self.layer(self.first(rows[:, :, None])).mean(1))


class Branching(nn.Module):
    """Takes one of two ways, by the sum of all rows."""

    def __init__(self, inputs):
        super().__init__()
        self.last = nn.Linear(inputs, 1)

    def forward(self, rows):
        """One logit a row."""
        return self.last(rows) if rows.sum() > 0 else self.last(-rows)


class Drawing(nn.Module):
    """Adds noise, also when asked."""

    def __init__(self, inputs):
        super().__init__()
        self.last = nn.Linear(inputs, 1)

    def forward(self, rows):
        """One logit a row."""
        return self.last(rows + torch.randn_like(rows))


def layers(inputs, last, *end):
    """A perceptron."""
    return nn.Sequential(
        nn.Linear(inputs, 32),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.LayerNorm(32),
        nn.Linear(32, 16),
        nn.SiLU(),
        nn.Linear(16, last),
        *end,
    )


def scaled():
    """Numbers without gaps, of like size."""
    return make_pipeline(SimpleImputer(), StandardScaler())


def columns():
    """Numbers imputed and scaled, the text one-hot."""
    numbers = ["shift", "wide", "count", "skewed"]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numbers", scaled(), numbers), ("text", encoder, ["place"])])


def coded():
    """The text as a code from 0, unknown ones 0, before the scaled numbers."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=6)
    return ColumnTransformer([("text", encoder, ["place"])], remainder=scaled())


MODELS = {
    "PyTorch perceptron after a ColumnTransformer": (
        lambda _: Trained(columns(), lambda d: layers(d, 1)),
        "mixed",
        "binary",
    ),
    "PyTorch perceptron, probabilities of three": (
        lambda _: Trained(scaled(), lambda d: layers(d, 3, nn.Softmax(1)), "probabilities"),
        "missing",
        "codes",
    ),
    "PyTorch perceptron, two values": (
        lambda _: Trained(scaled(), lambda d: layers(d, 2), "values"),
        "missing",
        "pair",
    ),
    "PyTorch embedding of a text": (lambda _: Trained(coded(), lambda d: Embedded(d, 7)), "mixed", "binary"),
    "PyTorch embedding of a number": (
        lambda _: Trained(
            ColumnTransformer([("code", "passthrough", ["count"])], remainder=scaled()), lambda d: Embedded(d, 9)
        ),
        "plain",
        "binary",
    ),
    "PyTorch convolution": (lambda _: Trained(scaled(), Convolved), "missing", "codes"),
    "PyTorch LSTM": (lambda _: Trained(scaled(), Recurrent), "missing", "binary"),
    "PyTorch transformer": (lambda _: Trained(scaled(), Attending, "values"), "missing", "value"),
}
REFUSED = {
    "PyTorch, a branch on the data": (lambda _: Trained(scaled(), Branching), "missing", "binary"),
    "PyTorch, noise": (lambda _: Trained(scaled(), Drawing), "missing", "binary"),
}
MODELS |= REFUSED
