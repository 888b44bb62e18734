"""Small line and dot charts as SVG, drawn by hand so that a page needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 22, 14, 40


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve; `marked` draws its points."""

    label: str
    points: Sequence[tuple[float, float]]
    style: str  # a CSS class
    marked: bool = False


def line_chart(lines: Sequence[Line], *, x_label: str, y_label: str) -> str:
    """Curves over shared axes."""
    points = [p for line in lines for p in line.points if math.isfinite(p[1])]
    if not points:
        return "<p>Nothing was measured.</p>"
    x_ticks = ticks(0, max(x for x, _ in points))
    y_ticks = ticks(min(y for _, y in points), max(y for _, y in points))
    scale = _Scale(x_ticks, y_ticks)
    parts = [scale.axes(x_label, y_label)]
    for line in lines:
        path = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline class="{line.style}" points="{path}"/>')
        if line.marked:
            parts += [
                f'<circle class="{line.style}" cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3">'
                f"<title>{escape(line.label)}: {y:.3f} at {x:,.0f}</title></circle>"
                for x, y in line.points
            ]
    label = f"{y_label} over {x_label}: " + ", ".join(line.label for line in lines)
    return _svg(parts, label)


@dataclass(frozen=True, kw_only=True)
class Dots:
    """One row of a dot chart: a value for each seed, and their median."""

    label: str
    values: Sequence[float]
    style: str


def dot_chart(rows: Sequence[Dots], *, x_label: str) -> str:
    """Rows of dots over one axis."""
    values = [value for row in rows for value in row.values]
    x_ticks = ticks(min(values), max(values))
    low, high = x_ticks[0], x_ticks[-1]
    left, step = 190, 34
    height = _TOP + step * len(rows) + _BOTTOM
    span = _WIDTH - left - _RIGHT

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * span

    bottom = height - _BOTTOM
    parts = [
        f'<line class="grid" x1="{place(t):.1f}" x2="{place(t):.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<text x="{place(t):.1f}" y="{bottom + 16}" text-anchor="middle">{t:g}</text>'
        for t in x_ticks
    ]
    for number, row in enumerate(rows):
        y = _TOP + step * (number + 0.5)
        middle = sorted(row.values)[len(row.values) // 2]
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(row.label)}')
        parts.append("</text>")
        parts += [
            f'<circle class="{row.style}" cx="{place(v):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(row.label)}: {v:.1f}</title></circle>"
            for v in row.values
        ]
        parts.append(
            f'<line class="median" x1="{place(middle):.1f}" x2="{place(middle):.1f}" '
            f'y1="{y - 11:.1f}" y2="{y + 11:.1f}"/>'
        )
    parts.append(
        f'<text x="{left + span / 2:.0f}" y="{height - 6}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    return _svg(parts, x_label, height)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, three to eight of them, that hold both ends."""
    span = max(high - low, 1e-9, abs(high) * 1e-6)
    power = 10.0 ** math.floor(math.log10(span / 3))
    step = next(power * f for f in (1, 2, 5, 10) if span / (power * f) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return [round(step * n, 10) for n in range(first, last + 1)]


class _Scale:
    def __init__(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        self.x_ticks, self.y_ticks = x_ticks, y_ticks

    def x(self, value: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_label: str, y_label: str) -> str:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        parts = [
            f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{self.y(t):.1f}" '
            f'y2="{self.y(t):.1f}"/><text x="{_LEFT - 8}" y="{self.y(t) + 4:.1f}" '
            f'text-anchor="end">{t:g}</text>'
            for t in self.y_ticks
        ]
        parts += [
            f'<text x="{self.x(t):.1f}" y="{bottom + 16}" text-anchor="middle">{t:,.0f}</text>'
            for t in self.x_ticks
        ]
        middle = (_LEFT + right) / 2
        parts.append(
            f'<text x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">'
            f"{escape(x_label)}</text>"
            f'<text x="14" y="{bottom / 2:.0f}" text-anchor="middle" '
            f'transform="rotate(-90 14 {bottom / 2:.0f})">{escape(y_label)}</text>'
        )
        return "".join(parts)


def _svg(parts: Sequence[str], label: str, height: int = _HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
