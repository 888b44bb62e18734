"""RESULTS.md: `python -m bench.objectives.table` writes it from results/."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.objectives.arms import EXPERIMENTS
from bench.objectives.claims import CLAIMS, Score, shown
from bench.objectives.results import FOLDER, HERE, RUNS, Results

PAGE = HERE / "RESULTS.md"
_TITLES = {
    ("sst2", "accuracy"): "SST-2, fine-tuned",
    ("pos", "accuracy"): "parts of speech, frozen",
    ("swapped", "accuracy"): "swapped words, fine-tuned",
    ("next", "accuracy"): "NSP pairs, frozen",
    ("order", "accuracy"): "SOP pairs, frozen",
    ("pretrain", "nsp_accuracy"): "its own NSP head",
    ("pretrain", "sop_accuracy"): "its own SOP head",
    ("frozen-masks", "mlm"): "held-out MLM loss, nats",
}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def claims(results: Results) -> str:
    """The papers' directions beside what was measured."""
    rows = []
    for claim in CLAIMS:
        (measure, metric) = claim.better.measure, claim.better.metric
        sides = (f"{s.arm} {shown(s.of(results))}" for s in (claim.better, claim.worse))
        rows.append(
            (claim.says, _TITLES[measure, metric], "; ".join(sides), claim.verdict(results))
        )
    return table(("what the paper says", "measured here by", "median (spread)", "shows?"), rows)


def arms(results: Results) -> str:
    """Every arm of every experiment with all that was measured of it."""
    parts = []
    for experiment in EXPERIMENTS.values():
        measures = [m for m in _TITLES if any(results.values(a, *m) for a in experiment.arms)]
        rows = [
            (
                name,
                _whole(results.values(name, "pretrain", "steps")),
                _whole(results.values(name, "pretrain", "cpu_seconds")),
                *(shown(Score(arm=name, measure=m, metric=k).of(results)) for m, k in measures),
            )
            for name in experiment.arms
        ]
        header = ("arm", "steps", "CPU s", *(_TITLES[m] for m in measures))
        parts.append(f"### {experiment.title}\n\n{table(header, rows)}")
    return "\n".join(parts)


def _whole(values: dict[int, float]) -> str:
    return f"{median(values.values()):.0f}" if values else "-"


def write(results: Results, page: Path = PAGE) -> None:
    """Put the tables between their marks in the page."""
    text = page.read_text(encoding="utf-8")
    for name, content in (("claims", claims(results)), ("arms", arms(results))):
        text = replaced(text, name, content)
    page.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, content: str) -> str:
    """A page with another content between `<!-- name -->` and `<!-- end -->`."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{content}{found[2]}", text)


if __name__ == "__main__":
    write(Results(FOLDER / RUNS))
