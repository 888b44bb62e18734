"""Numbers as a reader wants them: three digits and a unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from shutil import get_terminal_size
from textwrap import fill

_POWERS = ("", " k", " M", " G", " T", " P", " E", " Z", " Y")


def short(value: float, *, base: int = 1000) -> str:
    """A number with a metric prefix: 1234567 is "1.23 M"."""
    power = 0
    while abs(value) >= 999.5 and power < len(_POWERS) - 1:
        value, power = value / base, power + 1
    if power == 0:
        return f"{value:.3g}"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}{_POWERS[power]}"


def size(num_bytes: float) -> str:
    """Bytes: 1500000 is "1.50 MB"."""
    text = short(num_bytes)
    return f"{text}B" if " " in text else f"{text} B"


def duration(seconds: float) -> str:
    """Seconds: "0.8 s", "4:05", "2:10:00" or "12 days 3 h"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24:,} days {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def metrics(values: Mapping[str, float]) -> str:
    """Named numbers in a line: "loss 5.432, mlm_accuracy 0.201"."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def columns(rows: Iterable[Sequence[object]], *, header: Sequence[str] = ()) -> str:
    """Rows under each other in aligned columns; columns of numbers are aligned right."""
    cells = [[str(cell) for cell in row] for row in rows]
    numeric = [all(_is_number(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = [list(header), *cells] if header else cells
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdigit()


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph as wide as the terminal, but no wider than is easily read."""
    width = min(get_terminal_size().columns, 100)
    return fill(text, width, initial_indent=indent, subsequent_indent=indent)
