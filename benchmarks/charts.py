"""Line charts as SVG, written directly: no library, and a picture that follows a page's colours.

Not here: what is drawn (`sweeps`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 160, 46, 56
"""Margins; the legend stands in the right one."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f")
"""Told apart by the colour-blind too (Okabe and Ito)."""
INK = "#808890"
"""Readable on white and on black."""


@dataclass(slots=True)
class Curve:
    """A quantity at several places, each measured several times."""

    points: list[tuple[float, list[float]]] = field(default_factory=list)
    """Where, and the values of the runs."""


@dataclass(slots=True)
class Chart:
    """Curves in one frame."""

    name: str
    """Of the file, without its ending."""
    title: str
    x: str
    """What goes to the right, in logarithmic steps."""
    y: str
    """What goes up, from 0."""
    curves: dict[str, Curve] = field(default_factory=dict)
    x_is_bytes: bool = False


def draw(chart: Chart) -> str:
    """The chart as SVG: medians as lines, the spread from least to most as bars."""
    xs = sorted({x for curve in chart.curves.values() for x, _ in curve.points})
    values = [v for curve in chart.curves.values() for _, many in curve.points for v in many]
    step = _step(max(values, default=1.0))
    top = step * math.ceil(max(values, default=1.0) / step)
    low, high = math.log(xs[0]), math.log(xs[-1])

    def across(x: float) -> float:
        share = (math.log(x) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f"<title>{escape(chart.title)}</title>",
        _text(LEFT, 24, chart.title, "start", size=15),
    ]
    for number in range(round(top / step) + 1):
        y = up(number * step)
        parts.append(_line([(LEFT, y), (WIDTH - RIGHT, y)], INK, 0.3))
        parts.append(_text(LEFT - 8, y + 4, f"{number * step:g}", "end"))
    for x in xs:
        parts.append(_text(across(x), HEIGHT - BOTTOM + 18, _number(x, chart.x_is_bytes), "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, chart.x, "middle"))
    parts.append(
        f'<g transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)">'
        f"{_text(0, 0, chart.y, 'middle')}</g>"
    )
    labels = _legend({name: up(median(c.points[-1][1])) for name, c in chart.curves.items()})
    for (name, curve), colour in zip(chart.curves.items(), COLOURS, strict=False):
        line = [(across(x), up(median(many))) for x, many in curve.points]
        parts.append(_line(line, colour, 2))
        for (x, many), (_, y) in zip(curve.points, line, strict=True):
            at = across(x)
            parts.append(_line([(at, up(min(many))), (at, up(max(many)))], colour, 1))
            parts.append(f'<circle cx="{at:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 12, labels[name] + 4, name, "start", colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _step(most: float) -> float:
    """A round step that divides the height in four to ten."""
    power = 10.0 ** math.floor(math.log10(most or 1.0))
    return next(s * power for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if most / (s * power) <= 8)


def _number(value: float, is_bytes: bool) -> str:
    if not is_bytes:
        return f"{value:g}"
    for unit in ("", " KiB", " MiB", " GiB"):
        if value < 1024 or unit == " GiB":
            break
        value /= 1024
    return f"{value:g}{unit}"


def _legend(wanted: dict[str, float]) -> dict[str, float]:
    """Heights for names: each beside the end of its curve, none over another."""
    placed: dict[str, float] = {}
    last = -math.inf
    for name, y in sorted(wanted.items(), key=lambda each: each[1]):
        last = max(y, last + 16)
        placed[name] = last
    return placed


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 12, colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
