"""Networks as estimators: what they answer, what they refuse, and how they are stored."""

import pickle  # noqa: TID251 -- the proof that what was written can be read
import pickletools
import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seakeep.errors import TrainingError
from seakeep.training.artefact import to_bytes
from seakeep.training.network import Network, from_pt2, of_program, to_pt2

torch = pytest.importorskip("torch", reason="needs the extra `torch`")
nn = torch.nn
ROWS = np.random.default_rng(0).normal(size=(20, 3))


def layer(outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, outputs), nn.Dropout(0.5))


class Odd(nn.Module):
    """A network whose forward is any function."""

    def __init__(self, forward):
        super().__init__()
        self.last = nn.Linear(3, 1)
        self.told = forward

    def forward(self, rows):
        return self.told(self, rows)


def by_hand(module, rows=ROWS):
    with torch.no_grad():
        return module.eval()(torch.from_numpy(rows.astype(np.float32))).numpy().astype(np.float64)


def test_logits_of_one_column_are_the_logistic_of_class_1_and_of_several_a_softmax():
    one = Network(layer(), gives="logits", inputs=3)
    expected = 1 / (1 + np.exp(-by_hand(layer())[:, 0]))
    np.testing.assert_allclose(one.predict_proba(ROWS), np.column_stack([1 - expected, expected]), rtol=1e-12)
    assert one.classes_.tolist() == [0, 1]
    assert is_classifier(one)
    three = Network(layer(3), gives="logits", inputs=3)
    powers = np.exp(by_hand(layer(3)))
    np.testing.assert_allclose(three.predict_proba(ROWS), powers / powers.sum(1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(three.predict(ROWS), powers.argmax(1))
    assert three.classes_.tolist() == [0, 1, 2]


def test_values_make_a_regressor_without_classes():
    for outputs, shape in ((1, (20,)), (2, (20, 2))):
        network = Network(layer(outputs), gives="values", inputs=3)
        np.testing.assert_array_equal(network.predict(ROWS), by_hand(layer(outputs)).reshape(shape))
    assert is_regressor(network)
    assert not hasattr(network, "classes_")
    assert not hasattr(network, "predict_proba")


def test_it_is_the_last_step_of_a_pipeline_whose_fit_does_not_train_it_and_whose_module_stays_as_it_is():
    module = layer()
    assert module.training
    scaler = StandardScaler().fit(ROWS * 2)
    pipeline = make_pipeline(scaler, Network(module, gives="logits", inputs=3))
    told = pipeline.predict_proba(ROWS)
    np.testing.assert_allclose(
        told[:, 1], 1 / (1 + np.exp(-by_hand(layer(), scaler.transform(ROWS))[:, 0])), rtol=1e-12
    )
    assert pipeline.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(pipeline.fit(ROWS * 2, np.ones(20)).predict_proba(ROWS), told)
    np.testing.assert_array_equal(clone(pipeline[-1]).predict_proba(ROWS), pipeline[-1].predict_proba(ROWS))
    assert module.training


@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "NaN"), (np.inf, "infinity"), (1e16, "too large"), (-1e16, "too large")]
)
def test_rows_that_single_precision_cannot_hold_are_refused(value, told):
    rows = ROWS.copy()
    rows[4, 1] = value
    with pytest.raises(ValueError, match=told):
        Network(layer(), gives="logits", inputs=3).predict_proba(rows)


def test_another_number_of_columns_is_told():
    with pytest.raises(ValueError, match="takes 3 numbers a row, not 2"):
        Network(layer(), gives="logits", inputs=3).predict_proba(ROWS[:, :2])
    with pytest.raises(TrainingError, match="cannot be exported"):
        Network(layer(), gives="logits", inputs=4).predict_proba(np.ones((5, 4)))


def test_it_is_stored_as_a_program_without_the_classes_of_the_project_and_equal_ones_are_equal_bytes():
    network = Network(Odd(lambda self, rows: torch.tanh(self.last(rows))), gives="values", inputs=3)
    told = network.predict(ROWS)
    stored = to_bytes(network)
    texts = {told for code, told, _ in pickletools.genops(stored) if code.name.endswith("UNICODE")}
    assert texts == {"seakeep.training.network", "Network", "gives", "values", "inputs", "content"}
    back = pickle.loads(stored)
    np.testing.assert_array_equal(back.predict(ROWS), told)
    assert to_bytes(back) == to_bytes(network) == stored
    one, other = (to_bytes(Network(layer(), gives="logits", inputs=3)) for _ in range(2))
    assert one == other


def test_a_program_is_a_network_too_and_one_for_a_fixed_number_of_rows_is_refused():
    whole = Network(layer(), gives="logits", inputs=3)
    back = of_program(from_pt2(to_pt2(whole.program)), gives="logits")
    assert back.inputs == 3
    np.testing.assert_array_equal(back.predict_proba(ROWS), whole.predict_proba(ROWS))
    fixed = torch.export.export(layer().eval(), (torch.zeros(5, 3),))
    with pytest.raises(TrainingError, match="not one of float32 for any number of rows") as refusal:
        of_program(fixed, gives="logits")
    assert "dynamic" in refusal.value.hint
    with pytest.raises(TrainingError, match="cannot be read"):
        from_pt2(b"PK nothing of the kind")


REFUSED = {
    "a branch on the data": (
        lambda self, rows: self.last(rows) if rows.sum() > 0 else -self.last(rows),
        "branches on the numbers it is given",
        "torch.where",
    ),
    "a size from the data": (
        lambda self, rows: self.last(rows)[: int(rows[0, 0].item())],
        "branches on the numbers|cannot be exported",
        "",
    ),
    "numpy inside": (lambda self, rows: torch.from_numpy(np.tanh(rows.numpy())), "cannot be exported|takes|gives", ""),
    "two tensors": (lambda self, rows: (self.last(rows), rows), "gives 2 tensors", "wrap it"),
    "a matrix a row": (lambda self, rows: self.last(rows)[:, :, None], "gives 1 tensors", "wrap it"),
    "codes": (lambda self, rows: rows.long(), "int64", "wrap it"),
    "chance": (lambda self, rows: self.last(rows) + torch.rand_like(rows[:, :1]), "answers otherwise", "random"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_function_of_one_row_in_one_graph_is_refused_with_its_reason(name):
    forward, reason, hint = REFUSED[name]
    with pytest.raises(TrainingError, match=reason) as refusal:
        Network(Odd(forward), gives="values", inputs=3).predict(ROWS)
    assert hint in refusal.value.hint


def test_weights_in_double_words_that_are_not_known_and_what_is_no_network_are_refused():
    with pytest.raises(TrainingError, match=r"weights of torch\.float64") as refusal:
        Network(layer().double(), gives="logits", inputs=3).predict_proba(ROWS)
    assert ".float()" in refusal.value.hint
    with pytest.raises(TrainingError, match="not 'sigmoid'"):
        Network(layer(), gives="sigmoid", inputs=3).predict_proba(ROWS)
    with pytest.raises(TrainingError, match="StandardScaler is not a network"):
        Network(StandardScaler(), gives="logits", inputs=3).predict_proba(ROWS)


def test_a_branch_that_is_refused_is_refused_when_it_is_stored_too():
    network = Network(Odd(REFUSED["a branch on the data"][0]), gives="values", inputs=3)
    with pytest.raises(TrainingError, match="branches on the numbers"):
        to_bytes(make_pipeline(StandardScaler(), network))


def test_it_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Network(layer(), gives="logits", inputs=3).predict_proba(ROWS)
