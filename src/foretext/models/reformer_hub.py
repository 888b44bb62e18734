"""Reformer in the Hugging Face layout: config and weights, both ways."""

from __future__ import annotations

from typing import Any

from foretext.core.errors import ConfigError
from foretext.hub.weight_map import WeightMap
from foretext.models.reformer_sizes import ReformerConfig


def weight_map(config: ReformerConfig) -> WeightMap:
    """Names of the Hugging Face layout; their module -> ours."""
    layer = "reformer.encoder.layers.{i}"
    ours = "layers.{i}"
    attention = {
        f"{layer}.attention.self_attention.{name}": f"{ours}.attention.attend.{name}"
        for name in ("query_key", "query", "key", "value")
    }
    positions = "reformer.embeddings.position_embeddings"
    axes = {f"{positions}.weights.0": "rows", f"{positions}.weights.1": "columns"}
    table = {f"{positions}.embedding": "embeddings.position"} if not config.axial_shape else {}
    return WeightMap(
        prefix="reformer.",
        modules=attention
        | table
        | {
            "reformer.embeddings.word_embeddings": "embeddings.token",
            f"{layer}.attention.layer_norm": f"{ours}.attention.norm",
            f"{layer}.attention.output.dense": f"{ours}.attention.attend.output",
            f"{layer}.feed_forward.layer_norm": f"{ours}.feed_forward.norm",
            f"{layer}.feed_forward.dense.dense": f"{ours}.feed_forward.up",
            f"{layer}.feed_forward.output.dense": f"{ours}.feed_forward.down",
            "reformer.encoder.layer_norm": "final_norm",
        },
        tensors={
            "lm_head.decoder.weight": "head.decoder.weight",
            "lm_head.bias": "head.bias",
        }
        | {theirs: f"embeddings.position.{name}" for theirs, name in axes.items()},
        tied={"lm_head.decoder.bias": "lm_head.bias"},  # of files by transformers before 5
        unused=(
            f"{layer}.attention.self_attention.mask_value_float16",
            f"{layer}.attention.self_attention.mask_value_float32",
            f"{layer}.attention.self_attention.self_mask_value_float16",
            f"{layer}.attention.self_attention.self_mask_value_float32",
        ),
    )


def from_hf(raw: dict[str, Any]) -> ReformerConfig:
    """Our config from config.json of a reformer.

    Raises:
        ConfigError: a value that makes no model.
    """
    layers = raw.get("attn_layers", ["local", "lsh"] * 3)
    buckets = raw.get("num_buckets")
    axial = raw.get("axial_pos_embds", True)
    return ReformerConfig(
        vocab_size=raw.get("vocab_size", 320),
        hidden_size=raw.get("hidden_size", 256),
        num_layers=len(layers),
        num_heads=raw.get("num_attention_heads", 12),
        head_size=raw.get("attention_head_size", 64),
        intermediate_size=raw.get("feed_forward_size", 512),
        pattern=_shortest(layers),
        max_position_embeddings=raw.get("max_position_embeddings", 4096),
        axial_shape=tuple(raw.get("axial_pos_shape", (64, 64))) if axial else None,
        axial_sizes=tuple(raw.get("axial_pos_embds_dim", (64, 192))) if axial else None,
        local_chunk=raw.get("local_attn_chunk_length", 64),
        local_looks=(raw.get("local_num_chunks_before", 1), raw.get("local_num_chunks_after", 0)),
        lsh_chunk=raw.get("lsh_attn_chunk_length", 64),
        lsh_looks=(raw.get("lsh_num_chunks_before", 1), raw.get("lsh_num_chunks_after", 0)),
        num_hashes=raw.get("num_hashes", 1),
        num_buckets=(buckets,) if isinstance(buckets, int) else buckets and tuple(buckets),
        hash_seed=raw.get("hash_seed"),
        feed_forward_chunk=raw.get("chunk_size_feed_forward") or None,
        causal=raw.get("is_decoder", False),
        activation=raw.get("hidden_act", "relu"),
        dropout=raw.get("hidden_dropout_prob", 0.05),
        local_attention_dropout=raw.get("local_attention_probs_dropout_prob", 0.05),
        lsh_attention_dropout=raw.get("lsh_attention_probs_dropout_prob", 0.0),
        layer_norm_eps=raw.get("layer_norm_eps", 1e-12),
        initializer_range=raw.get("initializer_range", 0.02),
    )


def _shortest(layers: list[str]) -> tuple[str, ...]:
    """The shortest pattern that gives these layers when it is repeated."""
    if not layers:
        raise ConfigError("attn_layers is empty; name each layer's attention, local or lsh")
    return next(
        tuple(layers[:size])
        for size in range(1, len(layers) + 1)
        if all(kind == layers[i % size] for i, kind in enumerate(layers))
    )


def to_hf(config: ReformerConfig, architecture: str) -> dict[str, Any]:
    """config.json of this config, saved as one of the family's classes."""
    c = config
    buckets = c.num_buckets
    looks = {
        f"{kind}_num_chunks_{side}": value
        for kind, pair in (("local", c.local_looks), ("lsh", c.lsh_looks))
        for side, value, usual in zip(("before", "after"), pair, (1, 0), strict=True)
        if value != usual
    }
    axes = {} if c.axial_shape is None else {"axial_pos_shape": list(c.axial_shape)}
    axes |= {} if c.axial_sizes is None else {"axial_pos_embds_dim": list(c.axial_sizes)}
    return {
        "architectures": [architecture],
        "model_type": "reformer",
        "vocab_size": c.vocab_size,
        "hidden_size": c.hidden_size,
        "attn_layers": list(c.kinds),
        "num_attention_heads": c.num_heads,
        "attention_head_size": c.head_size,
        "feed_forward_size": c.intermediate_size,
        "max_position_embeddings": c.max_position_embeddings,
        "axial_pos_embds": c.axial_shape is not None,
        "axial_norm_std": 1.0,
        "local_attn_chunk_length": c.local_chunk,
        "lsh_attn_chunk_length": c.lsh_chunk,
        "num_hashes": c.num_hashes,
        "num_buckets": buckets[0] if buckets and len(buckets) == 1 else buckets and list(buckets),
        "hash_seed": c.hash_seed,
        "is_decoder": c.causal,
        "hidden_act": c.activation,
        "hidden_dropout_prob": c.dropout,
        "local_attention_probs_dropout_prob": c.local_attention_dropout,
        "lsh_attention_probs_dropout_prob": c.lsh_attention_dropout,
        "layer_norm_eps": c.layer_norm_eps,
        "initializer_range": c.initializer_range,
        "tie_word_embeddings": False,
        **({"chunk_size_feed_forward": c.feed_forward_chunk} if c.feed_forward_chunk else {}),
        **axes,
        **looks,
    }
