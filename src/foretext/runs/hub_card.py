"""The card of a model on a hub: what the folder's card says, and the metadata that a hub wants."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretext.core.config import read_toml
from foretext.core.errors import ConfigError
from foretext.recipes.folder import RECIPE_FILE
from foretext.training.log import read_metrics

_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_NEEDED = "pushing needs huggingface_hub; pip install 'foretext[hub]'"


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What only the user knows of a model.

    Attributes:
        license: an identifier, such as mit, apache-2.0, cc-by-4.0 or other.
        languages: of its text, ISO 639, such as en or ko; empty for what is no language.
        base_model: on the hub, from which its weights came; None for weights from nothing.
        datasets: on the hub, that it learned from.
    """

    license: str
    languages: tuple[str, ...] = ()
    base_model: str | None = None
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if wrong := [code for code in self.languages if not _LANGUAGE.fullmatch(code)]:
            raise ConfigError(
                f"--language {wrong[0]!r} is not a code of ISO 639; give two or three letters, "
                "such as en or ko"
            )
        if self.base_model is not None:
            check_repository("--base-model", self.base_model)


def check_repository(option: str, name: str) -> None:
    """Refuse what is no name on the hub.

    Raises:
        ConfigError: it is not USER/NAME.
    """
    if not _REPOSITORY.fullmatch(name):
        raise ConfigError(f"{option} {name!r} must be USER/NAME, such as ann/my-bert")


def is_derived(folder: Path) -> bool:
    """Whether a run began with the weights of another model, so that its card names it."""
    path = folder / RECIPE_FILE
    values = read_toml(path) if path.is_file() else {}
    fresh = values.get("finetune", {}).get("random_weights", False)
    return ("source" in values and not fresh) or "source" in values.get("text", {})


def results(folder: Path) -> dict[str, float]:
    """The last metrics of a run, of fine-tuning or of text that was held out; {} for none."""
    path = folder / "result.json"
    if path.is_file():
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return dict(found.get("metrics", {}))
    evaluated = [r for r in read_metrics(folder) if any(k.startswith("eval/") for k in r)]
    last: Mapping[str, Any] = evaluated[-1] if evaluated else {}
    return {
        name.removeprefix("eval/"): value
        for name, value in last.items()
        if name.startswith("eval/") and value is not None
    }


def hub_card(folder: Path, card: str, repository: str, options: CardOptions) -> str:
    """README.md for a hub.

    Args:
        folder: of the run.
        card: its own README.md.
        repository: its name there.
        options: what only the user knows.

    Raises:
        ConfigError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        raise ConfigError(_NEEDED) from None
    front = _FRONT.match(card)
    own = _simple_yaml(front[1]) if front else {}
    task = str(own.get("pipeline_tag", "feature-extraction"))
    measured = results(folder)
    part = "development file" if (folder / "result.json").is_file() else "held-out text"
    data = ModelCardData(
        language=list(options.languages) or None,
        license=options.license,
        base_model=options.base_model,
        datasets=list(options.datasets) or None,
        library_name=own.get("library_name", "transformers"),
        pipeline_tag=task,
        tags=own.get("tags", ["foretext"]),
        metrics=sorted(measured) or None,
        model_name=repository.rpartition("/")[2],
        eval_results=[
            EvalResult(
                task_type=task,
                dataset_type=options.datasets[0] if options.datasets else "local",
                dataset_name=part,
                metric_type=name,
                metric_value=round(value, 6),
            )
            for name, value in measured.items()
        ]
        or None,
    )
    body = card[front.end() :] if front else f"\n{card}"
    return f"---\n{data.to_yaml().strip()}\n---\n{body}"


def _simple_yaml(text: str) -> dict[str, Any]:
    """The lines `name: value` and `name: [a, b]` that foretext's cards have."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        inner = value.strip()
        if inner.startswith("[") and inner.endswith("]"):
            found[name] = [part.strip() for part in inner[1:-1].split(",")]
        elif inner:
            found[name] = inner
    return found
