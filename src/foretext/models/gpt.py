"""GPT-1, GPT-2 and GPT-3: a left-to-right Transformer language model.

Papers: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section
4.1 (post-norm); Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section
2.3 (pre-norm, final norm, residual weights scaled by depth); Brown et al. 2020, "Language Models
are Few-Shot Learners", section 2.1 (as GPT-2, but every second layer's attention locally banded).
Deviations: dropout rates are rounded to 1/256 on a CPU (nn/dropout.py). GPT-1's position rows are
not part of the softmax and its embedding dropout acts on vectors, not on the table (as in the
Hugging Face port, not the official code). GPT-2's residual scaling follows the paper; the released
code does not contain it. What is not published of GPT-3 is named in gpt_sizes.py.

A banded model has no place in the Hugging Face layout. Its folder has the same files and names, but
the model_type foretext-gpt and an attn_implementation that `transformers` refuses, so that nothing
computes dense attention with its weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.masks import Causal, Mask
from foretext.hub.architecture import Architecture, Opens
from foretext.hub.layout import HubLayout, by_name
from foretext.hub.weight_map import WeightMap
from foretext.models.family import Family
from foretext.models.gpt_sizes import PRESETS, GptConfig, recipe
from foretext.nn.backbone import Backbone, Reads
from foretext.nn.blocks import PostNormBlock, PreNormBlock
from foretext.nn.cache import KeyValueCache
from foretext.nn.cost import TokenCost, transformer_cost
from foretext.nn.embeddings import Embeddings
from foretext.nn.heads import linear_cross_entropy
from foretext.nn.initialise import normal
from foretext.nn.layers import through, through_all
from foretext.nn.norm import LayerNorm

__all__ = ["PRESETS", "GptConfig", "recipe"]


class Gpt(Backbone):
    """The decoder with its tied vocabulary output."""

    reads = Reads.LEFT_TO_RIGHT
    config: GptConfig

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embeddings = Embeddings(
            c.vocab_size,
            c.hidden_size,
            max_position_embeddings=c.max_position_embeddings,
            type_vocab_size=0,
            eps=None,
            dropout=c.dropout,
        )
        block = PreNormBlock if c.pre_norm else PostNormBlock
        self.layers = nn.ModuleList(
            block(
                c.hidden_size,
                c.num_heads,
                c.intermediate_size,
                activation=c.activation,
                eps=c.layer_norm_eps,
                dropout=c.dropout,
                attention_dropout=c.attention_dropout,
            )
            for _ in range(c.num_layers)
        )
        self.final_norm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps) if c.pre_norm else None

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights; for GPT-2 smaller positions and residual outputs (section 2.3)."""
        c = self.config
        normal(self, c.initializer_range, generator)
        if not c.pre_norm:
            return
        with torch.no_grad():
            self.embeddings.position.weight.mul_(0.5)  # official model.py: .01 against .02
            for layer in self.layers:
                assert isinstance(layer, PreNormBlock)
                for output in (layer.attention.output, layer.feed_forward.down):
                    output.weight.div_((2 * c.num_layers) ** 0.5)

    def new_cache(self) -> KeyValueCache:
        """An empty cache, for reading sequences piece by piece."""
        return KeyValueCache(self.config.num_layers)

    def forward(
        self, batch: Batch, used: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Read a ragged batch from left to right.

        Args:
            batch: sequences one after another, no padding; segments are not used.
            used: tokens whose states are read, ascending; the others' say nothing. None is all.
                Not with a cache.
            cache: what was read of these sequences before; the batch goes on from there, and
                `cache.batch` makes it. None reads whole sequences.

        Returns:
            Hidden states of the last layer, [tokens, hidden]; state t has seen tokens up to t.

        Raises:
            ValueError: a sequence is longer than max_position_embeddings.
        """
        masks = self.layer_masks(batch)
        if cache is None:
            hidden = through(self.layers, self.embeddings(batch), batch.layout, masks, used)
        else:
            layout = cache.extend(batch.layout, limit=self.config.max_position_embeddings)
            hidden = self.embeddings(batch)
            for layer, mask, memory in zip(self.layers, masks, cache.layers, strict=True):
                hidden = layer(hidden, layout, mask, cache=memory)
        return hidden if self.final_norm is None else self.final_norm(hidden)

    def all_layers(self, batch: Batch) -> list[Tensor]:
        """States before the first layer and after each, num_layers + 1 times [tokens, hidden].

        The last are those of forward, after the final norm.
        """
        hidden = self.embeddings(batch)
        *lower, last = through_all(self.layers, hidden, batch.layout, self.layer_masks(batch))
        return [*lower, last if self.final_norm is None else self.final_norm(last)]

    def layer_masks(self, batch: Batch) -> list[Mask]:
        """Of each layer: the batch's; else what is before a token, every second layer banded."""
        c = self.config
        if batch.mask is not None:
            return [batch.mask] * c.num_layers
        return [Causal(c.attention_window if i % 2 else None) for i in range(c.num_layers)]

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores [..., vocab] of hidden states [..., hidden]."""
        return hidden @ self.embeddings.token.weight.T

    def linear_cross_entropy(
        self, hidden: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Summed, perhaps weighted cross-entropy in nats of labels [targets], from states there."""
        return linear_cross_entropy(hidden, self.embeddings.token.weight, None, labels, weights)

    def lower_layers(self, count: int) -> list[nn.Module]:
        """The embeddings and the lowest layers."""
        return [self.embeddings, *self.layers[:count]]

    def token_cost(self, attended: float, target_rate: float) -> TokenCost:
        """See Backbone; every second layer may see a window alone (GPT-3)."""
        c = self.config
        narrow = min(c.attention_window or attended, attended)
        seen = attended + c.num_layers // 2 / c.num_layers * (narrow - attended)
        head = target_rate * c.vocab_size * c.hidden_size
        return transformer_cost(self, c, attended, head=head, seen=seen)

    def pooled_output(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The state of every sequence's last (extract) token, [sequences, hidden]."""
        return hidden[batch.last]


def num_parameters(config: GptConfig) -> int:
    """Parameters of the model, the tied output once; a closed form."""
    c, h = config, config.hidden_size
    layer = 4 * (h * h + h) + 2 * h * c.intermediate_size + c.intermediate_size + h + 4 * h
    final = 2 * h if c.pre_norm else 0
    return (c.vocab_size + c.max_position_embeddings) * h + c.num_layers * layer + final


_PARTS = ("embeddings", "layers", "final_norm")
_CLASSES = {
    "causal-lm": "LMHeadModel",
    "classification": "ForSequenceClassification",
    "similarity": "ForSequenceClassification",
    "multiple-choice": "DoubleHeadsModel",
    "tagging": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
}
_HEADS = {
    "ForSequenceClassification": "score",
    "DoubleHeadsModel": "multiple_choice_head.summary",
    "ForTokenClassification": "classifier",
    "ForQuestionAnswering": "qa_outputs",
}
# They complete the layout's names, but `transformers` does not have them.
_OURS_ALONE = ("OpenAIGPTForTokenClassification", "OpenAIGPTForQuestionAnswering")


def _classes(brand: str) -> tuple[Architecture, ...]:
    bare = f"{brand}Model"
    opens_as: Opens = "nothing" if brand == "ForetextGpt" else "class"
    tasks = tuple(
        Architecture(
            name=f"{brand}{name}",
            parts=_PARTS,
            head=head,
            tasks=tuple(task for task, used in _CLASSES.items() if used == name),
            bare=bare,
            opens_as="bare class" if f"{brand}{name}" in _OURS_ALONE else opens_as,
        )
        for name, head in _HEADS.items()
    )
    return (
        Architecture(
            name=f"{brand}LMHeadModel", parts=_PARTS, bare=bare, generates=True, opens_as=opens_as
        ),
        Architecture(name=bare, parts=_PARTS, base=True, opens_as=opens_as),
        *tasks,
    )


ARCHITECTURES = by_name(
    *(a for brand in ("GPT2", "OpenAIGPT", "ForetextGpt") for a in _classes(brand))
)


def _brand(config: GptConfig) -> str:
    if config.banded:
        return "ForetextGpt"
    return "GPT2" if config.pre_norm else "OpenAIGPT"


def class_for(config: GptConfig, use: str) -> str | None:
    """Their class for an objective or a task."""
    return _brand(config) + _CLASSES[use] if use in _CLASSES else None


def weight_map(config: GptConfig) -> WeightMap:
    """Names of the Hugging Face layout; their module -> ours."""
    token, position = ("wte", "wpe") if config.pre_norm else ("tokens_embed", "positions_embed")
    layer = "transformer.h.{i}"
    projections: dict[str, str | tuple[str, ...]] = {
        f"{layer}.attn.c_attn": tuple(
            f"layers.{{i}}.attention.{part}" for part in ("query", "key", "value")
        ),
        f"{layer}.attn.c_proj": "layers.{i}.attention.output",
        f"{layer}.mlp.c_fc": "layers.{i}.feed_forward.up",
        f"{layer}.mlp.c_proj": "layers.{i}.feed_forward.down",
    }
    # Pre-norm stands before a sublayer and post-norm after it, but the numbering is the same.
    others: dict[str, str | tuple[str, ...]] = {
        f"transformer.{token}": "embeddings.token",
        f"transformer.{position}": "embeddings.position",
        f"{layer}.ln_1": "layers.{i}.attention_norm",
        f"{layer}.ln_2": "layers.{i}.feed_forward_norm",
    }
    if config.pre_norm:
        others["transformer.ln_f"] = "final_norm"
    return WeightMap(
        prefix="transformer.",
        modules=projections | others,
        transposed=frozenset(projections),
        tied={"lm_head.weight": f"transformer.{token}.weight"},
        unused=(
            f"{layer}.attn.bias",
            f"{layer}.attn.masked_bias",
            "transformer.position_ids",
        ),
    )


_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


def from_hf(raw: dict[str, Any]) -> GptConfig:
    """Our config from config.json of a gpt2, an openai-gpt or a banded GPT of ours.

    Raises:
        ConfigError: a feature of the layout that the published models do not have.
    """
    banded = raw.get("model_type") == "foretext-gpt"
    pre_norm = raw.get("pre_norm", True) if banded else raw.get("model_type", "gpt2") == "gpt2"
    for name, expected in _PUBLISHED.items():
        if raw.get(name, expected) != expected:
            raise ConfigError(f"{name}={raw[name]!r} is not GPT as published; only {expected} is")
    # In an openai-gpt file "gelu" means the tanh form (fact sheet, trap 1).
    activation = raw.get("activation_function", "gelu_new") if pre_norm else "gelu_tanh"
    if not pre_norm and raw.get("afn", "gelu") not in ("gelu", "gelu_new"):
        raise ConfigError(f"afn={raw['afn']!r} cannot be read; only 'gelu', the tanh form, can")
    hidden = raw.get("n_embd", 768)
    return GptConfig(
        vocab_size=raw.get("vocab_size", 50257 if pre_norm else 40478),
        hidden_size=hidden,
        num_layers=raw.get("n_layer", 12),
        num_heads=raw.get("n_head", 12),
        intermediate_size=raw.get("n_inner") or 4 * hidden,
        max_position_embeddings=raw.get("n_positions", 1024 if pre_norm else 512),
        pre_norm=pre_norm,
        attention_window=raw.get("attention_window", 256) if banded else None,
        activation=_ACTIVATIONS.get(activation, activation),
        dropout=raw.get("resid_pdrop", 0.1),
        attention_dropout=raw.get("attn_pdrop", 0.1),
        layer_norm_eps=raw.get("layer_norm_epsilon", 1e-5),
        initializer_range=raw.get("initializer_range", 0.02),
    )


_PUBLISHED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def to_hf(config: GptConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    common = {
        "architectures": [architecture],
        "vocab_size": config.vocab_size,
        "n_positions": config.max_position_embeddings,
        "n_embd": config.hidden_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.attention_dropout,
        "layer_norm_epsilon": config.layer_norm_eps,
        "initializer_range": config.initializer_range,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "summary_activation": None,
        "summary_proj_to_labels": True,
        "summary_first_dropout": 0.1,
        "tie_word_embeddings": True,
    }
    if not config.pre_norm and not config.banded:
        if config.intermediate_size != 4 * config.hidden_size:
            raise ConfigError(
                f"intermediate_size={config.intermediate_size} cannot be saved as openai-gpt; "
                f"that layout has 4 * hidden_size = {4 * config.hidden_size} alone"
            )
        return {"model_type": "openai-gpt", "afn": "gelu"} | common
    inner = config.intermediate_size
    names = {"gelu_tanh": "gelu_new"}
    return common | {
        "model_type": "gpt2",
        "activation_function": names.get(config.activation, config.activation),
        "n_inner": None if inner == 4 * config.hidden_size else inner,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "use_cache": True,
        "add_cross_attention": False,
        **(_banded(config) if config.banded else {}),
    }


def _banded(config: GptConfig) -> dict[str, Any]:
    """What gpt2's config.json cannot say."""
    return {
        "model_type": "foretext-gpt",
        "attn_implementation": "locally-banded",  # unknown to transformers, which stops at it
        "attention_window": config.attention_window,
        "pre_norm": config.pre_norm,
    }


FAMILY = Family(
    name="gpt",
    title="GPT-1, GPT-2, GPT-3",
    summary="a left-to-right Transformer language model",
    paper="Radford et al. 2018, section 4.1 (GPT-1); Radford et al. 2019, section 2.3 (GPT-2); "
    "Brown et al. 2020, https://arxiv.org/abs/2005.14165, section 2.1 (GPT-3)",
    config=GptConfig,
    presets=PRESETS,
    model=Gpt,
    max_positions=lambda config: config.max_position_embeddings,
    recipe=recipe,
    hub=HubLayout(
        model_types=("gpt2", "openai-gpt", "foretext-gpt"),
        architectures=ARCHITECTURES,
        class_for=class_for,
        bare_for=lambda config: f"{_brand(config)}Model",
        make=Gpt,
        num_parameters=num_parameters,
        weight_map=weight_map,
        from_hf=from_hf,
        to_hf=to_hf,
    ),
)
