"""Law 4: one version gives a row the same bits over HTTP v1, over HTTP v2 in every form, and in the scoring session."""

import struct

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL, REPLAY_TO_US, opened, wait_for

from seakeep.conversion.session import ScoringSession
from seakeep.recorder import query

pytestmark = pytest.mark.slow

ROWS = 300


@pytest.fixture(scope="module")
def version(recorded):
    bundle = recorded.bundle(recorded.resolve(MODEL))
    return bundle, ScoringSession(bundle.model)


@pytest.fixture(scope="module")
def asked(history):
    """Flights of the two days behind what the server has seen: some features are fresh, some old, some missing."""
    later = history.requests.between(REPLAY_TO_US, history.to_us)
    return [later[at] for at in np.linspace(0, len(later) - 1, ROWS, dtype=int)]


@pytest.fixture(scope="module")
def live(served, asked):
    """Rows asked over v1: the answers, and what the server recorded of them, in their order."""
    answers = served.predict(asked)
    wanted = [answer["id"] for answer in answers]

    def found():
        table = query.load(served.folder / ".seakeep/recorder/predictions", query.Query(model=MODEL), damage=[])
        place = {one: at for at, one in enumerate(table.id.tolist())}
        return table.select(np.array([place[one] for one in wanted])) if place.keys() >= set(wanted) else None

    return answers, wait_for(found)


def bits(scores):
    return np.asarray(scores, dtype=np.float64).view(np.int64).tolist()


def json_body(definition, numbers, categories):
    number, category = iter(numbers.T.tolist()), iter(categories.T.tolist())
    inputs = []
    for column in definition.columns:
        values = next(number) if column.kind == "number" else next(category)
        cells = [None if value == "" or value != value else value for value in values]  # noqa: PLR0124 -- NaN
        kind = "FP64" if column.kind == "number" else "BYTES"
        inputs.append({"name": column.name, "shape": [len(cells)], "datatype": kind, "data": cells})
    return msgspec.json.encode({"inputs": inputs}), {}


def binary_body(definition, numbers, categories):
    number, category = iter(numbers.T), iter(categories.T)
    inputs, blobs = [], []
    for column in definition.columns:
        if column.kind == "number":
            blob, kind = next(number).astype("<f8").tobytes(), "FP64"
        else:
            texts = [text.encode() for text in next(category)]
            blob, kind = b"".join(struct.pack("<I", len(text)) + text for text in texts), "BYTES"
        size = {"binary_data_size": len(blob)}
        inputs.append({"name": column.name, "shape": [len(numbers), 1], "datatype": kind, "parameters": size})
        blobs.append(blob)
    head = msgspec.json.encode({"inputs": inputs})
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    return b"".join((head, *blobs)), headers


def infer(served, path, body, headers):
    status, answer = served.post(path, body, headers)
    assert status == 200, answer
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return outputs["score"], outputs["decision"], answer["parameters"]["prediction_ids"].split(",")


def test_the_rows_say_something(live):
    answers, table = live
    assert len(answers) == ROWS
    assert len(set(table.score.tolist())) > ROWS / 2
    assert 0 < table.decision.sum() < ROWS
    assert np.isnan(table.numbers).any()


def test_the_answer_is_the_record_and_the_record_is_the_session(live, version):
    answers, table = live
    bundle, session = version
    assert bits([answer["score"] for answer in answers]) == bits(table.score)
    assert bits(session.score(table.numbers, table.categories)) == bits(table.score)
    assert [answer["decision"] for answer in answers] == (table.score >= bundle.threshold).tolist()
    assert {answer["version"] for answer in answers} == {1}


@pytest.mark.parametrize("size", [1, 7, ROWS])
@pytest.mark.parametrize("body", [json_body, binary_body])
@pytest.mark.parametrize("path", ["infer", "versions/1/infer"])
def test_v2_gives_the_same_bits_in_every_form_and_batch(served, live, version, size, body, path):
    _, table = live
    bundle, _ = version
    order = np.random.default_rng(size).permutation(ROWS)[: 10 * size]
    for rows in np.split(order, range(size, len(order), size)):
        content, headers = body(bundle.definition, table.numbers[rows], table.categories[rows])
        scores, decisions, _ = infer(served, f"/v2/models/{MODEL}/{path}", content, headers)
        assert bits(scores) == bits(table.score[rows])
        assert decisions == table.decision[rows].tolist()


@pytest.mark.parametrize("size", [1, 2, 64])
def test_v1_gives_the_same_bits_in_every_batch(served, asked, live, size):
    answers, table = live
    order = np.random.default_rng(size).permutation(ROWS)[:size]
    again = served.predict([asked[at] for at in order.tolist()])
    assert [answer["key"] for answer in again] == table.key[order].tolist()
    assert bits([answer["score"] for answer in again]) == bits([answers[at]["score"] for at in order.tolist()])


def test_a_prediction_asked_over_v2_is_executed_again_like_any_other(served, live, version):
    _, table = live
    bundle, _ = version
    content, headers = json_body(bundle.definition, table.numbers[:1], table.categories[:1])
    scores, _, (found,) = infer(served, f"/v2/models/{MODEL}/infer", content, headers)
    predictions = served.folder / ".seakeep/recorder/predictions"
    wait_for(lambda: found in query.load(predictions, query.Query(model=MODEL), damage=[]).id.tolist())
    with opened(served.folder) as project:
        again = project.why(found)
    assert again.equal
    assert bits([again.recomputed]) == bits(scores)
    assert {feature.age_us for feature in again.features} == {None}
