"""Loss against compute, both logarithmic, as an SVG of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure


def loss_chart(
    path: Path, points: Sequence[tuple[float, float]], law: Callable[[float], float]
) -> None:
    """Write the chart.

    Args:
        path: of the SVG.
        points: (FLOP, nats a token) of each run.
        law: the fitted loss at a number of FLOP.
    """
    flops, losses = zip(*points, strict=True)
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "foretext", "font.size": 9}
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.2, 3.4), layout="constrained")
        axes = figure.subplots()
        curve = np.geomspace(min(flops), max(flops))
        axes.plot(curve, [law(x) for x in curve], color="#c25711", label="fitted power law")
        axes.plot(flops, losses, "o", color="#1f5fbf", markersize=4, label="runs")
        axes.set(xscale="log", yscale="log", xlabel="compute, FLOP")
        axes.set_ylabel("held-out loss, nats a token")
        axes.yaxis.set_major_formatter("{x:.1f}")
        axes.yaxis.set_minor_formatter("{x:.1f}")
        axes.grid(color="#d9dee6", which="both")
        axes.legend()
        figure.savefig(path, metadata={"Date": None})
