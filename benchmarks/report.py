"""What was measured, as a table to read and as JSON to keep.

A ratio is that of two medians of one run of the benchmarks; its spread is that of the rounds, each
contestant's run against the other's that followed or preceded it.

Not here: charts (`charts`).
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.competitors import versions
from benchmarks.measuring import Sample


@dataclass(frozen=True, slots=True)
class Floor:
    """What the issue asks of a row."""

    ours: str
    theirs: str | None
    """The two contestants; None: `limit` is about our figure itself."""
    limit: float
    at_least: bool = True
    """Whether the ratio must be `limit` or more; else `limit` or less."""
    inverse: bool = False
    """Whether the ratio is theirs to ours, for a time that says how many times faster we are."""


@dataclass(slots=True)
class Row:
    """One line of the issue's table, measured."""

    number: str
    title: str
    unit: str
    samples: dict[str, list[Sample]]
    """By contestant; the runs in order."""
    floors: Sequence[Floor] = ()
    notes: list[str] = field(default_factory=list)
    """Who is missing, and what the figure does not say."""

    def judged(self) -> list[dict[str, Any]]:
        """Each floor, with what was reached."""
        judged = []
        for floor in self.floors:
            ours = [sample.value for sample in self.samples.get(floor.ours, [])]
            theirs = [sample.value for sample in self.samples.get(floor.theirs or "", [])]
            if not ours or (floor.theirs is not None and not theirs):
                continue
            theirs = theirs or [1.0] * len(ours)
            upper, lower = (theirs, ours) if floor.inverse else (ours, theirs)
            rounds = [a / b for a, b in zip(upper, lower, strict=True)]
            ratio = median(upper) / median(lower)
            judged.append(
                {
                    **asdict(floor),
                    "reached": ratio,
                    "least": min(rounds),
                    "most": max(rounds),
                    "good": ratio >= floor.limit if floor.at_least else ratio <= floor.limit,
                }
            )
        return judged


def as_text(row: Row) -> str:
    """A row for people."""
    lines = [f"{row.number:>3}  {row.title}  [{row.unit}]"]
    if row.samples:
        lines.append(
            f"     {'':34}{'median':>10}{'min':>10}{'max':>10}"
            f"{'CPU s scu':>11}{'scp':>8}{'peak MB scu':>13}{'scp':>7}"
        )
    for name, samples in row.samples.items():
        values = [sample.value for sample in samples]
        if values:
            lines.append(
                f"     {name:34}{_short(median(values)):>10}{_short(min(values)):>10}"
                f"{_short(max(values)):>10}{_of(samples, 'cpu_scu', 1):>11}"
                f"{_of(samples, 'cpu_scp', 1):>8}{_of(samples, 'memory_scu', 1e6):>13}"
                f"{_of(samples, 'memory_scp', 1e6):>7}"
            )
    for each in row.judged():
        against = each["ours"] + (f" : {each['theirs']}" if each["theirs"] else "")
        if each["inverse"]:
            against = f"{each['theirs']} : {each['ours']}"
        sign = ">=" if each["at_least"] else "<="
        lines.append(
            f"     {'ok  ' if each['good'] else 'MISS'} {against}: {_short(each['reached'])} "
            f"({_short(each['least'])}..{_short(each['most'])}; asked {sign} {each['limit']:g})"
        )
    lines += [f"     - {note}" for note in row.notes]
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _of(samples: Sequence[Sample], what: str, unit: float) -> str:
    values = [value for s in samples if (value := getattr(s, what)) is not None]
    if not values:
        return ""
    return f"{median(values):.3f}" if unit == 1 else f"{median(values) / unit:.0f}"


def surroundings(tap: str, runs: int, quick: bool) -> dict[str, Any]:
    """Where and with what it was measured."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "runs": runs,
        "quick": quick,
        "timed by": tap,
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "congestion control": control.read_text().strip() if control.exists() else "unknown",
        "load before": os.getloadavg()[0],
        "versions": versions(),
    }


def write_json(
    path: Path, about: dict[str, Any], rows: Iterable[Row], curves: dict[str, Any]
) -> None:
    """Everything, each run included."""
    content = {
        **about,
        "load after": os.getloadavg()[0],
        "rows": [
            {
                "number": row.number,
                "title": row.title,
                "unit": row.unit,
                "samples": {k: [asdict(one) for one in v] for k, v in row.samples.items()},
                "floors": row.judged(),
                "notes": row.notes,
            }
            for row in rows
        ],
        "curves": curves,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


Tell = Callable[[str], None]
"""Says what is going on."""
