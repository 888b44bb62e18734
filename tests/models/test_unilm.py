"""UniLM: counts, four masks against BertModel with a 3-D mask, folders, and what BERT gives it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from foretext import api
from foretext.core.batch import Batch
from foretext.core.errors import ConfigError
from foretext.core.masks import Causal, Full, Order, Prefix, RightToLeft
from foretext.models import bert
from foretext.models.folder import load_model, read_config, save_model
from foretext.models.unilm import SEGMENTS, Unilm, UnilmConfig, adopt
from tests.models.both_ways import on_meta, opens_there, ragged_equals_alone, randomised

transformers = pytest.importorskip("transformers")

# Every axis of another size, so that a swapped one fails.
CONFIG = UnilmConfig(
    vocab_size=37, hidden_size=12, num_layers=3, num_heads=4, intermediate_size=29,
    max_position_embeddings=17,
)  # fmt: skip


def test_counts() -> None:
    """papers/unilm.md a: BERT-large cased with a pooler (333,579,264), and four segments more."""
    model: Any = on_meta("unilm", "unilm-large")
    heads = ("mlm_head", "nsp_head")
    without = sum(p.numel() for n, p in model.named_parameters() if n.split(".")[0] not in heads)
    assert without == 333_579_264 + 4 * 1024


def test_ragged_equals_one_at_a_time() -> None:
    ragged_equals_alone(randomised(Unilm(CONFIG)).train(False))


@pytest.mark.parametrize("way", ["both", "left", "right", "source"])
def test_each_mask_is_that_of_bert_with_a_matrix(way: str) -> None:
    """papers/unilm.md h: BertModel with an explicit [batch, length, length] mask reproduces it."""
    ours = randomised(Unilm(CONFIG))
    ids, length = torch.arange(1, 10), 9
    segments = {"both": [0] * 4 + [1] * 5, "left": [2] * 9, "right": [3] * 9,
                "source": [4] * 4 + [5] * 5}[way]  # fmt: skip
    row, column = torch.arange(length)[:, None], torch.arange(length)
    seen = {
        "both": torch.ones(length, length, dtype=torch.bool),
        "left": column <= row,
        "right": column >= row,
        "source": (column < 4) | ((row >= 4) & (column <= row)),
    }[way]
    ranks = {
        "both": torch.zeros(9), "left": column, "right": -column,
        "source": torch.where(column < 4, 0, column),
    }[way]  # fmt: skip
    raw = load_raw(ours)
    theirs = transformers.BertModel(transformers.BertConfig(**raw, attn_implementation="eager"))
    theirs.load_state_dict(state_of(ours), strict=False)
    expected = theirs.eval()(
        ids[None],
        token_type_ids=torch.tensor([segments]),
        attention_mask=torch.where(seen, 0.0, float("-inf"))[None, None],
    ).last_hidden_state[0]
    batch = Batch.of([ids.tolist()], [segments])
    named = {"both": Full(), "left": Causal(), "right": RightToLeft(),
             "source": Prefix(torch.tensor([4]))}[way]  # fmt: skip
    for mask in (Order(ranks.long(), sees_itself=True), named):
        found = ours(replace(batch, mask=mask))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def load_raw(model: Unilm) -> dict[str, Any]:
    from foretext.models.unilm import to_hf

    raw = to_hf(model.config, "BertModel")
    return {k: v for k, v in raw.items() if k not in ("architectures", "model_type")}


def state_of(model: Unilm) -> dict[str, Any]:
    from foretext.models.unilm import FAMILY

    stored = FAMILY.hub.architectures["BertModel"]
    named = {n: p for n, p in model.named_parameters() if stored.stores(n)}
    return FAMILY.hub.weight_map(model.config).to_theirs(named, base=True)


def test_a_folder_opens_here_as_unilm_and_there_as_bert(tmp_path: Path) -> None:
    model = randomised(Unilm(CONFIG))
    opens_there(model, "BertForPreTraining", tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.family.name == "unilm"
    again = dict(loaded.model.named_parameters())
    assert all(torch.equal(p, again[n]) for n, p in model.named_parameters())


def test_a_bert_folder_is_still_a_bert(tmp_path: Path) -> None:
    model = bert.Bert(bert.BertConfig(vocab_size=37, hidden_size=12, num_layers=1, num_heads=4))
    save_model(model, tmp_path, architecture="BertForPreTraining")
    assert read_config(tmp_path)[0].name == "bert"


def test_bert_gives_its_weights_and_segments() -> None:
    """papers/unilm.md i: rows 2, 3 and 4 begin as row 0, row 5 as row 1; eps becomes 1e-5."""
    other: Any = randomised(bert.Bert(bert.BertConfig(
        vocab_size=37, hidden_size=12, num_layers=2, num_heads=4, intermediate_size=29,
        max_position_embeddings=17)))  # fmt: skip
    model: Any = adopt(other)
    assert model.config.type_vocab_size == SEGMENTS
    rows = other.embeddings.segment.weight
    assert torch.equal(model.embeddings.segment.weight, rows[[0, 1, 0, 0, 0, 1]])
    assert model.config.layer_norm_eps == 1e-5
    assert torch.equal(
        model.layers[1].attention.query.weight, other.layers[1].attention.query.weight
    )
    assert adopt(model) is None


def test_five_segments_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"set it to {SEGMENTS}"):
        replace(CONFIG, type_vocab_size=5)


def test_import_says_what_cannot_begin(tmp_path: Path) -> None:
    from tests.tasks.tiny import backbone_folder

    gpt = backbone_folder(tmp_path / "gpt", "gpt2")
    with pytest.raises(ConfigError, match="UniLM cannot begin with"):
        api.convert(gpt, tmp_path / "out", family="unilm")
    assert not (tmp_path / "out").exists()
    old = backbone_folder(tmp_path / "bert", "bert", noise=0.1)
    assert api.convert(old, tmp_path / "new", family="unilm").stored.family.name == "unilm"
