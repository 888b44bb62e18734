"""T5's side of the Hugging Face layout: classes, names of weights, and config.json both ways."""

from __future__ import annotations

from typing import Any

from foretext.core.errors import ConfigError
from foretext.hub.architecture import Architecture
from foretext.hub.layout import by_name
from foretext.hub.weight_map import WeightMap
from foretext.models.t5_sizes import T5Config

ARCHITECTURES = by_name(
    Architecture(
        name="T5ForConditionalGeneration",
        parts=("shared", "encoder", "decoder", "lm_head"),
        tasks=("text-to-text",),
        bare="T5Model",
        fills=True,
        generates=True,
    ),
    Architecture(name="T5Model", parts=("shared", "encoder", "decoder"), base=True),
    Architecture(name="T5EncoderModel", parts=("shared", "encoder"), base=True),
)


def class_for(config: T5Config, use: str) -> str | None:  # noqa: ARG001
    """Their class for an objective or a task."""
    return "T5ForConditionalGeneration" if use in ("span-corruption", "text-to-text") else None


_ATTENTION = {"q": "query", "k": "key", "v": "value", "o": "output"}


def weight_map(config: T5Config) -> WeightMap:
    """Names of the Hugging Face layout; their module -> ours."""
    modules = {"shared": "shared"}
    for side in ("encoder", "decoder"):
        block, layer = f"{side}.block.{{i}}.layer", f"{side}.layers.{{i}}"
        parts = {"SelfAttention": "attention"}
        parts |= {"EncDecAttention": "cross_attention"} if side == "decoder" else {}
        for number, (theirs, ours) in enumerate(parts.items()):
            modules[f"{block}.{number}.layer_norm"] = f"{layer}.{ours}_norm"
            for name, projection in _ATTENTION.items():
                modules[f"{block}.{number}.{theirs}.{name}"] = f"{layer}.{ours}.{projection}"
        last = f"{block}.{len(parts)}"
        names = {"wi_0": "gate", "wi_1": "up"} if config.gated else {"wi": "up"}
        for name, ours in (names | {"wo": "down"}).items():
            modules[f"{last}.DenseReluDense.{name}"] = f"{layer}.feed_forward.{ours}"
        modules[f"{last}.layer_norm"] = f"{layer}.feed_forward_norm"
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias"
        modules[bias] = f"{side}.relative_bias.table"
        modules[f"{side}.final_layer_norm"] = f"{side}.final_norm"
    tied = {f"{side}.embed_tokens.weight": "shared.weight" for side in ("encoder", "decoder")}
    if config.tied_output:
        tied["lm_head.weight"] = "shared.weight"
    else:
        modules["lm_head"] = "lm_head"
    return WeightMap(
        modules=modules,
        tied=tied,
        unused=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias",),
    )


_ACTIVATIONS = {"gelu": "gelu_tanh", "gelu_new": "gelu_tanh", "relu": "relu"}


def from_hf(raw: dict[str, Any]) -> T5Config:
    """Our config from config.json of a t5.

    transformers 5.23 says in files that tables are tied even where they are not (v1.1); what it
    goes by is scale_decoder_outputs, or tie_word_embeddings in older files.

    Raises:
        ConfigError: a feature of the layout that the published models do not have.
    """
    kind, _, name = raw.get("feed_forward_proj", "relu").rpartition("-")
    if name not in _ACTIVATIONS or kind not in ("", "gated"):
        raise ConfigError(
            f"feed_forward_proj={raw['feed_forward_proj']!r} is not T5 as published; only relu and "
            "gated-gelu are"
        )
    tied = raw.get("scale_decoder_outputs", raw.get("tie_word_embeddings", True))
    if tied and raw.get("tie_word_embeddings") is False:
        raise ConfigError(
            "scale_decoder_outputs=true with tie_word_embeddings=false is neither T5 v1.0 nor "
            "v1.1; mend config.json"
        )
    if raw.get("decoder_start_token_id", 0) not in (0, None) or raw.get("pad_token_id") not in (
        0,
        None,
    ):
        raise ConfigError(
            f"pad_token_id={raw.get('pad_token_id')!r} and decoder_start_token_id="
            f"{raw.get('decoder_start_token_id')!r} must both be 0, as in the published models"
        )
    layers = raw.get("num_layers", 6)
    return T5Config(
        vocab_size=raw.get("vocab_size", 32128),
        hidden_size=raw.get("d_model", 512),
        num_layers=layers,
        num_decoder_layers=raw.get("num_decoder_layers") or layers,
        num_heads=raw.get("num_heads", 8),
        head_size=raw.get("d_kv", 64),
        intermediate_size=raw.get("d_ff", 2048),
        relative_buckets=raw.get("relative_attention_num_buckets", 32),
        relative_max_distance=raw.get("relative_attention_max_distance", 128),
        gated=kind == "gated",
        # gated-gelu means the tanh form; a plain gelu the exact one, which T5 never had
        activation=_ACTIVATIONS[name],
        tied_output=bool(tied),
        dropout=raw.get("dropout_rate", 0.1),
        layer_norm_eps=raw.get("layer_norm_epsilon", 1e-6),
    )


def to_hf(config: T5Config, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of ARCHITECTURES."""
    name = {"gelu_tanh": "gelu", "relu": "relu"}.get(config.activation)
    if name is None or (name == "gelu" and not config.gated):
        raise ConfigError(
            f"model.activation={config.activation!r} with gated={config.gated} cannot be saved; "
            "the layout has relu, gated relu and gated gelu_tanh"
        )
    return {
        "architectures": [architecture],
        "model_type": "t5",
        "vocab_size": config.vocab_size,
        "d_model": config.hidden_size,
        "d_kv": config.head_size,
        "d_ff": config.intermediate_size,
        "num_layers": config.num_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "num_heads": config.num_heads,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "feed_forward_proj": f"gated-{name}" if config.gated else name,
        "dropout_rate": config.dropout,
        "layer_norm_epsilon": config.layer_norm_eps,
        "initializer_factor": 1.0,
        "tie_word_embeddings": config.tied_output,
        "scale_decoder_outputs": config.tied_output,
        "is_encoder_decoder": architecture != "T5EncoderModel",
        "use_cache": True,
        "pad_token_id": 0,
        "decoder_start_token_id": 0,
    }
