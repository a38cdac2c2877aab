"""How pages write numbers, moments and names: the one place that decides.

Every function takes ``None`` or NaN and writes an en dash for it, so that a missing value never looks like zero.
"""

from __future__ import annotations

import math
import re
from urllib.parse import quote

from markupsafe import Markup, escape

from seakeep.clock import DAY_US, format_moment
from seakeep.records.finding import Verdict
from seakeep.records.run import Metric

MISSING = "\N{EN DASH}"
_SPACE = "\N{NO-BREAK SPACE}"
_SHARES = frozenset({"alert_rate", "base_rate", "false_positive_rate"})
_EVIDENCE = r"`(?P<code>[^`]+)`|(?P<run>\br-[0-9a-f]{12}\b)|(?P<prediction>\b[0-9A-HJKMNP-TV-Z]{26}\b)|(?P<digest>\b[0-9a-f]{64}\b)"


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def count(value: float | None) -> str:
    """A whole number: ``12,345``."""
    return MISSING if value is None or _absent(value) else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A share: ``9.5 %``, with more digits below one per cent."""
    if value is None or _absent(value):
        return MISSING
    return f"{_percent_digits(value)}{_SPACE}%"


def share(value: float | None) -> str:
    """A share that somebody chose, without digits it does not need: ``10 %``."""
    return MISSING if value is None or _absent(value) else f"{100 * value:.3g}{_SPACE}%"


def score(value: float | None) -> str:
    """A model's score, to four decimals so that a column of them lines up."""
    return MISSING if value is None or _absent(value) else f"{value:.4f}"


def _percent_digits(value: float) -> str:
    return f"{100 * value:.{1 if value == 0 or abs(value) >= 0.01 else 2}f}"


def milliseconds(value: float | None) -> str:
    """A latency given in milliseconds: ``850 µs``, ``4.2 ms``, ``1.3 s``."""
    if value is None or _absent(value):
        return MISSING
    if value < 1:
        return f"{1_000 * value:.0f}{_SPACE}µs"
    return f"{value:.{1 if value < 100 else 0}f}{_SPACE}ms" if value < 1_000 else f"{value / 1_000:.1f}{_SPACE}s"


def duration(seconds: float | None) -> str:
    """A length of time in the two units that matter: ``42 s``, ``3 min 5 s``, ``2 h 14 min``, ``3 d 4 h``."""
    if seconds is None or _absent(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f}{_SPACE}s"
    whole = round(seconds)
    for size, unit, small_size, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size}{_SPACE}{unit}" + (f" {rest}{_SPACE}{small}" if rest else "")
    return f"{whole}{_SPACE}s"


def moment(value_us: int | None) -> str:
    """A moment in UTC, to the minute unless it has seconds: ``2013-07-15 06:00``; a nonsensical one as its number."""
    if not value_us:
        return MISSING
    try:
        text = format_moment(value_us).replace("T", " ").removesuffix("Z")
    except (ValueError, OverflowError, OSError):
        return f"{value_us}{_SPACE}µs"
    return text.removesuffix(":00")


def span(from_us: int, to_us: int) -> str:
    """A range: ``2013-07-01 to 2013-08-01``, days alone where both ends are midnights."""
    first, last = moment(from_us), moment(to_us)
    if from_us % DAY_US == 0 and to_us % DAY_US == 0:
        first, last = first.removesuffix(" 00:00"), last.removesuffix(" 00:00")
    return f"{first} to {last}"


def number(value: float | None) -> str:
    """A number of no particular unit, to four digits: ``0.6301``, ``1,840``."""
    if value is None or _absent(value):
        return MISSING
    if value == round(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1_000 else f"{value:.4g}"


def exact(value: object) -> str:
    """A recorded value with every digit it has."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)


def value_of(metric: Metric | None, name: str = "") -> str:
    """The value alone: ``0.23``, or ``23.1 %`` for a metric that is a share of the traffic."""
    if metric is None or _absent(metric.value):
        return MISSING
    return percent(metric.value) if name.startswith(tuple(_SHARES)) else _plain(metric.value)


def interval_of(metric: Metric | None, name: str = "") -> str:
    """The 95 % interval alone: ``0.21 to 0.25``; empty if there is none."""
    if metric is None or _absent(metric.low) or _absent(metric.high):
        return ""
    if name.startswith(tuple(_SHARES)):
        return f"{_percent_digits(metric.low)} to {_percent_digits(metric.high)}{_SPACE}%"
    return f"{_plain(metric.low)} to {_plain(metric.high)}"


def estimate(metric: Metric | None, name: str = "") -> str:
    """A value with its interval: ``0.23 (0.21 to 0.25)``."""
    interval = interval_of(metric, name)
    return f"{value_of(metric, name)} ({interval})" if interval else value_of(metric, name)


def _plain(value: float) -> str:
    digits = ",.0f" if abs(value) >= 100 else ".2f" if abs(value) >= 0.01 or value == 0 else ".2g"
    return f"{value:{digits}}".replace("-", "\N{MINUS SIGN}", 1)


def effect(value: float | None) -> str:
    """A change in units of the series' own noise: as in +4.2 times noise."""
    if value is None or _absent(value):
        return MISSING
    sign = "" if abs(value) < 0.05 else "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(value):.1f}{_SPACE}\N{MULTIPLICATION SIGN}{_SPACE}noise"


def probability(value: float | None) -> str:
    """A p value: ``p = 0.03``, ``p < 0.001``."""
    if value is None or _absent(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def digest(text: str) -> str:
    """The head of a digest."""
    return text[:12]


def words(name: str) -> str:
    """A record's name as words: ``base_rate`` becomes ``base rate``, ``roc_auc`` becomes ``ROC AUC``."""
    return "ROC AUC" if name == "roc_auc" else name.replace("_", " ").replace("-", " ")


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def breakable(name: str) -> Markup:
    """A long name, escaped, with places where a line may break: after dots, underscores and hyphens."""
    return Markup("<wbr>").join(re.split(r"(?<=[._-])", name))


_CAUSES = {
    "nothing": "Steady",
    "world-changed": "World changed",
    "model-failing": "Model failing",
    "both": "World changed, model failing",
    "cannot-tell": "Cannot tell",
}


def cause(verdict: Verdict | None) -> str:
    """A verdict's cause as a person says it."""
    return "No verdict yet" if verdict is None else _CAUSES[verdict.cause]


def path(text: str) -> str:
    """A name as one segment of an address."""
    return quote(text, safe="")


def evidence(text: str, model: str = "") -> Markup:
    """The text, escaped; the runs, predictions and versions of ``model`` that it names become links, `...` becomes code."""
    pattern = _EVIDENCE + (rf"|(?P<version>(?<![\w.:-]){re.escape(model)}:\d+\b)" if model else "")
    parts: list[Markup] = []
    end = 0
    for match in re.finditer(pattern, text):
        parts.extend((escape(text[end : match.start()]), _link(str(match.lastgroup), match[str(match.lastgroup)])))
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def _link(kind: str, text: str) -> Markup:
    if kind == "code":
        return Markup("<code>{}</code>").format(text)
    if kind == "digest":
        return Markup('<code title="{}">{}</code>').format(text, digest(text))
    return Markup('<a class="id" href="/{}s/{}">{}</a>').format(kind, path(text), text)


FILTERS = {
    "count": count,
    "percent": percent,
    "share": share,
    "score": score,
    "milliseconds": milliseconds,
    "duration": duration,
    "moment": moment,
    "number": number,
    "exact": exact,
    "value_of": value_of,
    "interval_of": interval_of,
    "estimate": estimate,
    "effect": effect,
    "probability": probability,
    "digest": digest,
    "words": words,
    "capital": capital,
    "breakable": breakable,
    "cause": cause,
    "path": path,
    "evidence": evidence,
}
