"""A size and a recipe for a family, a text and a budget: rules, each with its evidence.

`foretext pretrain bert --text F --minutes 30` names a family without a size. Numbers come from
bench/budget/RESULTS.md, measured on Korean film reviews and two layers of 128; where a rule goes
beyond them, it says so. What a user sets beats every rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foretext.core.config import ModelConfig
from foretext.core.errors import ConfigError
from foretext.models.family import Family
from foretext.objectives import OBJECTIVES
from foretext.recipes.small import SMALL, pretraining_rate

SIZES = (*SMALL, "-small", "-medium")  # ends of presets' names, from small to large
_ENOUGH = 16_000_000  # tokens: two layers of 128 did not gain from more than half of it
_READINGS = 4  # of the text, where it is shorter
_SHARE = 0.5  # of the rate of a matrix multiply that training reaches (54 % measured)
_STEP_TOKENS = 2_048  # of a step
_BATCH = (8, 128)  # sequences of a step, at least and at most
_LONG_DOCUMENT = 64  # tokens
_SHORT_FIRST, _THEN = 32, 128  # tokens of a sequence
_FEW_READINGS = 5  # of the text; with fewer no token is seen often enough to be learned by heart
_LITTLE_TEXT, _FEW_TOKENS = 1_000_000, 4_000  # tokens of the text, and of its vocabulary
_STEPS_LEFT = 10_000  # the schedule's length until a step is timed


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What the rules ask of a text."""

    tokens: float  # about
    document_tokens: float  # of a document, on average


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A preset, settings by path, and why."""

    preset: str
    settings: dict[str, Any]
    reasons: tuple[str, ...] = field(default=())


def choose(
    family: Family[ModelConfig], text: TextFacts, *, minutes: float, flops_per_second: float
) -> Choice:
    """The recipe for a text and a budget.

    Args:
        family: of the model.
        text: to be read.
        minutes: of training.
        flops_per_second: of a matrix multiply on this machine.

    Raises:
        ConfigError: the family has no small sizes.
    """
    sizes = [name for end in SIZES if (name := family.name + end) in family.presets]
    if not sizes:
        raise ConfigError(
            f"{family.name} has no size for a budget of minutes; name a preset of `foretext models`"
        )
    work = 60 * minutes * flops_per_second * _SHARE
    readable = {name: work / _flops_a_token(family.presets[name]) for name in sizes}
    wanted = min(_ENOUGH, _READINGS * text.tokens)
    fitting = [name for name in sizes if readable[name] >= wanted]
    preset = fitting[-1] if fitting else sizes[0]
    read = readable[preset]
    settings, reasons = _settings(family, preset, text, read)
    first = (
        f"{preset}: in {minutes:g} minutes it reads about {read / 1e6:.3g} million tokens, "
        f"{read / max(text.tokens, 1):.2g} times the text; a larger one is taken once it reads "
        f"{wanted / 1e6:.3g} million"
    )
    return Choice(preset=preset, settings=settings, reasons=(first, *reasons))


def _settings(
    family: Family[ModelConfig], preset: str, text: TextFacts, read: float
) -> tuple[dict[str, Any], list[str]]:
    """Settings by path, and a line on each that a reader may wonder about."""
    config, usual = family.presets[preset], family.recipe(preset)
    rate = pretraining_rate(config.hidden_size)
    settings: dict[str, Any] = {
        "training.learning_rate": rate,
        "training.steps": _STEPS_LEFT,
        "training.warmup_steps": _STEPS_LEFT // 10,
    }
    reasons = [f"learning rate {rate:g}: higher ones wash the start from counts away"]
    if usual.get("training.optimizer") == "lamb":  # for batches of thousands
        settings |= {"training.optimizer": "bert-adamw"}
    lengths, reason = _lengths(text)
    settings |= lengths
    reasons.append(reason)
    length = min(lengths["data.max_length"], text.document_tokens)
    batch = round(_STEP_TOKENS / max(length, 1.0))
    settings["training.batch_size"] = min(max(batch, _BATCH[0]), _BATCH[1])
    if OBJECTIVES[usual["objective.name"]].segments > 1 and family.hub.class_for(
        config, "masked-lm"
    ):
        settings["objective.name"] = "masked-lm"
        reasons.append("masked LM alone: judging pairs of texts costs targets and brings little")
    if read / max(text.tokens, 1) < _FEW_READINGS:
        names = [name for name in config.__dataclass_fields__ if name.endswith("dropout")]
        settings |= {f"model.{name}": 0.0 for name in names}
        reasons.append(f"no dropout: the text is read fewer than {_FEW_READINGS} times")
    if text.tokens < _LITTLE_TEXT:
        settings["data.vocab_size"] = _FEW_TOKENS
        reasons.append(f"{_FEW_TOKENS:,} tokens: in little text more would be too rare to learn")
    return settings, reasons


def _lengths(text: TextFacts) -> tuple[dict[str, Any], str]:
    """Lengths of sequences: short ones first where documents are long."""
    if text.document_tokens <= _LONG_DOCUMENT:
        reason = "sequences as long as documents are"
        return {"data.max_length": _THEN, "data.long_length": None}, reason
    settings = {
        "data.max_length": _SHORT_FIRST,
        "data.long_length": _THEN,
        "data.long_rate": 0.1,
    }
    reason = f"sequences of {_SHORT_FIRST} tokens, {_THEN} in the last tenth of the steps"
    return settings, f"{reason}: near neighbours are learned first"


def _flops_a_token(config: ModelConfig) -> float:
    """Forward and backward, of backbone and vocabulary head, roughly: 6 a weight."""
    hidden = config.hidden_size
    return 6.0 * (12 * config.num_layers * hidden**2 + 0.15 * config.vocab_size * hidden)
