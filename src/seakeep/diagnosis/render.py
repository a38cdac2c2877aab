"""A brief as plain text for a terminal: at most one screen of 100 columns, from the record alone."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import msgspec

from seakeep.clock import format_day, format_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seakeep.diagnosis.monthly import Month
    from seakeep.records.finding import Brief, Errors, Estimate, Verdict

WIDTH = 100
MAX_LINES = 12
MAX_EVIDENCE = 6


def render_brief(brief: Brief) -> str:
    """The text, without a trailing newline."""
    refused = f", {brief.refused:,} refused (clients' mistakes)" if brief.refused else ""
    parts = [
        f"{brief.model}:{brief.version}  {format_moment(brief.from_us)} to {format_moment(brief.to_us)}",
        f"{brief.predictions:,} requests, {brief.errors:,} errors{refused}, p99 {brief.p99_ms:.2f} ms",
        "",
    ]
    if not brief.lines:
        parts.append("A quiet night: nothing changed beyond its own noise.")
    for finding in brief.lines[:MAX_LINES]:
        noise = "" if abs(finding.effect) >= 99 else f" [{finding.effect:+.1f} sd]"
        parts += _wrap(f"{finding.kind:<11}", f"{finding.sentence}{noise}")
    if len(brief.lines) > MAX_LINES:
        parts.append(f"... and {len(brief.lines) - MAX_LINES} more")
    parts += ["", *verdict_lines(brief.verdict)]
    if brief.estimate:
        parts += ["", *_estimate_lines(brief.estimate)]
    if brief.quality is not msgspec.UNSET:
        parts += ["", *_error_lines(brief.quality)]
    if brief.page:
        parts += ["", "PAGE: somebody should know now."]
    parts += [""] * bool(brief.pages)
    for page in brief.pages:
        parts += _wrap("paged      ", f"{format_moment(page.time_us)}: {'; '.join(page.reasons)}")
    if brief.action:
        parts += ["", *_wrap("next       ", brief.action)]
    return "\n".join(parts)


def render_months(months: Sequence[Month]) -> str:
    """A line a month: what was seen, what the verdict said a day after its end, and what all outcomes showed later."""
    heads = ("month", "predictions", "alerts", "positives", "recall", "verdict then", "outcomes later", "")
    rows = [heads]
    for month in months:
        base, recall = month.realised.get("base_rate"), month.realised.get("recall")
        rows.append(
            (
                format_day(month.from_us)[:7],
                f"{month.predictions:,}",
                f"{month.alert_rate:.1%}",
                f"{base.value:.1%}" if base else "",
                f"{recall.value:.1%}" if recall else "",
                month.verdict.cause,
                month.truth,
                "DISAGREES" if month.contradicted else "abstains" if month.abstains else "agrees",
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    lines = [
        "  ".join(cell.rjust(width) if 0 < place < 5 else cell.ljust(width) for place, (cell, width) in cells).rstrip()
        for cells in (enumerate(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths if width), *lines[1:]])


def verdict_lines(verdict: Verdict) -> list[str]:
    """A verdict with its evidence, wrapped."""
    sure = f" ({verdict.confidence:.0%} of resampled histories)" if verdict.confidence else ""
    lines = _wrap("verdict    ", f"{verdict.cause}{sure}")
    lines += _wrap("           ", verdict.headline + ".")
    for sentence in verdict.evidence[:MAX_EVIDENCE]:
        lines += _wrap("         - ", sentence)
    return lines


def _estimate_lines(estimate: Estimate) -> list[str]:
    basis = "" if estimate.anchored else "; no recent outcomes, so by the validation rows"
    counts = f"{estimate.labelled:,} predictions with an outcome, {estimate.unlabelled:,} estimated{basis}"
    lines = _wrap("last week  ", counts)
    for name, metric in estimate.metrics.items():
        lines.append(f"  {name.replace('_', ' '):<12}{metric.value:>7.1%}  ({metric.low:.1%} to {metric.high:.1%})")
    return lines


def _error_lines(found: Errors | None) -> list[str]:
    if found is None or not found.labelled:
        return _wrap("errors     ", "no outcome is known yet of predictions old enough to have one")
    span = f"{format_day(found.from_us)} to {format_day(found.to_us)}"
    counts = f"{found.labelled:,} predictions with an outcome, {found.unlabelled:,} without; nothing is estimated"
    lines = _wrap("errors     ", f"{span}: {counts}")
    for name, metric in found.metrics.items():
        then = found.accepted.get(name)
        before = f"; {then.value:.4g} when accepted" if then else ""
        told = f"{metric.value:>10.4g}  ({metric.low:.4g} to {metric.high:.4g}{before})"
        lines.append(f"  {name:<12}{told}")
    return lines


def _wrap(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
