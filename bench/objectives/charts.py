"""Loss against compute, both logarithmic, as an SVG of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from foretext.atomic import atomic_write_text

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 300, 60, 20, 16, 44
_STYLE = (
    "text{font:12px sans-serif;fill:#444}.grid{stroke:#ddd}.law{stroke:#c60;fill:none}"
    "circle{fill:#036}"
)


def loss_chart(
    path: Path, points: Sequence[tuple[float, float]], law: Callable[[float], float]
) -> None:
    """Write the chart.

    Args:
        path: of the SVG.
        points: (FLOP, nats a token) of each run.
        law: the fitted loss at a number of FLOP.
    """
    low, high = (math.log10(f(x for x, _ in points)) for f in (min, max))
    losses = [y for _, y in points] + [law(10**low), law(10**high)]
    bottom, top = math.log10(min(losses)) - 0.01, math.log10(max(losses)) + 0.01

    def x(flops: float) -> float:
        share = (math.log10(flops) - low) / (high - low)
        return _LEFT + 10 + share * (_WIDTH - _LEFT - _RIGHT - 20)

    def y(loss: float) -> float:
        share = (math.log10(loss) - bottom) / (top - bottom)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f"<style>{_STYLE}</style>", f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>']
    for number in range(5):
        loss = 10 ** (bottom + (top - bottom) * number / 4)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(loss):.1f}" '
            f'y2="{y(loss):.1f}"/><text x="{_LEFT - 8}" y="{y(loss) + 4:.1f}" '
            f'text-anchor="end">{loss:.2f}</text>'
        )
    parts += [
        f'<text x="{x(flops):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
        f"{flops:.0e}</text>"
        for flops in sorted({x for x, _ in points})
    ]
    curve = [10 ** (low + (high - low) * n / 40) for n in range(41)]
    line = " ".join(f"{x(flops):.1f},{y(law(flops)):.1f}" for flops in curve)
    parts.append(f'<polyline class="law" points="{line}"/>')
    parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5"/>' for a, b in points]
    parts.append(
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">compute, FLOP</text>'
        f'<text x="14" y="{_HEIGHT / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {_HEIGHT / 2})">held-out loss, nats a token</text>'
    )
    atomic_write_text(
        path,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Held-out loss over compute">{"".join(parts)}</svg>\n',
    )
