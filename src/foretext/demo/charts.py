"""Line and dot charts by matplotlib, as SVG to stand in a page, whose colours they take."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from foretext.core.errors import ConfigError

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    raise ConfigError(
        "the page of the tour is drawn by matplotlib, which is not installed: "
        "pip install 'foretext[demo]' brings it"
    ) from None

# Drawn in colours that occur nowhere else, each of which stands for a variable of the page's style.
_VARIABLES = {"#010203": "ink", "#010204": "soft", "#010205": "rule", "#010206": "one"}
_VARIABLES |= {"#010207": "two"}
_COLOURS = {name: colour for colour, name in _VARIABLES.items()}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "foretext",  # the same chart has the same bytes
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    **{f"{name}.color": _COLOURS["soft"] for name in ("text", "xtick", "ytick")},
    "axes.labelcolor": _COLOURS["soft"],
    "axes.edgecolor": _COLOURS["rule"],
    "grid.color": _COLOURS["rule"],
    "legend.frameon": False,
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve; `marked` draws its points."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str  # ink, soft, rule, one or two, of the page's style
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Dots:
    """One row of a dot chart: a value for each seed, and their median."""

    label: str
    values: Sequence[float]
    colour: str


def line_chart(
    lines: Sequence[Line], *, x_label: str, y_label: str, level: tuple[str, float] | None = None
) -> str:
    """Curves over shared axes, and perhaps a level with its name."""
    if not any(line.points for line in lines):
        return "<p>Nothing was measured.</p>"
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.2, 2.9), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            style = "o-" if line.marked else "-"
            colour = _COLOURS[line.colour]
            x, y = zip(*line.points, strict=True) if line.points else ((), ())
            axes.plot(x, y, style, label=line.label, color=colour, markersize=3.5, linewidth=1.4)
        if level is not None:
            axes.axhline(level[1], label=level[0], color=_COLOURS["two"], linestyle="--")
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, None))
        axes.legend()
        return _svg(figure, f"{y_label} over {x_label}: {', '.join(line.label for line in lines)}")


def dot_chart(
    rows: Sequence[Dots], *, x_label: str, levels: Sequence[tuple[str, float]] = ()
) -> str:
    """Rows of dots over one axis, the first on top, and levels with their names as lines."""
    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(6.2, 0.6 + 0.36 * (len(rows) + bool(levels))), layout="constrained"
        )
        axes = figure.subplots()
        for number, row in enumerate(rows):
            places = [number] * len(row.values)
            axes.scatter(row.values, places, s=26, color=_COLOURS[row.colour], zorder=3)
            axes.plot(median(row.values), number, "|", color=_COLOURS["ink"], markersize=15)
        for (name, value), style in zip(levels, itertools.cycle(("--", ":")), strict=False):
            axes.axvline(value, label=name, color=_COLOURS["soft"], linestyle=style, zorder=1)
        if levels:
            figure.legend(loc="outside lower center", ncols=len(levels))
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set(xlabel=x_label, ylim=(len(rows) - 0.5, -0.5))
        axes.grid(visible=False, axis="y")
        return _svg(figure, x_label)


def _svg(figure: Figure, label: str) -> str:
    """The figure as an element of a page."""
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    svg = drawn.getvalue()
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    start = svg.index("<svg") + len("<svg")
    return f'<svg role="img" aria-label="{escape(label)}"{svg[start:]}'
