import io
import json
import logging
import sys

import pytest
from tests.serving_runs import PREDICT, body, row

from seakeep.config import ObserveSettings
from seakeep.errors import NotFoundError, PlatformError, RowError, UnavailableError
from seakeep.serving import logs
from seakeep.serving.inference import Trace
from seakeep.serving.logs import ERRORS_A_SECOND, AccessLog, configured, without_values

SECRET = "4111-1111-1111-1111"


@pytest.fixture
def said(monkeypatch):
    """``said(form)`` is a context in which loggers write, and a list of lines after it."""

    def run(work, *, form="json", worker=3):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with configured(ObserveSettings(logs=form), worker=worker):
            work()
        return stream.getvalue().splitlines()

    return run


def log():
    return logging.getLogger("seakeep.serving")


class TestForms:
    def test_json_is_one_object_a_line_with_what_belongs_to_it(self, said):
        def work():
            log().warning("worker %s\nended", 5, extra={"model": "late", "latency_ms": 0.5, "foreign": 1})
            logging.getLogger("elsewhere").info("not ours")

        (line,) = said(work)
        told = json.loads(line)
        assert told.pop("time").endswith("Z")
        assert told == {
            "level": "warning", "logger": "seakeep.serving", "message": "worker 5\nended", "worker": 3, "model": "late",
            "latency_ms": 0.5,
        }  # fmt: skip

    def test_text_is_a_line_for_people(self, said):
        (line,) = said(lambda: log().info("predict", extra={"model": "late", "status": 200}), form="text", worker=None)
        moment, _, rest = line.partition(" ")
        assert len(moment) == len("2013-07-15T06:00:00.123Z")
        assert rest == "info predict model=late status=200"

    def test_what_was_configured_before_is_so_again_afterwards(self, said):
        logger = logging.getLogger("seakeep")
        before = logger.level, logger.propagate, list(logger.handlers)
        said(lambda: None)
        assert (logger.level, logger.propagate, list(logger.handlers)) == before

    def test_more_lines_than_the_queue_holds_are_counted_in_the_next_one(self, said, monkeypatch):
        monkeypatch.setattr(logs, "MOST_WAITING", 0)

        def work():
            for _ in range(5):
                log().warning("lost")
            monkeypatch.setattr(logs, "MOST_WAITING", 10)
            log().warning("written")

        (line,) = said(work)
        assert (json.loads(line)["message"], json.loads(line)["suppressed"]) == ("written", 5)


class TestExceptions:
    def told(self, work):
        try:
            work()
        except Exception as error:  # noqa: BLE001 -- any kind is told
            return without_values(error)
        raise AssertionError

    def test_a_text_that_may_quote_a_request_is_left_out_and_the_place_is_kept(self):
        def fails():
            return float(SECRET)

        text = self.told(fails)
        assert SECRET not in text
        assert text.startswith("ValueError\n")
        assert "in fails" in text

    def test_our_own_texts_are_kept_unless_they_quote_what_was_sent(self):
        def ours():
            raise PlatformError("no room on the disk", hint="make some")

        def quoting():
            raise RowError(f"row 0: {SECRET!r} is no number", row=0)

        assert "PlatformError: no room on the disk" in self.told(ours)
        assert SECRET not in self.told(quoting)

    def test_causes_are_told_by_the_same_rule(self):
        def fails():
            try:
                try:
                    int(SECRET)
                except ValueError as error:
                    raise KeyError(SECRET) from error
            except KeyError as error:
                raise OSError(28, "No space left") from error

        text = self.told(fails)
        assert SECRET not in text
        assert [line.split(":")[0] for line in text.splitlines() if not line.startswith("  ")] == [
            "OSError", "from KeyError", "from ValueError",
        ]  # fmt: skip
        assert "No space left" in text

    def test_in_both_forms_an_exception_is_without_values(self, said):
        def work():
            try:
                float(SECRET)
            except ValueError:
                log().exception("a request could not be handled")

        for form in ("json", "text"):
            text = "\n".join(said(work, form=form))
            assert "ValueError" in text
            assert SECRET not in text


@pytest.fixture
def told(caplog):
    """What the access log says, as a list of the fields of each line."""
    caplog.set_level(logging.INFO, "seakeep.access")

    def fields():
        return [
            {name: getattr(record, name) for name in logs.FIELDS if hasattr(record, name)} | {"level": record.levelname}
            for record in caplog.records
            if record.name == "seakeep.access"
        ]

    return fields


class TestAccess:
    @pytest.fixture
    def make(self, plane):
        """A plane with an access log of this share."""

        def one(share, draw=lambda: 0.5):
            plane.dataplane._observe = AccessLog(share, draw).answered
            return plane

        return one

    def test_answered_requests_are_told_by_their_share_with_what_finds_them_again(self, make, told):
        plane = make(0.75)
        call = plane.ask(row("a"), row("b"), trace=Trace(10, 11))
        plane.turn()
        (line,) = told()
        assert line.pop("latency_ms") > 0
        assert line == {
            "model": "late", "version": "1", "prediction_id": call.answers[0].id, "rows": 2, "trace_id": f"{10:032x}",
            "status": 200, "level": "INFO",
        }  # fmt: skip

    def test_without_a_share_only_those_that_fail_are_told(self, make, told):
        plane = make(0.0, lambda: 1 / 0)
        plane.ask(row("a"))
        plane.ask(row(distance=SECRET))
        plane.turn()
        (line,) = told()
        failed = next(record for record in plane.sink.records if record.error)
        assert (line["prediction_id"], line["version"], line["status"], line["code"]) == (failed.id, "1", 400, "row")
        assert SECRET not in str(line)

    def test_a_share_below_the_draw_is_silent(self, make, told):
        plane = make(0.25)
        plane.ask(row("a"))
        plane.turn()
        assert told() == []

    def test_a_request_that_reached_no_version_is_told(self, make, told):
        plane = make(0.0)
        plane.ask(row("a"), deadline_s=0.0)
        plane.turn()
        (line,) = told()
        assert (line["prediction_id"], line["code"], line["status"], line["level"]) == ("", "deadline", 504, "ERROR")

    def test_a_request_that_two_versions_share_is_told_once(self, make, told, rig):
        plane = make(0.0)
        plane.serve(rig.load(rig.put(1)), rig.load(rig.put(2)), weight=0.5)
        plane.ask(*[row(f"k{number}") for number in range(20)], row("x", distance="far"))
        plane.turn()
        assert len(told()) == 1

    def test_what_is_refused_before_is_told_by_its_code_alone(self, told):
        AccessLog(0.0, float).refused(NotFoundError(f"there is no model {SECRET!r} here"))
        AccessLog(0.0, float).refused(UnavailableError("too many"))
        assert told() == [
            {"status": 404, "code": "not-found", "level": "INFO"}, {"status": 503, "code": "unavailable", "level": "ERROR"},
        ]  # fmt: skip

    def test_clients_cannot_fill_the_disk_with_their_mistakes(self, told):
        now = [100.0]
        access = AccessLog(0.0, float, lambda: now[0])
        for _ in range(ERRORS_A_SECOND + 30):
            access.refused(NotFoundError("no"))
        assert len(told()) == ERRORS_A_SECOND
        now[0] += 1
        access.refused(NotFoundError("no"))
        assert told()[-1]["suppressed"] == 30


def test_over_http_each_request_that_fails_has_its_line(rig, serve, on_loop, told):
    rig.releases.put(rig.put(1))

    async def work():
        async with serve(observing=ObserveSettings(access_share=1.0)) as service:
            await service.client.post(PREDICT, body(row("a")))
            await service.client.post(PREDICT, body(row(distance=SECRET)))
            await service.client.post("/v1/models/nobody/predict", body(row()))
            await service.client.post(PREDICT, b"{" + SECRET.encode())

    on_loop(work())
    lines = told()
    assert [line["status"] for line in lines] == [200, 400, 404, 400]
    assert SECRET not in str(lines)
