"""foretext evaluate --suite: a model asked by prompts, zero-, one- and few-shot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from foretext.cli.output import Output
from foretext.cli.units import columns
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.evaluation.prompting import Result
    from foretext.evaluation.suite import Item, Suite


def on_suite(  # noqa: PLR0913  (what the verb takes)
    folder: Path,
    name: str,
    data: Path,
    output: Output,
    *,
    shots: str,
    exemplars: Path | None,
    orders: int,
    limit: int | None,
    out: Path | None,
    on_error: str,
) -> None:
    """Ask every question with so many examples before it; a row a setting."""
    from foretext.core.atomic import atomic_write_text
    from foretext.evaluation.prompting import Shots, ask, summarise
    from foretext.evaluation.suite import read_suite
    from foretext.scoring import scorer as scorer_of

    suite, counts = read_suite(name), _counts(shots)
    if max(counts) and exemplars is None:
        raise ConfigError(
            f"--shots {shots} needs examples: give --exemplars, a file with the columns of --data"
        )
    items = _items(suite, data, on_error, limit)
    pool = [] if exemplars is None else _items(suite, exemplars, on_error, None)
    scorer = scorer_of(folder)
    results: list[Result] = []
    lines: list[str] = []
    for count in counts:
        for order in range(orders if count > 1 else 1):
            setting = Shots(pool=pool, count=count, order=order)
            answers = list(ask(scorer, suite, items, setting))
            results.append(summarise(suite, setting, answers))
            lines += [
                json.dumps({"shots": count, "order": order} | a.record, ensure_ascii=False)
                for a in answers
            ]
            if output.json:
                output.result("", asdict(results[-1]))
    if not output.json:
        print(_table(results))
    if dropped := sum(result.dropped for result in results):
        output.note(f"{dropped:,} examples did not fit before their question and were left out")
    if out is not None:
        atomic_write_text(out, "\n".join(lines) + "\n")
        output.note(f"{out}: every prompt, answer and score")


def _items(suite: Suite, path: Path, on_error: str, limit: int | None) -> list[Item]:
    from itertools import islice

    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not paths:
        raise ConfigError(f"{path} holds no .jsonl file; give a file, or a folder of them")
    found = [item for one in paths for item in islice(suite.items(one, on_error), limit)]
    if not found:
        raise ConfigError(f"{path} holds no question")
    return found


def _counts(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--shots {text!r} must be numbers of examples, such as 0,1,8")
    return list(dict.fromkeys(map(int, parts)))


def _table(results: Sequence[Result]) -> str:
    rows = [
        (
            str(r.shots),
            str(r.order),
            f"{r.accuracy:.4f}",
            f"{r.error:.4f}",
            f"{r.chance:.4f}",
            f"{r.ties:,}",
            f"{r.questions:,}",
            r.exemplars or "-",
        )
        for r in results
    ]
    header = ("shots", "order", "accuracy", "error", "chance", "ties", "questions", "examples")
    return f"{results[0].suite}\n" + columns(rows, header=header)
