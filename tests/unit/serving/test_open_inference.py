from types import SimpleNamespace

import msgspec
import pytest

from seakeep.errors import DeadlineError, NotFoundError, UnavailableError
from seakeep.serving.open_inference import OpenInference, model_name, version_number
from seakeep.serving.routing import Traffic
from seakeep.serving.tensors import InferRequest

LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"


@pytest.fixture
def loading():
    return SimpleNamespace(ready=True, versions={"late": [1]}, failures=())


@pytest.fixture
def protocol(plane, loading):
    ids = SimpleNamespace(new=lambda: "01M87YYZDFGCZ7XJMVDYQT60N6")
    return OpenInference(
        plane.dataplane, loading=lambda: loading, clock=plane.clock, ids=ids, max_rows=8, version="1.2.3"
    )


def request_of(inputs):
    return InferRequest("r1", inputs.numbers, inputs.categories, (("score", False),))


def test_a_server_names_itself_and_its_extensions(protocol):
    told = msgspec.to_builtins(protocol.server())
    assert told == {"name": "seakeep", "version": "1.2.3", "extensions": ("binary_tensor_data",)}


def test_metadata_name_the_inputs_as_they_are_asked_for(plane, protocol, rig):
    plane.serve(rig.load(rig.put(3)), rig.load(rig.put(4)))
    told = msgspec.json.decode(msgspec.json.encode(protocol.model("late", 0)))
    assert told == {
        "name": "late",
        "versions": ["3", "4"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": LATE, "datatype": "FP64", "shape": [-1]},
            {"name": DISTANCE, "datatype": "FP64", "shape": [-1]},
            {"name": CARRIER, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            {"name": "decision", "datatype": "BOOL", "shape": [-1]},
        ],
    }


def test_a_worker_that_drains_or_has_not_loaded_everything_is_not_ready(protocol, loading):
    assert protocol.readiness().ready
    protocol.draining = True
    assert not protocol.readiness().ready
    protocol.draining = False
    loading.ready = False
    assert not protocol.readiness().ready


def test_a_version_is_the_champion_or_the_one_asked_for(plane, protocol, rig):
    plane.serve(rig.load(rig.put(3)), rig.load(rig.put(4)))
    assert [protocol.version("late", number).number for number in (0, 3, 4)] == [3, 3, 4]
    chosen = [(version.number, role) for version, role in (protocol.choose("late", number) for number in (0, 4))]
    assert chosen == [(3, "champion"), (4, "pinned")]
    with pytest.raises(NotFoundError, match="version 9"):
        protocol.choose("late", 9)


def test_a_share_of_the_requests_goes_to_the_candidate(plane, rig, loading):
    plane.serve(rig.load(rig.put(1)), rig.load(rig.put(2)), weight=0.5)
    count = iter(range(1000))
    ids = SimpleNamespace(new=lambda: f"id-{next(count)}")
    protocol = OpenInference(
        plane.dataplane, loading=lambda: loading, clock=plane.clock, ids=ids, max_rows=8, version=""
    )
    roles = [protocol.choose("late", 0)[1] for _ in range(200)]
    assert 60 < roles.count("canary") < 140


def test_a_request_is_answered_by_the_version_it_was_read_for(plane, protocol, direct_inputs):
    protocol.submit(
        request_of(direct_inputs(5.0, 6.0)),
        protocol.choose("late", 1),
        plane.replies.append,
        principal="me",
        arrived_s=0.0,
    )
    plane.finish()
    (call,) = plane.replies
    assert [answer.version for answer in call.answers] == [1, 1]
    assert plane.roles() == ["pinned", "pinned"]


def test_a_request_whose_time_is_over_is_not_executed(plane, protocol, direct_inputs):
    for deadline_s in (0.0, float("inf")):
        protocol.submit(
            request_of(direct_inputs(5.0)), protocol.choose("late", 1), plane.replies.append,
            principal="me", arrived_s=0.0, deadline_s=deadline_s,
        )  # fmt: skip
    plane.finish()
    late, fine = plane.replies
    assert isinstance(late.error, DeadlineError)
    assert len(fine.answers) == 1
    assert len(plane.sink.records) == 1
    assert plane.counted()[":0"]["deadline"] == 1


def test_more_than_may_be_in_flight_is_refused(make_plane, rig, loading, direct_inputs):
    plane = make_plane(max_in_flight=1)
    plane.serve(rig.load(rig.put(1)))
    protocol = OpenInference(
        plane.dataplane, loading=lambda: loading, clock=plane.clock, ids=plane.clock, max_rows=8, version=""
    )
    chosen = protocol.choose("late", 0)
    protocol.submit(request_of(direct_inputs(5.0)), chosen, plane.replies.append, principal="", arrived_s=0.0)
    with pytest.raises(UnavailableError, match="in flight"):
        protocol.submit(request_of(direct_inputs(5.0)), chosen, plane.replies.append, principal="", arrived_s=0.0)


@pytest.mark.parametrize("name", ["", "Late", "a/b", "é", "a" * 65, "-a"])
def test_what_cannot_be_a_name_is_not_found(name):
    with pytest.raises(NotFoundError, match="no model or source"):
        model_name(name)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "latest", "٣", "9" * 10])
def test_what_cannot_be_a_version_is_not_found(text):
    with pytest.raises(NotFoundError, match="no version"):
        version_number(text)


def test_names_and_numbers_are_what_they_say():
    assert (model_name("late-arrival.v2"), version_number("007")) == ("late-arrival.v2", 7)


def test_an_a_b_test_goes_by_rows_so_one_without_them_is_answered_by_the_champion(plane, protocol, rig):
    traffic = plane.dataplane.traffic["late"]
    plane.dataplane.traffic = {"late": Traffic(traffic.champion, rig.load(rig.put(2)), 0.9, held=True)}
    assert {protocol.choose("late", 0)[0].number for _ in range(20)} == {1}
