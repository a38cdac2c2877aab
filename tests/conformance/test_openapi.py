"""The OpenAPI document is true: of the routes, of real answers, and under requests that nobody thought of."""

import contextlib
import http.client
import json
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from tests.serving_rig import Rig, candidate
from tests.serving_runs import supervised

from seakeep.serving.openapi import document
from seakeep.serving.rest import Rest
from seakeep.serving.routes import OPERATIONS
from seakeep.serving.tensors import DTYPES

BOUNDED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)
VALUES = {"{model}": "late", "{number}": "3", "{source}": "arrivals"}


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("rig"))
    rig.releases.put(rig.put(3), candidate(rig.put(4), 0.0))
    with supervised(rig, workers=1) as service:
        yield service.port


@pytest.fixture(scope="module")
def told():
    return json.loads(document("1.0"))


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_server_shows_the_document(port):
    status, headers, body = ask(port, "GET", "/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["openapi"].startswith("3.1.")
    assert body == document("test")


def test_every_route_and_no_other_is_documented(told):
    assert set(told["paths"]) == {operation.path for operation in OPERATIONS}
    for operation in OPERATIONS:
        (method,) = told["paths"][operation.path]
        assert method == ("post" if operation.posts else "get")
        assert bool(told["paths"][operation.path][method]["security"]) is (operation.action is not None)
        assert callable(getattr(Rest, f"_{operation.name}"))


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_name(told):
    def references(node):
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key == "$ref")
            node = [*node.values()]
        if isinstance(node, list):
            for child in node:
                yield from references(child)

    schemas = told["components"]["schemas"]
    assert {one.rpartition("/")[2] for one in references(told)} <= set(schemas)
    names = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    assert schemas["InferInput"]["properties"]["datatype"]["enum"] == [*DTYPES, "BYTES"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.path)
def test_what_a_route_answers_is_documented(port, told, operation):
    path = operation.path
    for place, value in VALUES.items():
        path = path.replace(place, value)
    other = "GET" if operation.posts else "POST"
    for method, sent in ((other, b"{}" if other == "POST" else None), ("POST" if operation.posts else "GET", None)):
        status, headers, _ = ask(port, method, path, sent)
        (documented,) = told["paths"][operation.path].values()
        assert headers["content-type"] in documented["responses"][str(status)]["content"]


def served(told):
    """The document with the names that are served, so that requests get past them."""
    known = {"model": "late", "number": 3, "source": "arrivals"}
    copied = json.loads(json.dumps(told))
    for path in copied["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": [known[parameter["name"]]]}
    return copied


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_requests_made_from_the_document_find_no_contradiction(port, told):
    """Schemathesis makes requests that fit the document and requests that do not; the examples are the same each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
        from schemathesis import checks
        from schemathesis.specs.openapi.checks import (
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
            status_code_conformance,
        )
    held = [
        checks.not_a_server_error, content_type_conformance, response_headers_conformance,
        response_schema_conformance, status_code_conformance,
    ]  # fmt: skip
    seen = set()

    def holds(case):
        response = case.call(base_url=f"http://127.0.0.1:{port}")
        seen.add((case.operation.path, response.status_code))
        case.validate_response(response, checks=held)

    operations = [found.ok() for found in schemathesis.openapi.from_dict(served(told)).get_all_operations()]
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            # An operation that takes nothing cannot be asked in a way that does not fit.
            with contextlib.suppress(Unsatisfiable):
                examples = settings(BOUNDED, max_examples=20 if operation.method == "post" else 4)
                examples(given(case=operation.as_strategy(generation_mode=mode))(holds))()
    assert {path for path, _ in seen} == {operation.path for operation in OPERATIONS}
    assert {status for _, status in seen} >= {200, 400, 404}
