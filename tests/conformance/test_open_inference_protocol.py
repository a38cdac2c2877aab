"""The Open Inference Protocol, version 2, over a real socket, asked by a client that knows only the specification.

References: KServe ``specification/protocol/inference_rest.md``; Triton ``extension_binary_data.md``.
"""

import gzip
import http.client
import json
import math
import struct

import numpy as np
import pytest
from tests.serving_rig import Rig, candidate, expected_score
from tests.serving_runs import supervised

DATATYPES = {
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
}  # fmt: skip
LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"
ROWS = [(1.5, 500.0, "AA"), (math.nan, 250.0, "UA"), (-3.0, math.nan, "")]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("rig"))
    rig.releases.put(rig.put(3), candidate(rig.put(4), 0.0), rig.put(1, name="other"))
    with supervised(rig) as service:
        yield service.port


@pytest.fixture
def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def send(method, path, body=None, **headers):
        """Status, headers and body of an answer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, json.dumps(body).encode() if isinstance(body, dict) else body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    yield send
    connection.close()


def expected(version=3):
    return [expected_score(*row, bias=version / 8) for row in ROWS]


def plain(datatype="FP64", **more):
    """A request with all data in JSON; a missing number is null there."""
    late, distance, carrier = zip(*ROWS, strict=True)
    numbers = [[None if math.isnan(value) else value for value in column] for column in (late, distance)]
    inputs = [
        {"name": LATE, "shape": [3], "datatype": datatype, "data": numbers[0]},
        {"name": DISTANCE, "shape": [3, 1], "datatype": datatype, "data": [[value] for value in numbers[1]]},
        {"name": CARRIER, "shape": [3, 1], "datatype": "BYTES", "data": list(carrier)},
    ]
    return {"inputs": inputs} | more


def as_triton_sends_it(*outputs, **more):
    """Body and length of the JSON part as ``tritonclient.http`` makes them, all tensors in binary form."""
    late, distance, carrier = zip(*ROWS, strict=True)
    blobs = [
        np.array(late, dtype="<f8").tobytes(),
        np.array(distance, dtype="<f4").tobytes(),
        b"".join(struct.pack("<I", len(text)) + text.encode() for text in carrier),
    ]
    named = ((LATE, "FP64"), (DISTANCE, "FP32"), (CARRIER, "BYTES"))
    inputs = [
        {"name": name, "shape": [3, 1], "datatype": datatype, "parameters": {"binary_data_size": len(blob)}}
        for (name, datatype), blob in zip(named, blobs, strict=True)
    ]
    wanted = {"outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs]} if outputs else {}
    head = json.dumps({"id": "r1", "inputs": inputs} | wanted | more, separators=(",", ":")).encode()
    return b"".join((head, *blobs)), len(head)


def read(headers, body):
    """Outputs by name, as a client reads them: flat values, whichever form they came in."""
    length = headers.get("inference-header-content-length")
    told = json.loads(body[: int(length)] if length else body)
    at, found = int(length or 0), {}
    for output in told["outputs"]:
        assert output["datatype"] in DATATYPES
        values = output.get("data")
        if values is None:
            size = output["parameters"]["binary_data_size"]
            values = np.frombuffer(body[at : at + size], {"FP64": "<f8", "BOOL": "?"}[output["datatype"]]).tolist()
            at += size
        assert len(values) == math.prod(output["shape"])
        found[output["name"]] = values
    assert at == (len(body) if length else 0)
    return told, found


class TestHealthAndMetadata:
    @pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
    def test_a_server_is_live_and_ready(self, ask, path):
        assert ask("GET", path)[0] == 200

    def test_a_server_names_itself_and_its_extensions(self, ask):
        status, headers, body = ask("GET", "/v2")
        told = json.loads(body)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert isinstance(told["name"], str)
        assert isinstance(told["version"], str)
        assert "binary_tensor_data" in told["extensions"]

    @pytest.mark.parametrize("path", ["/v2/models/late", "/v2/models/late/versions/3", "/v2/models/late/versions/4"])
    def test_a_model_names_its_versions_inputs_and_outputs(self, ask, path):
        status, _, body = ask("GET", path)
        told = json.loads(body)
        assert (status, told["name"], told["versions"]) == (200, "late", ["3", "4"])
        assert isinstance(told["platform"], str)
        for tensor in (*told["inputs"], *told["outputs"]):
            assert set(tensor) == {"name", "datatype", "shape"}
            assert tensor["datatype"] in DATATYPES
            assert all(isinstance(size, int) and size >= -1 for size in tensor["shape"])
        assert [tensor["name"] for tensor in told["inputs"]] == [LATE, DISTANCE, CARRIER]

    def test_metadata_are_enough_to_ask(self, ask):
        """What a client builds from the metadata alone is answered."""
        told = json.loads(ask("GET", "/v2/models/late")[2])
        values = {"FP64": [1.0, 2.0], "BYTES": ["AA", "UA"]}
        inputs = [
            {"name": one["name"], "datatype": one["datatype"], "shape": [2], "data": values[one["datatype"]]}
            for one in told["inputs"]
        ]
        status, headers, body = ask("POST", "/v2/models/late/infer", {"inputs": inputs})
        assert status == 200
        assert {(name, len(values)) for name, values in read(headers, body)[1].items()} == {
            (one["name"], 2) for one in told["outputs"]
        }

    @pytest.mark.parametrize(
        ("path", "version"),
        [("/v2/models/late", "3"), ("/v2/models/late/versions/3", "3"), ("/v2/models/late/versions/4", "4")],
    )
    def test_a_version_is_ready(self, ask, path, version):
        status, _, body = ask("GET", f"{path}/ready")
        assert (status, json.loads(body)) == (200, {"name": "late", "version": version, "ready": True})


class TestInference:
    @pytest.mark.parametrize(("path", "version"), [("", 3), ("/versions/3", 3), ("/versions/4", 4)])
    def test_a_model_answers_by_name_and_by_version(self, ask, path, version):
        status, headers, body = ask("POST", f"/v2/models/late{path}/infer", plain(id="r1"))
        assert status == 200
        told, found = read(headers, body)
        assert (told["model_name"], told["model_version"], told["id"]) == ("late", str(version), "r1")
        assert found["score"] == pytest.approx(expected(version), rel=1e-14)
        assert found["decision"] == [score >= 0.5 for score in found["score"]]

    def test_models_answer_for_themselves(self, ask):
        told, found = read(*ask("POST", "/v2/models/other/infer", plain())[1:])
        assert (told["model_name"], told["model_version"]) == ("other", "1")
        assert found["score"] == pytest.approx(expected(1), rel=1e-14)

    @pytest.mark.parametrize("wanted", [["decision"], ["score"], ["decision", "score"]])
    def test_only_the_outputs_asked_for_are_answered_in_their_order(self, ask, wanted):
        outputs = [{"name": name} for name in wanted]
        told, _ = read(*ask("POST", "/v2/models/late/infer", plain(outputs=outputs))[1:])
        assert [output["name"] for output in told["outputs"]] == wanted

    def test_numbers_may_be_of_another_type_that_float64_holds(self, ask):
        _, found = read(*ask("POST", "/v2/models/late/infer", plain("FP32"))[1:])
        assert found["score"] == pytest.approx(expected(), rel=1e-14)

    def test_each_answer_names_its_predictions(self, ask):
        told, _ = read(*ask("POST", "/v2/models/late/infer", plain())[1:])
        assert len(set(told["parameters"]["prediction_ids"].split(","))) == 3


class TestBinaryData:
    def scores(self, ask, body, length, **headers):
        status, answered, answer = ask(
            "POST", "/v2/models/late/infer", body, Inference_Header_Content_Length=str(length),
            Content_Type="application/octet-stream", **headers,
        )  # fmt: skip
        assert status == 200, answer
        return answered, *read(answered, answer)

    def test_tensors_travel_as_bytes_in_both_directions(self, ask):
        body, length = as_triton_sends_it("score", "decision")
        headers, told, found = self.scores(ask, body, length)
        assert headers["content-type"] == "application/octet-stream"
        assert "data" not in told["outputs"][0]
        assert told["id"] == "r1"
        assert found["score"] == pytest.approx(expected(), rel=1e-14)

    def test_the_bits_are_those_of_json(self, ask):
        _, _, by_bytes = self.scores(ask, *as_triton_sends_it("score"))
        _, by_json = read(*ask("POST", "/v2/models/late/infer", plain())[1:])
        assert by_bytes["score"] == by_json["score"]

    def test_one_word_asks_for_all_outputs_in_binary_form_and_an_output_may_differ(self, ask):
        told = self.scores(ask, *as_triton_sends_it(parameters={"binary_data_output": True}))[1]
        assert all("binary_data_size" in output["parameters"] for output in told["outputs"])
        mixed = plain(
            parameters={"binary_data_output": True},
            outputs=[{"name": "score", "parameters": {"binary_data": False}}, {"name": "decision"}],
        )
        told, found = read(*ask("POST", "/v2/models/late/infer", mixed)[1:])
        assert [("data" in output) for output in told["outputs"]] == [True, False]
        assert found["decision"] == [score >= 0.5 for score in found["score"]]

    def test_a_compressed_body_is_measured_after_decompression(self, ask):
        body, length = as_triton_sends_it("score")
        _, _, found = self.scores(ask, gzip.compress(body), length, Content_Encoding="gzip")
        assert found["score"] == pytest.approx(expected(), rel=1e-14)


class TestErrors:
    def refused(self, ask, status, method, path, body=None, **headers):
        found, answered, answer = ask(method, path, body, **headers)
        assert (found, answered["content-type"]) == (status, "application/json"), answer
        told = json.loads(answer)
        assert isinstance(told["error"], str)
        assert told["error"]
        return told["error"]

    @pytest.mark.parametrize("rest", ["", "/ready", "/infer", "/versions/1", "/versions/1/ready", "/versions/1/infer"])
    def test_a_model_that_is_not_there_is_not_found(self, ask, rest):
        method, body = ("POST", plain()) if rest.endswith("infer") else ("GET", None)
        assert "'nobody'" in self.refused(ask, 404, method, f"/v2/models/nobody{rest}", body)

    @pytest.mark.parametrize("version", ["1", "9", "0", "-1", "latest", "3.0", "99999999999"])
    @pytest.mark.parametrize("rest", ["", "/ready", "/infer"])
    def test_a_version_that_is_not_there_is_not_found(self, ask, version, rest):
        method, body = ("POST", plain()) if rest.endswith("infer") else ("GET", None)
        self.refused(ask, 404, method, f"/v2/models/late/versions/{version}{rest}", body)

    @pytest.mark.parametrize(
        ("place", "change", "told"),
        [
            (1, {"name": "altitude"}, "'altitude' is not an input"),
            (1, {"name": LATE}, "is there twice"),
            (1, {"shape": [2, 1]}, "'carrier_recent.late_1h' has 3, 'distance' has 2"),
            (1, {"shape": [1, 3]}, "has shape [1, 3]"),
            (1, {"shape": [3, 2]}, "has shape [3, 2]"),
            (1, {"datatype": "BYTES"}, "is 'BYTES'"),
            (1, {"datatype": "FP128"}, "is 'FP128'"),
            (1, {"datatype": "INT32"}, "are not INT32"),
            (2, {"datatype": "FP64"}, "is 'FP64', not BYTES"),
            (2, {"data": [1, 2, 3]}, "are not BYTES"),
        ],
    )
    def test_a_wrong_name_shape_or_datatype_is_refused_by_name(self, ask, place, change, told):
        request = plain()
        if change == {"datatype": "INT32"}:
            request["inputs"][1]["data"] = [0.5, 1, 2]
        request["inputs"][place] |= change
        assert told in self.refused(ask, 400, "POST", "/v2/models/late/infer", request)

    def test_an_input_left_out_is_named(self, ask):
        request = plain()
        del request["inputs"][1]
        assert "'distance' is missing" in self.refused(ask, 400, "POST", "/v2/models/late/infer", request)

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"inputs": "all"}', b'{"inputs": [{"name": "a"}]}'])
    def test_what_is_no_request_is_refused(self, ask, body):
        self.refused(ask, 400, "POST", "/v2/models/late/infer", body)

    @pytest.mark.parametrize("by", [-1, 1, 10_000])
    def test_a_wrong_length_of_the_json_part_is_refused(self, ask, by):
        body, length = as_triton_sends_it("score")
        self.refused(ask, 400, "POST", "/v2/models/late/infer", body, Inference_Header_Content_Length=str(length + by))

    def test_a_connection_goes_on_after_a_refusal(self, ask):
        self.refused(ask, 400, "POST", "/v2/models/late/infer", b"{}")
        assert ask("POST", "/v2/models/late/infer", plain())[0] == 200
