"""The unmodified ``tritonclient``, over HTTP and over gRPC."""

import queue
import warnings

import numpy as np
import pytest
from tests.conformance.clients.asked import CARRIER, DISTANCE, LATE, columns, expected

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what a client library warns of at import is not ours
    http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")


@pytest.fixture(params=["http", "grpc"])
def transport(request):
    return {"http": http, "grpc": grpc}[request.param]


@pytest.fixture
def client(service, transport):
    made = transport.InferenceServerClient(service.http if transport is http else service.grpc)
    yield made
    made.close()


def inputs(module, **more):
    made = []
    for name, datatype, values in columns():
        tensor = module.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, **more)
        made.append(tensor)
    return made


def check(result, version=3):
    assert result.as_numpy("score").tolist() == pytest.approx(expected(version), rel=1e-14)
    assert result.as_numpy("decision").tolist() == [score >= 0.5 for score in expected(version)]


def test_server_and_models_are_live_and_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("late")
    assert client.is_model_ready("late", "4")


def test_metadata_are_understood(client, transport):
    more = {} if transport is http else {"as_json": True}
    server, model = client.get_server_metadata(**more), client.get_model_metadata("late", **more)
    assert (server["name"], server["extensions"]) == ("seakeep", ["binary_tensor_data"])
    assert (model["name"], model["versions"]) == ("late", ["3", "4"])
    assert [(one["name"], one["datatype"]) for one in model["inputs"]] == [
        (LATE, "FP64"), (DISTANCE, "FP64"), (CARRIER, "BYTES"),
    ]  # fmt: skip
    assert [one["name"] for one in model["outputs"]] == ["score", "decision"]


@pytest.mark.parametrize(("version", "answers"), [("", 3), ("3", 3), ("4", 4)])
def test_a_model_answers_as_the_client_asks_by_default(client, transport, version, answers):
    result = client.infer("late", inputs(transport), model_version=version, request_id="r1")
    check(result, answers)
    told = result.get_response()
    named = told if isinstance(told, dict) else {"id": told.id, "model_version": told.model_version}
    assert (named["id"], named["model_version"]) == ("r1", str(answers))


def test_outputs_are_asked_for_by_name(client, transport):
    result = client.infer("late", inputs(transport), outputs=[transport.InferRequestedOutput("decision")])
    assert result.as_numpy("score") is None
    assert result.as_numpy("decision").dtype == np.bool_


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_http_tensors_travel_in_json_and_in_binary_form_both_ways(service, sent, wanted):
    with http.InferenceServerClient(service.http) as client:
        asked = inputs(http, binary_data=sent)
        for tensor, (name, _, values) in zip(asked, columns(), strict=True):
            if not sent and name != CARRIER:  # JSON has no NaN: this client would send it as it stands
                tensor.set_data_from_numpy(np.nan_to_num(values), binary_data=False)
        outputs = [http.InferRequestedOutput(name, binary_data=wanted) for name in ("score", "decision")]
        check(client.infer("late", asked, outputs=outputs))


@pytest.mark.parametrize("algorithm", ["gzip", None])
@pytest.mark.parametrize("accepted", ["gzip", None])
def test_http_bodies_are_compressed_both_ways(service, algorithm, accepted):
    rows = 3000
    with http.InferenceServerClient(service.http) as client:
        asked = []
        for name, datatype, values in columns():
            tensor = http.InferInput(name, [rows, 1], datatype)
            tensor.set_data_from_numpy(np.tile(values, (rows // 3, 1)))
            asked.append(tensor)
        result = client.infer(
            "late", asked, request_compression_algorithm=algorithm, response_compression_algorithm=accepted
        )
    assert result.as_numpy("score").tolist() == pytest.approx(expected() * (rows // 3), rel=1e-14)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_grpc_messages_are_compressed(service, algorithm):
    with grpc.InferenceServerClient(service.grpc) as client:
        check(client.infer("late", inputs(grpc), compression_algorithm=algorithm))


def test_a_stream_answers_in_order_and_tells_a_fault_in_its_place(service):
    told = queue.Queue()
    with grpc.InferenceServerClient(service.grpc) as client:
        client.start_stream(callback=lambda result, error: told.put((result, error)))
        for number in range(40):
            client.async_stream_infer("nobody" if number == 20 else "late", inputs(grpc), request_id=str(number))
        found = [told.get(timeout=20) for _ in range(40)]
        client.stop_stream()
    assert [place for place, (_, error) in enumerate(found) if error] == [20]
    assert "there is no model 'nobody'" in found[20][1].message()
    assert [result.get_response().id for result, error in found if not error] == [
        str(number) for number in range(40) if number != 20
    ]
    check(found[-1][0])


@pytest.mark.parametrize(
    ("model", "version", "status", "code"),
    [("nobody", "", "404", "NOT_FOUND"), ("late", "9", "404", "NOT_FOUND"), ("late", "", "400", "INVALID_ARGUMENT")],
)
def test_a_refusal_reaches_the_client_with_its_reason(client, transport, model, version, status, code):
    from tritonclient.utils import InferenceServerException

    asked = inputs(transport)
    if not version and model == "late":
        del asked[0]
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, asked, model_version=version)
    assert caught.value.status() == (status if transport is http else f"StatusCode.{code}")
    assert caught.value.message()


def test_a_deadline_is_carried_along(service):
    with grpc.InferenceServerClient(service.grpc) as client:
        check(client.infer("late", inputs(grpc), client_timeout=20))


def test_the_server_s_timeout_is_understood(client, transport):
    """The parameter ``timeout``, microseconds, which Triton's clients send by that name."""
    from tritonclient.utils import InferenceServerException

    check(client.infer("late", inputs(transport), timeout=20_000_000))
    with pytest.raises(InferenceServerException) as caught:
        client.infer("late", inputs(transport), timeout=1)
    assert caught.value.status() == ("504" if transport is http else "StatusCode.DEADLINE_EXCEEDED")
