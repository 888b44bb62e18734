"""GPT-3's banded model: ragged, cached, saved; and what `transformers` makes of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.models.folder import load_model, save_model
from foretext.models.gpt import Gpt, GptConfig, class_for
from tests.models.tiny import set_config

SIZES: dict[str, Any] = {
    "vocab_size": 37, "hidden_size": 12, "num_layers": 3, "num_heads": 3, "intermediate_size": 29,
    "max_position_embeddings": 150, "dropout": 0.0, "attention_dropout": 0.0,
}  # fmt: skip
LENGTHS = [3, 80, 80, 1, 150]
LM_HEAD = "ForetextGptLMHeadModel"


def made(window: int | None = 9, **changes: Any) -> Gpt:
    torch.manual_seed(0)
    model = Gpt(GptConfig(**SIZES | changes, attention_window=window)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def sequences() -> list[list[int]]:
    drawn = torch.Generator().manual_seed(1)
    return [torch.randint(37, (n,), generator=drawn).tolist() for n in LENGTHS]


def reference(model: Gpt, ids: list[int]) -> Tensor:
    """The block written out: full matrices of scores, masked by place; section 2.1."""
    length, c = len(ids), model.config
    place = torch.arange(length)
    hidden = model.embeddings.token.weight[torch.tensor(ids)]
    hidden = hidden + model.embeddings.position.weight[:length]
    for number, layer in enumerate(model.layers):
        block: Any = layer
        window = c.attention_window if number % 2 else length
        distance = place[:, None] - place
        seen = (distance >= 0) & (distance < (window or length))
        asked, a = block.attention_norm(hidden), block.attention
        q, k, v = (a.heads(of(asked)).transpose(0, 1) for of in (a.query, a.key, a.value))
        scores = (q @ k.transpose(1, 2) / (c.hidden_size // c.num_heads) ** 0.5).masked_fill(
            ~seen, -torch.inf
        )
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        hidden = hidden + block.attention.output(mixed)
        inner = block.feed_forward.up(block.feed_forward_norm(hidden))
        hidden = hidden + block.feed_forward.down(F.gelu(inner, approximate="tanh"))
    assert model.final_norm is not None
    return model.final_norm(hidden)


@torch.no_grad()
@pytest.mark.parametrize("window", [None, 1, 9, 70])
def test_a_ragged_batch_equals_the_masked_dense_reference(window: int | None) -> None:
    """One sequence at a time, every score computed; even layers dense, odd layers banded."""
    model = made(window)
    found = model(Batch.of(sequences())).split(LENGTHS)
    for states, ids in zip(found, sequences(), strict=True):
        torch.testing.assert_close(states, reference(model, ids), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_cached_model_equals_one_that_reads_it_whole() -> None:
    """In ragged pieces, then token by token."""
    model = made()
    whole = model(Batch.of(sequences())).split(LENGTHS)
    long = [ids for ids in sequences() if len(ids) > 3]
    cache = model.new_cache()
    read: list[list[Tensor]] = [[] for _ in long]
    for begin, stop in ((0, 5), (5, 70), (70, 71), (71, 72), (72, 80)):
        pieces = [ids[begin:stop] for ids in long]
        hidden = model(cache.batch(pieces, "cpu"), cache=cache)
        for states, part in zip(read, hidden.split([len(p) for p in pieces]), strict=True):
            states.append(part)
    expected = [states[:80] for states in whole if len(states) > 3]
    for parts, states in zip(read, expected, strict=True):
        torch.testing.assert_close(torch.cat(parts), states, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_banded_folder_opens_here_as_it_was(pre_norm: bool, tmp_path: Path) -> None:
    """design.md: families that the layout does not know keep the file names, with own keys."""
    model = made(pre_norm=pre_norm)
    assert class_for(model.config, "causal-lm") == LM_HEAD
    save_model(model, tmp_path, architecture=LM_HEAD)
    loaded = load_model(tmp_path)
    assert loaded.model.config == model.config
    batch = Batch.of(sequences())
    assert torch.equal(loaded.model.eval()(batch), model(batch))


def test_a_banded_classifier_keeps_its_head(tmp_path: Path) -> None:
    """What fine-tuning saves: its class is ours too, and the head comes back."""
    model = made()
    name = class_for(model.config, "classification")
    assert name is not None
    head = {"weight": torch.randn(4, 12)}
    save_model(model, tmp_path, architecture=name, head=head)
    loaded = load_model(tmp_path)
    assert loaded.architecture == name == "ForetextGptForSequenceClassification"
    assert torch.equal(loaded.head["weight"], head["weight"])


def test_a_band_as_wide_as_the_positions_is_gpt2(tmp_path: Path) -> None:
    """Such a model is dense, so the layout expresses it."""
    model = made(150)
    assert class_for(model.config, "causal-lm") == "GPT2LMHeadModel"
    save_model(model, tmp_path, architecture="GPT2LMHeadModel")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gpt2"


@pytest.mark.parametrize("name", ["AutoModelForCausalLM", "GPT2LMHeadModel"])
def test_transformers_refuses_a_banded_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better no model than a dense one with banded weights, even where the class is forced."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    save_model(made(), tmp_path, architecture=LM_HEAD)
    with pytest.raises(ValueError, match=r"foretext-gpt|locally-banded"):
        getattr(transformers, name).from_pretrained(tmp_path, local_files_only=True)


@torch.no_grad()
def test_transformers_opens_a_dense_model_of_2048_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """papers/gpt.md, 3g: the GPT-2 layout with n_positions 2048 is the natural file format."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = made(None, max_position_embeddings=2048)
    save_model(model, tmp_path, architecture="GPT2LMHeadModel")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    assert theirs.config.n_positions == 2048
    for ids in sequences():
        expected = theirs.eval()(torch.tensor([ids])).logits[0]
        found = model.logits(model(Batch.of([ids])))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_a_damaged_band_is_refused(tmp_path: Path) -> None:
    """One line that names the file."""
    save_model(made(), tmp_path, architecture=LM_HEAD)
    for window in (-3, "wide", 2.5):
        set_config(tmp_path, attention_window=window)
        with pytest.raises(ConfigError, match="attention_window"):
            load_model(tmp_path)
