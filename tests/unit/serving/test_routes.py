import pytest

from seakeep.serving.routes import OPERATIONS, find


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.path)
def test_every_path_leads_to_its_own_operation(operation):
    path = operation.path.replace("{model}", "late").replace("{number}", "3").replace("{source}", "arrivals")
    for sent in (path, path + "/"):
        found, named = find(sent.encode())
        assert found == operation
        assert named == {
            name: value
            for name, value in (("model", "late"), ("number", "3"), ("source", "arrivals"))
            if f"{{{name}}}" in operation.path
        }


@pytest.mark.parametrize(
    "path",
    [
        b"", b"/", b"/v1", b"/v2/models", b"/v2/health", b"/v2/models/late/versions", b"/v2/models/late/infer/more",
        b"/v2/models/late/versions/3/predict", b"/V2", b"/v2/health/dead", b"v2", b"/openapi.yaml", b"/\xff",
    ],
)  # fmt: skip
def test_there_is_nothing_else(path):
    assert find(path) is None


def test_an_operation_that_is_open_tells_nothing_of_models():
    assert {one.name for one in OPERATIONS if one.action is None} == {"live", "ready", "openapi"}
