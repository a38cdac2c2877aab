"""What a recorder's folders lack: places that cannot be read, and records that are known to be missing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

from seakeep.recorder import query
from seakeep.recorder.layout import Part, parts
from seakeep.recorder.reader import report, segment
from seakeep.recorder.segment import Damage
from seakeep.records.prediction import Gap


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Damage, which hides records that were kept, and gaps, which count records that never were."""

    damage: tuple[Damage, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """For a person: one on each damaged place, and one on all gaps."""
        told = [f"{one.length:,} bytes at offset {one.offset:,} of {one.file} cannot be read" for one in self.damage]
        reasons: Counter[str] = Counter()
        for gap in self.gaps:
            reasons[gap.reason] += gap.count
        if reasons:
            shares = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
            told.append(f"{reasons.total():,} records are missing, which was counted: {shares}")
        return tuple(told)


def losses(*folders: Path) -> Losses:
    """Read all that is in some folders and tell what is not."""
    damage: list[Damage] = []
    for folder in folders:
        for part in parts(folder)[0]:
            source = segment(folder, part)
            if not isinstance(source, Part):
                for _ in source.payloads():
                    pass
                report(source, part, damage)
    return Losses(damage=tuple(damage), gaps=tuple(gap for folder in folders for gap in query.gaps(folder)))
