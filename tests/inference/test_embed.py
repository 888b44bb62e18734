"""Vectors are those of AutoModel, in order, and their files hold no half."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from foretext.api import load
from foretext.cli import main
from foretext.core.errors import ConfigError
from foretext.inference.embed import EmbedConfig, Embedder, parse_layers
from foretext.inference.vector_files import writing
from foretext.models import FAMILIES
from foretext.models.folder import save_model
from foretext.tokenizers import train
from tests.tasks.tiny import backbone_folder

TEXTS = ["a fine film", "", "the story was a bore and then " * 9, "fine", "a a a a a b"]


def reference(folder: Path, config: EmbedConfig) -> np.ndarray:
    """The same by `transformers`, padded and one text at a time for the mix."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
        if not ids["input_ids"].shape[1]:
            ids = {"input_ids": torch.tensor([[tokenizer.bos_token_id or 0]])}
        with torch.no_grad():
            found = model(**ids, output_hidden_states=True)
        states = found.last_hidden_state[0]
        if config.layers:
            states = sum(w * found.hidden_states[n][0] for n, w in config.layers.items())
        rows.append({"mean": states.mean(0), "first": states[0], "last": states[-1]}[config.pool])
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "electra", "gpt2", "openai-gpt"])
@pytest.mark.parametrize(
    ("pool", "layers"), [("mean", ""), ("first", "1"), ("last", "0:0.25,2:0.75")]
)
def test_vectors_are_those_of_automodel(
    family: str, pool: str, layers: str, tmp_path: Path
) -> None:
    """Of any layer or mix, cut texts and an empty one among them."""
    folder = backbone_folder(tmp_path / family, family, noise=0.1)
    config = EmbedConfig(pool=pool, layers=parse_layers(layers) if layers else {}, max_length=16)
    loaded = load(folder)
    embedder = Embedder(loaded.stored, loaded.tokenizer, config)
    (found,) = embedder.vectors(iter(TEXTS))
    assert np.abs(found - reference(folder, config)).max() < 2e-5
    assert embedder.cut == 1


def test_xlnets_layout_has_its_token_of_the_text_last(tmp_path: Path) -> None:
    """`A <sep> <cls>`, of which <cls> is a segment of its own."""
    words = " ".join(TEXTS).split()
    texts = [" ".join(words[n:] + words[:n]) for n in range(20)]
    tokenizer = train(texts, kind="unigram", vocab_size=60, style="xlnet")
    family = FAMILIES["xlnet"]
    config = family.presets["xlnet-tiny"]
    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "head_size": 16}
    model = family.model(replace(config, vocab_size=tokenizer.vocab_size, **sizes))
    model.initialise(torch.Generator().manual_seed(1))
    folder = tmp_path / "xlnet"
    folder.mkdir()
    save_model(model, folder, architecture=family.hub.bare(model.config).name)
    tokenizer.save(folder)
    for config_ in (
        EmbedConfig(max_length=16),
        EmbedConfig(pool="last", layers={1: 1.0}, max_length=16),
    ):
        loaded = load(folder)
        embedder = Embedder(loaded.stored, loaded.tokenizer, config_)
        (found,) = embedder.vectors(iter(TEXTS))
        assert np.abs(found - reference(folder, config_)).max() < 2e-5


def test_files_hold_every_row_in_order(tmp_path: Path) -> None:
    """Written in parts of any size; a .parquet with the texts."""
    vectors = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    for name in ("v.npy", "v.parquet"):
        with writing(tmp_path / name, 3) as write:
            for start, stop in ((0, 1), (1, 600), (600, 1000)):
                write([f"text {n}" for n in range(start, stop)], vectors[start:stop])
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)
    table = pq.read_table(tmp_path / "v.parquet")
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors)
    assert table["text"].to_pylist()[::999] == ["text 0", "text 999"]


def test_layers_are_read_or_refused() -> None:
    assert parse_layers("2,4") == {2: 0.5, 4: 0.5}
    for wrong in ("x", "1:2:3", "1,2:0.5", "1,1", ""):
        with pytest.raises(ConfigError, match="cannot be read; give 12, or"):
            parse_layers(wrong)


def test_the_verb_writes_a_row_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a text, or a column; what is wrong leaves no file."""
    folder = backbone_folder(tmp_path / "bert", "bert")
    lines, table = tmp_path / "t.txt", tmp_path / "t.csv"
    lines.write_text("a fine film\n\nfine\n", encoding="utf-8")
    table.write_text("n,review\n1,a fine film\n2,fine\n", encoding="utf-8")
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"

    def embed(*arguments: object) -> int:
        return main(["embed", str(folder), *map(str, arguments)])

    assert (embed(lines, "--out", one, "--json"), np.load(one).shape[0]) == (0, 3)
    assert embed(table, "--out", two, "--text-column", "review") == 0
    assert np.allclose(np.load(one)[[0, 2]], np.load(two), atol=1e-6)
    faults = {
        ("x.txt",): "x.txt must end in .npy or .parquet",
        ("x.npy", "--pool", "men"): "did you mean 'mean'",
        ("x.npy", "--layer", "9"): "there is no layer 9; the model has",
        ("x.npy", "--precision", "fp8"): "fp8",
    }
    for (name, *more), says in faults.items():
        assert embed(lines, "--out", tmp_path / name, *more) == 1
        assert says in capsys.readouterr().err
        assert not (tmp_path / name).exists()
