"""RoBERTa: published sizes, `transformers` both ways, positions that begin at row 2 there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from foretext.core.batch import Batch
from foretext.core.errors import CheckpointError, ConfigError
from foretext.models import for_tokenizer, roberta
from foretext.models.folder import load_model, save_model
from tests.models.both_ways import (
    count,
    on_meta,
    opens_here,
    opens_there,
    ragged_equals_alone,
    randomised,
    survives_a_round_trip,
)
from tests.models.tiny import rewrite, set_config

transformers = pytest.importorskip("transformers")

CONFIG = roberta.RobertaConfig(
    vocab_size=37, hidden_size=12, num_layers=5, num_heads=3, intermediate_size=29,
    max_position_embeddings=17,
)  # fmt: skip
THEIRS = {
    "vocab_size": 37, "hidden_size": 12, "num_hidden_layers": 5, "num_attention_heads": 3,
    "intermediate_size": 29, "max_position_embeddings": 19, "type_vocab_size": 1,
    "layer_norm_eps": 1e-5, "pad_token_id": 1, "num_labels": 4,
}  # fmt: skip
CLASSES = ("RobertaForMaskedLM", "RobertaModel", "RobertaForSequenceClassification")
COUNTS = {  # papers/roberta.md: with a pooler, with the masked-LM head; two more position rows,
    "roberta-base": (124_645_632, 124_697_433),  # and the segments' one, than the module has
    "roberta-large": (355_359_744, 355_412_057),
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(level)


def their_model(name: str, **changes: Any) -> Any:
    config = transformers.RobertaConfig(**(THEIRS | changes))
    return randomised(getattr(transformers, name)(config))


def our_model(config: roberta.RobertaConfig = CONFIG) -> Any:
    return randomised(roberta.Roberta(config))


def head_of(name: str) -> dict[str, Tensor] | None:
    if not name.endswith("Classification"):
        return None
    return {"weight": torch.randn(4, 12), "bias": torch.randn(4)}


@pytest.mark.parametrize("preset", COUNTS)
def test_counts_of_the_published_sizes(preset: str) -> None:
    """papers/roberta.md a; its files hold three rows more than the module."""
    model = on_meta("roberta", preset)
    border = 3 * roberta.PRESETS[preset].hidden_size
    found = (count(model, ("mlm_head",)) + border, count(model, ("pooler",)) + border)
    assert found == COUNTS[preset]


@pytest.mark.parametrize("preset", ["roberta-tiny", "roberta-mini"])
def test_closed_form_of_the_small_presets(preset: str) -> None:
    on_meta("roberta", preset)


@pytest.mark.parametrize("name", CLASSES)
def test_their_folder_opens_here(name: str, tmp_path: Path) -> None:
    """Issue 3: logits equal to 1e-4, every axis of its own size."""
    opens_here(their_model(name), tmp_path)


@pytest.mark.parametrize("name", CLASSES)
def test_our_folder_opens_there(name: str, tmp_path: Path) -> None:
    opens_there(our_model(), name, tmp_path, head_of(name))


@pytest.mark.parametrize("name", CLASSES)
def test_a_round_trip_keeps_all_but_the_rows_no_token_reads(name: str, tmp_path: Path) -> None:
    """Rows 0 and 1 of the positions and the segments' row, which moved into the positions."""
    one, other = survives_a_round_trip(their_model(name), tmp_path)
    prefix = "" if name == "RobertaModel" else "roberta."
    positions = f"{prefix}embeddings.position_embeddings.weight"
    segments = f"{prefix}embeddings.token_type_embeddings.weight"
    for key, tensor in one.items():
        if key not in (positions, segments):
            assert torch.equal(tensor, other[key]), key
    assert not other[segments].any()
    assert not other[positions][:2].any()
    assert torch.equal(other[positions][2:], one[positions][2:] + one[segments])


def test_position_0_is_row_2_of_the_file(tmp_path: Path) -> None:
    """papers/README.md, trap 6; the segments' row and the rows before are zero."""
    model = our_model()
    save_model(model, tmp_path, architecture="RobertaForMaskedLM")
    stored = load_file(tmp_path / "model.safetensors")
    table = stored["roberta.embeddings.position_embeddings.weight"]
    assert table.shape == (19, 12)
    assert torch.equal(table[2:], model.embeddings.position.weight)
    assert not table[:2].any()
    assert stored["roberta.embeddings.token_type_embeddings.weight"].shape == (1, 12)


@pytest.mark.parametrize("pad", [0, 1, 5])
def test_the_first_row_follows_the_id_of_padding(pad: int, tmp_path: Path) -> None:
    """transformers counts positions from pad_token_id + 1, so a vocabulary with another one must
    move the table too."""
    opens_here(
        their_model("RobertaForMaskedLM", pad_token_id=pad, max_position_embeddings=18 + pad),
        tmp_path / "theirs",
    )
    config = for_tokenizer(CONFIG, vocab_size=37, pad_id=pad)
    assert isinstance(config, roberta.RobertaConfig)
    their = opens_there(our_model(config), "RobertaForMaskedLM", tmp_path / "ours")
    assert their.config.pad_token_id == pad
    assert their.config.max_position_embeddings == 18 + pad


def test_extra_config_cannot_move_the_positions(tmp_path: Path) -> None:
    """What is saved beside a tokenizer with another padding still computes the same."""
    model = our_model()
    extra = {"pad_token_id": 0, "bos_token_id": 4}
    save_model(model, tmp_path, architecture="RobertaForMaskedLM", extra_config=extra)
    loaded = load_model(tmp_path)
    assert loaded.raw_config["pad_token_id"] == 1
    assert loaded.raw_config["bos_token_id"] == 4
    batch = Batch.of([[3, 4, 5]])
    assert torch.equal(loaded.model.eval()(batch), model(batch))


def test_a_tokenizer_without_padding_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a token for padding"):
        for_tokenizer(CONFIG, vocab_size=37, pad_id=None)


def test_a_model_saved_without_its_pooler_is_read(tmp_path: Path) -> None:
    """add_pooling_layer=False names the class RobertaModel all the same."""
    model = randomised(transformers.RobertaModel(transformers.RobertaConfig(**THEIRS), False))
    model.save_pretrained(tmp_path)
    assert {name.split(".")[0] for name in load_model(tmp_path).fresh} == {"pooler", "mlm_head"}


def test_old_copies_and_buffers_are_read(tmp_path: Path) -> None:
    """roberta.md h: published files repeat the tied decoder and carry position_ids."""
    model = their_model("RobertaForMaskedLM")
    model.save_pretrained(tmp_path)

    def old(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        word = tensors["roberta.embeddings.word_embeddings.weight"]
        return tensors | {
            "lm_head.decoder.weight": word,
            "lm_head.decoder.bias": tensors["lm_head.bias"],
            "roberta.embeddings.position_ids": torch.arange(19)[None],
        }

    rewrite(tmp_path, old)
    batch = Batch.of([[3, 4, 5, 6]])
    expected = model(torch.tensor([[3, 4, 5, 6]])).logits[0]
    loaded: Any = load_model(tmp_path).model.eval()
    torch.testing.assert_close(loaded.logits(loaded(batch)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type_vocab_size": 2}, "type_vocab_size=2 cannot be read"),
        ({"pad_token_id": None}, "pad_token_id='None' must be an id"),
        ({"pad_token_id": -1}, "pad_token_id='-1' must be an id"),
        ({"pad_token_id": 18}, "max_position_embeddings=0 must be at least 1"),
        ({"is_decoder": True}, "is_decoder"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_other_kinds_of_roberta_are_refused(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_model(our_model(), tmp_path, architecture="RobertaForMaskedLM")
    set_config(tmp_path, **values)
    with pytest.raises(ConfigError, match=message):
        load_model(tmp_path)


def test_a_segment_table_of_two_rows_is_refused(tmp_path: Path) -> None:
    """Adding either row to every token would compute something else in silence."""
    save_model(our_model(), tmp_path, architecture="RobertaForMaskedLM")
    name = "roberta.embeddings.token_type_embeddings.weight"
    rewrite(tmp_path, lambda tensors: tensors | {name: torch.zeros(2, 12)})
    with pytest.raises(CheckpointError, match=r"token_type_embeddings.*\[2, 12\].*only one row"):
        load_model(tmp_path)


def test_ragged_equals_one_at_a_time() -> None:
    ragged_equals_alone(our_model(replace(CONFIG, dropout=0.0, attention_dropout=0.0)))


def test_initial_weights_are_normal() -> None:
    """fairseq, init_bert_params: N(0, .02) everywhere, not cut; norms 1 and 0, biases 0."""
    model = roberta.Roberta(replace(roberta.PRESETS["roberta-tiny"], vocab_size=2000))
    model.initialise(torch.Generator().manual_seed(0))
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            assert (weight == float(name.endswith("norm.weight"))).all(), name
        else:
            assert abs(weight.std().item() - 0.02) < 0.001, name
    assert model.embeddings.token.weight.abs().max() > 0.06


def test_segments_make_no_difference() -> None:
    """The paper has no segment embeddings."""
    model = our_model()
    ids = [[3, 4, 5, 6]]
    assert torch.equal(model(Batch.of(ids, [[0, 0, 1, 1]])), model(Batch.of(ids)))


def test_recipes_are_the_papers() -> None:
    """Table 9 of the paper and section d of papers/roberta.md."""
    large, base = roberta.recipe("roberta-large"), roberta.recipe("roberta-base")
    assert (large["training.learning_rate"], large["training.warmup_steps"]) == (4e-4, 30_000)
    assert (base["training.learning_rate"], base["training.warmup_steps"]) == (6e-4, 24_000)
    for recipe in (large, base):
        assert recipe["training.betas"] == (0.9, 0.98)
        assert recipe["training.eps"] == 1e-6
        assert recipe["training.clip_norm"] is None
        assert recipe["training.batch_size"] == 8192
        assert recipe["training.steps"] == 500_000
        assert recipe["data.max_length"] == 512
