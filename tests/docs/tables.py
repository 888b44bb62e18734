"""The documentation's tables that the code decides: `python -m tests.docs.tables` rewrites them.

A page holds a table between `<!-- table: NAME -->` and `<!-- end -->`. Families, objectives and
tasks come from the name tables; settings from the fields of their dataclasses, whose meaning is the
comment behind the field, or `COMMON` where the name is the field's own word.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from foretext.cli.papers import paper, summary
from foretext.hub.classes import TASK_CLASSES
from foretext.models import FAMILIES
from foretext.objectives import OBJECTIVES
from foretext.recipes.papers import PAPER_RECIPES
from foretext.recipes.recipe import DataConfig, Recipe
from foretext.recipes.task_recipe import FinetuneConfig
from foretext.runs.continued_plan import CONTINUED, ContinuedConfig
from foretext.tasks import TASKS
from foretext.tasks.datasets import DATASETS
from foretext.training.config import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "README.ko.md", "docs/recipes.md")
COMMON = {
    "vocab_size": "tokens; a run takes its tokenizer's number",
    "hidden_size": "width of a token's state",
    "embedding_size": "width of the token table, where it is another than hidden_size",
    "num_layers": "layers",
    "num_heads": "attention heads; the hidden size is a multiple",
    "intermediate_size": "width inside a feed-forward layer",
    "type_vocab_size": "segments: A and B",
    "activation": "of the feed-forward layers",
    "layer_norm_eps": "added to the variance in a layer norm",
    "betas": "decay of the optimizer's two moments",
    "eps": "added to the root of the second moment",
    "warmup_steps": "steps of linear rise from 0",
    "seed": "of everything random",
    "head_size": "of queries, keys and values of a head",
    "axial_sizes": "widths of the position vectors along each axis; they add up to hidden_size",
    "lsh_looks": "chunks before and after its own that a chunk looks at, by hashed attention",
    "pooling": "what stands for a text: the paper's token, or the mean of all states",
    "format": "of a file whose suffix does not say it, or a tool's name; see docs/data-formats.md",
}
MAIN = (
    ("objective", "name"),
    ("data", "tokenizer"),
    ("data", "max_length"),
    ("training", "batch_size"),
    ("training", "learning_rate"),
    ("training", "schedule"),
    ("training", "warmup_steps"),
    ("training", "steps"),
)
_SERIES = re.compile(r"-l\d+-h\d+$|-scale-")  # many of a kind, which `foretext models` lists
_MARK = re.compile(r"(<!-- table: ([\w.-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; pipes in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(c) for c in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") if text != "---" else text


def families() -> str:
    """Families with presets, what trains them, and papers."""
    rows = []
    for name, family in FAMILIES.items():
        presets = [p for p in family.presets if not _SERIES.search(p)]
        more = len(family.presets) - len(presets)
        listed = ", ".join(f"`{p}`" for p in presets) + (f" and {more} small ones" if more else "")
        used = dict.fromkeys(family.recipe(p)["objective.name"] for p in family.presets)
        rows.append((f"`{name}`", listed, ", ".join(f"`{o}`" for o in used), _cited(family.paper)))
    return markdown(("family", "presets", "trained by", "paper"), rows)


def _paper(about: str) -> str:
    return _cited(paper(about))


def _cited(told: str) -> str:
    """The papers' names and years, which begin what is said of them."""
    cited = re.findall(r"[A-Z]\w+ et al\.,? \d{4}", told)
    links = re.findall(r"https?://[^\s,;)]+", told)
    if links:
        return ", ".join(
            f"[{c}]({links[i].rstrip('.')})" if i < len(links) and len(links) == len(cited) else c
            for i, c in enumerate(cited)
        )
    return "; ".join(dict.fromkeys(cited)) or told


def objectives() -> str:
    """Objectives by name with their first line and papers."""
    rows = [(f"`{s.name}`", summary(s.about), _paper(s.about)) for s in OBJECTIVES.values()]
    return markdown(("objective", "what it is", "paper"), rows)


def tasks() -> str:
    """Tasks with files, metrics, the class of the saved folder, and data sets."""
    rows = []
    for name, module in TASKS.items():
        sets = ", ".join(f"`{n}`" for n, one in DATASETS.items() if one.task == name)
        guide = module.GUIDE
        rows.append(
            (
                f"`{name}`",
                guide.files,
                guide.metrics,
                f"`…{TASK_CLASSES.get(name, 'ForConditionalGeneration')}`",
                sets,
            )
        )
    told = "loss a word before and after, on the domain and on old text"
    for name in CONTINUED:
        rows.append((f"`{name}`", "text of a domain", told, "the model's own", ""))
    header = ("task", "learns from", "measures", "class in `transformers`", "data sets by name")
    return markdown(header, rows)


def recipes() -> str:
    """The papers' recipes of fine-tuning by name."""
    rows = [
        (f"`{name}`", one.paper, "GPTs" if one.left_to_right else "encoders")
        for name, one in PAPER_RECIPES.items()
    ]
    return markdown(("recipe", "paper", "for"), rows)


def meanings(config: type) -> dict[str, str]:
    """The comment behind each field of a dataclass, or above it; else its parent's, or COMMON."""
    found: dict[str, str] = {}
    for one in reversed(config.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        above: list[str] = []
        for line in inspect.getsource(one).splitlines():
            if line.startswith("    # "):
                above.append(line[6:])
                continue
            if match := re.match(r"    (\w+): [^#]*?(?:  # (.*))?$", line):
                told = match[2] or " ".join(above) or found.get(match[1]) or COMMON.get(match[1])
                found[match[1]] = re.sub(r"\bNone\b", "none", told or "").replace("() =", "[] =")
            above = []
    return {field.name: found.get(field.name, "") for field in dataclasses.fields(config)}


def setting(section: str, config: type) -> str:
    """A section's paths with default and meaning."""
    told = meanings(config)
    rows = [
        (f"`{section}.{field.name}`", f"`{value(field.default)}`", told[field.name])
        for field in dataclasses.fields(config)
    ]
    return markdown(("path", "default", "meaning"), rows) if rows else "No settings.\n"


def value(default: Any) -> str:
    """A default as --set takes it."""
    if default is dataclasses.MISSING:
        return "(required)"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return str(list(default)) if isinstance(default, tuple) else str(default)


def presets(family: ModuleType) -> str:
    """The main settings that papers give a family's presets, a row for each distinct recipe."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for preset in family.presets:
        recipe = Recipe.of(preset).values()
        values = [recipe[section][name] for section, name in MAIN]
        rows.setdefault(tuple(value(v) for v in values), []).append(preset)
    header = ("presets", *(f"{section}.{name}" for section, name in MAIN))
    return markdown(header, [(_some(names), *values) for values, names in rows.items()])


def _some(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names if not _SERIES.search(name)]
    return ", ".join(shown) or f"`{names[0]}` … `{names[-1]}`"


def tables() -> dict[str, Callable[[], str]]:
    """Every table by name."""
    found: dict[str, Callable[[], str]] = {
        "families": families,
        "objectives": objectives,
        "tasks": tasks,
        "data": lambda: setting("data", DataConfig),
        "training": lambda: setting("training", TrainingConfig),
        "finetune": lambda: setting("finetune", FinetuneConfig),
        "recipes": recipes,
        "task.continued": lambda: setting("task", ContinuedConfig),
    }
    for name, family in FAMILIES.items():
        found[f"model.{name}"] = lambda family=family: setting("model", family.config)  # type: ignore[misc]
        found[f"presets.{name}"] = lambda family=family: presets(family)  # type: ignore[misc]
    for name, spec in OBJECTIVES.items():
        found[f"objective.{name}"] = lambda s=spec: setting("objective", s.config)  # type: ignore[misc]
    for name, module in TASKS.items():
        found[f"task.{name}"] = lambda m=module: setting("task", m.Config)  # type: ignore[misc]
        found[f"input.{name}"] = lambda m=module: setting("data", m.Input)  # type: ignore[misc]
    return found


def rewritten(page: str) -> str:
    """A page with its tables as the code has them now."""
    known = tables()
    return _MARK.sub(lambda found: f"{found[1]}{known[found[2]]()}{found[4]}", page)


def shown(page: str) -> set[str]:
    """Names of the tables that a page shows."""
    return {found[2] for found in _MARK.finditer(page)}


if __name__ == "__main__":
    for name in PAGES:
        path = ROOT / name
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
