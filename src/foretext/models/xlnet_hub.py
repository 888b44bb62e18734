"""XLNet in the Hugging Face layout: its classes, names of weights, and config.json.

Its projections are stored as [hidden, heads, head size], without ".weight", and a vector as
[1, 1, hidden]; here they are matrices and a vector.
"""

from __future__ import annotations

from typing import Any, Protocol

from foretext.core.errors import ConfigError
from foretext.hub.architecture import Architecture
from foretext.hub.classes import TASK_CLASSES, tasks_of
from foretext.hub.layout import by_name
from foretext.hub.weight_map import WeightMap


class Sizes(Protocol):
    """What the layout asks of XLNet's config."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def head_size(self) -> int: ...
    @property
    def intermediate_size(self) -> int: ...
    @property
    def activation(self) -> str: ...
    @property
    def dropout(self) -> float: ...
    @property
    def layer_norm_eps(self) -> float: ...
    @property
    def initializer_range(self) -> float: ...
    @property
    def memory_length(self) -> int: ...


_BACKBONE = ("embeddings", "query_start", "layers")
_POOLED = (*_BACKBONE, "pooler")


def _task(suffix: str, parts: tuple[str, ...], head: str) -> Architecture:
    name = f"XLNet{suffix}"
    tasks = tasks_of("ForQuestionAnswering" if suffix.endswith("Simple") else suffix)
    return Architecture(name=name, parts=parts, head=head, tasks=tasks, bare="XLNetModel")


ARCHITECTURES = by_name(
    Architecture(name="XLNetLMHeadModel", parts=(*_BACKBONE, "lm_bias"), bare="XLNetModel"),
    Architecture(name="XLNetModel", parts=_BACKBONE, base=True),
    _task("ForSequenceClassification", _POOLED, "logits_proj"),
    _task("ForMultipleChoice", _POOLED, "logits_proj"),
    _task("ForTokenClassification", _BACKBONE, "classifier"),
    _task("ForQuestionAnsweringSimple", _BACKBONE, "qa_outputs"),
)
_CLASSES = {"permutation-lm": "LMHeadModel"} | TASK_CLASSES
_CLASSES["question-answering"] = "ForQuestionAnsweringSimple"


def class_for(config: Sizes, use: str) -> str | None:  # noqa: ARG001
    """Their class for an objective or a task."""
    return f"XLNet{_CLASSES[use]}" if use in _CLASSES else None


def weight_map(config: Sizes) -> WeightMap:
    """Names of the layout; their tensor or module -> ours."""
    c, layer, ours = config, "transformer.layer.{i}", "layers.{i}"
    inner = c.num_heads * c.head_size
    parts = {"q": "query", "k": "key", "v": "value", "r": "position", "o": "output"}
    projections = {
        f"{layer}.rel_attn.{t}": f"{ours}.attention.{o}.weight" for t, o in parts.items()
    }
    shape = (c.hidden_size, c.num_heads, c.head_size)
    biases = {"r_w_bias": "content_bias", "r_r_bias": "position_bias", "r_s_bias": "segment_bias"}
    return WeightMap(
        prefix="transformer.",
        modules={
            "transformer.word_embedding": "embeddings.token",
            f"{layer}.rel_attn.layer_norm": f"{ours}.attention_norm",
            f"{layer}.ff.layer_norm": f"{ours}.feed_forward_norm",
            f"{layer}.ff.layer_1": f"{ours}.feed_forward.up",
            f"{layer}.ff.layer_2": f"{ours}.feed_forward.down",
            "sequence_summary.summary": "pooler",
        },
        tensors=projections
        | {f"{layer}.rel_attn.{t}": f"{ours}.attention.{o}" for t, o in biases.items()}
        | {
            f"{layer}.rel_attn.seg_embed": f"{ours}.attention.segment",
            "transformer.mask_emb": "query_start",
            "lm_loss.bias": "lm_bias",
        },
        transposed=frozenset(p for p in projections if not p.endswith(".o")),
        shapes=dict.fromkeys(projections, (shape, (c.hidden_size, inner)))
        | {"transformer.mask_emb": ((1, 1, c.hidden_size), (c.hidden_size,))},
        tied={"lm_loss.weight": "transformer.word_embedding.weight"},
    )


_KEYS = {  # of config.json -> our fields
    "vocab_size": "vocab_size",
    "d_model": "hidden_size",
    "n_layer": "num_layers",
    "n_head": "num_heads",
    "d_head": "head_size",
    "d_inner": "intermediate_size",
    "dropout": "dropout",
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "initializer_range",
}
_DEFAULTS = {  # of their class, which is XLNet-large
    "vocab_size": 32000,
    "d_model": 1024,
    "n_layer": 24,
    "n_head": 16,
    "d_inner": 4096,
    "dropout": 0.1,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
}
_PUBLISHED = {"attn_type": "bi", "clamp_len": -1, "same_length": False, "untie_r": True}
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"}


def fields_of(raw: dict[str, Any]) -> dict[str, Any]:
    """Fields of our config from config.json.

    Raises:
        ConfigError: a feature of the layout that XLNet as published does not have.
    """
    for name, expected in _PUBLISHED.items():
        if raw.get(name, expected) != expected:
            raise ConfigError(f"{name}={raw[name]!r} is not XLNet as published; only {expected} is")
    said = str(raw.get("ff_activation", "gelu"))
    values = _DEFAULTS | raw
    found = {ours: values[theirs] for theirs, ours in _KEYS.items() if theirs in values}
    found.setdefault("head_size", found["hidden_size"] // max(found["num_heads"], 1))
    return found | {
        "activation": _ACTIVATIONS.get(said, said),
        "attention_dropout": found["dropout"],
        "memory_length": raw.get("mem_len") or 0,
    }


def config_values(config: Sizes, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    theirs = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    return {
        "architectures": [architecture],
        "model_type": "xlnet",
        **{t: getattr(config, o) for t, o in _KEYS.items()},
        **_PUBLISHED,
        "bi_data": False,
        "ff_activation": theirs[config.activation],
        "mem_len": config.memory_length or None,
        "reuse_len": None,
        "use_mems_eval": False,  # a memory is of streams, which a single text is not
        "use_mems_train": False,
        "summary_type": "last",
        "summary_use_proj": True,
        "summary_activation": "tanh",
        "summary_last_dropout": 0.1,
        "tie_word_embeddings": True,
    }
