"""Continued pre-training begins from the source's weights, is exact, and says what it forgot."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from foretext.api import evaluate_text, load
from foretext.core.batch import Batch
from foretext.core.config import read_toml
from foretext.core.errors import ForetextError
from foretext.runs.continued import ContinuedResult, continue_pretraining
from foretext.runs.continued_model import extend_vocabulary, read_source, source_model
from foretext.runs.continued_plan import ContinuedOptions
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.tokenizers import Tokenizer, train
from foretext.training.progress import Silent
from tests.tokenizers.samples import latin
from tests.training.killed import KillAt, Killed

transformers = pytest.importorskip("transformers")
WORDS = ["thesokamiun", "unlrosoro", "kamingthemi"]
SHORT = {
    "training.steps": 6,
    "training.batch_size": 4,
    "training.save_every": 2,
    "training.threads": 1,
    "training.learning_rate": 1e-3,
    "data.max_length": 24,
}
SIZES = {"vocab_size": 0, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
ENCODER = {"intermediate_size": 24, "max_position_embeddings": 34}
CLASSES = {
    "bert": ("BertForMaskedLM", "wordpiece", "bert", SIZES | ENCODER),
    "bare": ("BertModel", "wordpiece", "bert", SIZES | ENCODER),
    "roberta": ("RobertaForMaskedLM", "byte-bpe", "roberta", SIZES | ENCODER),
    "gpt2": (
        "GPT2LMHeadModel",
        "byte-bpe",
        "gpt2",
        {"vocab_size": 0, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 34},
    ),
}


def theirs(folder: Path, name: str) -> None:
    """A model of transformers with random weights, and a tokenizer of ours."""
    architecture, kind, style, sizes = CLASSES[name]
    size = 330 if kind == "byte-bpe" else 150
    tokenizer = train(latin(), kind=kind, vocab_size=size, style=style)
    tokenizer.save(folder)
    cls = getattr(transformers, architecture)
    special = tokenizer.special
    ids = {"pad_token_id": special.pad, "bos_token_id": special.bos, "eos_token_id": special.eos}
    more = {"type_vocab_size": 1} if name == "roberta" else {}
    torch.manual_seed(1)
    config = cls.config_class(**sizes | {"vocab_size": tokenizer.vocab_size} | ids | more)
    cls(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and texts that no test changes."""
    folder = tmp_path_factory.mktemp("continued")
    for name in CLASSES:
        theirs(folder / name, name)
    old, domain = latin(60), latin(60, seed=5)
    domain = [f"{text} Ka {' '.join(WORDS)}." for text in domain]
    (folder / "old.txt").write_text("\n\n".join(old), encoding="utf-8")
    (folder / "domain.txt").write_text("\n\n".join(domain), encoding="utf-8")
    (folder / "dev.txt").write_text("\n\n".join(domain[:9]), encoding="utf-8")
    (folder / "empty.txt").write_text("", encoding="utf-8")
    settings = SHORT | {"objective.name": "masked-lm", "data.vocab_size": 150}
    settings |= {"model.hidden_size": 16, "model.intermediate_size": 24, "data.held_out": 0.2}
    options = PretrainOptions(text=[folder / "old.txt"], settings=settings)
    pretrain("bert-tiny", out=folder / "run", options=options)
    return folder


def go_on(
    place: Path,
    out: Path,
    name: str = "bert",
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> ContinuedResult:
    reporter = more.pop("reporter", None)
    files = {"train": place / more.pop("train", "domain.txt"), "dev": more.pop("dev", None)}
    task = more.pop("task", "causal" if name == "gpt2" else "masked")
    options = ContinuedOptions(settings=SHORT | dict(settings or {}), **more)
    return continue_pretraining(
        place / name, task, out=out, options=options, reporter=reporter, **files
    )


class Listening(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "run"])
def test_a_new_row_is_the_mean_of_its_pieces_and_old_rows_stay(place: Path, name: str) -> None:
    source = read_source(place / name)
    use = "causal-lm" if name == "gpt2" else "masked-lm"
    old = dict(source_model(source, use, seed=0)[0].named_parameters())
    model, _ = source_model(source, use, seed=0)
    extend_vocabulary(model, [[7, 9, 9], [11, 8]])
    new = dict(model.named_parameters())
    size = source.tokenizer.vocab_size
    tables = [n for n in new if n in ("embeddings.token.weight", "mlm_head.bias")]
    assert len(tables) == (1 if name == "gpt2" else 2)
    for table in tables:
        before, after = old[table], new[table]
        assert after.shape[0] == size + 2
        assert torch.equal(after[:size], before)
        torch.testing.assert_close(after[size], (before[7] + 2 * before[9]) / 3)
        torch.testing.assert_close(after[size + 1], (before[11] + before[8]) / 2)
    assert all(torch.equal(new[n], old[n]) for n in new if n not in tables)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_it_begins_from_the_sources_weights(place: Path, tmp_path: Path, name: str) -> None:
    """With a rate too small to move a number, the result is the source and the means."""
    settings = {"training.learning_rate": 1e-30, "training.weight_decay": 0.0}
    result = go_on(place, tmp_path / "out", name, settings | {"task.new_tokens": 3})
    before, after = load(place / name), load(tmp_path / "out")
    size = before.tokenizer.vocab_size
    assert after.tokenizer.vocab_size == size + result.new_tokens == size + 3
    values = dict(after.model.named_parameters())
    for key, old in before.model.named_parameters():
        if key not in before.stored.fresh:
            begun = values[key][: old.shape[0]]
            torch.testing.assert_close(begun, old, atol=1e-25, rtol=0)  # a zero moves by the rate
    listed = (tmp_path / "out" / "new_tokens.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split("\t")[0] for line in listed) == sorted(WORDS)


@pytest.mark.parametrize("step", [1, 3])
def test_killed_and_resumed_ends_with_the_same_bits(place: Path, tmp_path: Path, step: int) -> None:
    """Before the first checkpoint, and one step past one."""
    settings = {"task.new_tokens": 3, "training.log_every": 1}
    whole = go_on(place, tmp_path / "whole", settings=settings)
    with pytest.raises(Killed):
        go_on(place, tmp_path / "cut", settings=settings, reporter=KillAt(step))
    again = go_on(place, tmp_path / "cut", settings=settings)
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    found = load_file(tmp_path / "cut" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], expected[n]) for n in expected)
    assert again.texts == whole.texts


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2"])
def test_transformers_opens_the_result_with_equal_scores(
    place: Path, tmp_path: Path, name: str
) -> None:
    go_on(place, tmp_path / "out", name, {"task.new_tokens": 3})
    cls = getattr(transformers, CLASSES[name][0])
    model, report = cls.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = load(tmp_path / "out")
    text = f"the {WORDS[0]} ro"
    ids = ours.tokenizer.encode(text)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids
    assert max(ids) >= ours.tokenizer.vocab_size - 3
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    with torch.no_grad():
        mine: Any = ours.model
        logits = mine.logits(mine(Batch.of([ids])))
        torch.testing.assert_close(
            logits, model.eval()(torch.tensor([ids])).logits[0], atol=1e-5, rtol=1e-4
        )


def test_the_table_holds_the_losses_that_evaluation_finds(place: Path, tmp_path: Path) -> None:
    """Of a causal LM: bits a byte from nats, tokens and bytes counted by hand."""
    dev = place / "dev.txt"
    result = go_on(place, tmp_path / "out", "gpt2", dev=dev, old=place / "old.txt")
    assert [text.text for text in result.texts] == ["domain", "old"]
    documents = dev.read_text(encoding="utf-8").split("\n\n")
    for found, folder in (
        (result.texts[0].before, place / "gpt2"),
        (result.texts[0].after, tmp_path / "out"),
    ):
        tokenizer = Tokenizer.load(folder)
        targets = sum(len(tokenizer.encode(text)) + 1 for text in documents)  # and the end
        nats = found.loss * targets
        assert found.bits_per_byte == pytest.approx(
            nats / math.log(2) / sum(len(text.encode()) for text in documents)
        )
        assert found.per_word == pytest.approx(nats / sum(len(t.split()) for t in documents))
    after = evaluate_text(tmp_path / "out", [dev])["lm"]
    assert result.texts[0].after.loss == pytest.approx(after, rel=1e-5)
    assert result.texts[0].after.loss < result.texts[0].before.loss
    saved = json.loads((tmp_path / "out" / "continued.json").read_text())
    assert saved["texts"] == [text.record() for text in result.texts]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## Continued from" in card
    assert "| old | bits a byte |" in card


def test_the_old_text_is_what_the_run_held_out(place: Path, tmp_path: Path) -> None:
    result = go_on(place, tmp_path / "out", "run", {"task.new_tokens": 3})
    domain, old = result.texts
    assert str(place / "run") in old.origin
    assert old.before.loss == pytest.approx(evaluate_text(place / "run")["mlm"], rel=0.05)
    assert domain.after.tokens_per_word < domain.before.tokens_per_word
    assert result.recipe.training.learning_rate == SHORT["training.learning_rate"]
    source = read_toml(tmp_path / "out" / "run.toml")["text"]["source"]
    assert source["tokenizer"] == Tokenizer.load(place / "run").fingerprint
    assert source["new_tokens"] == 3
    assert evaluate_text(tmp_path / "out")["mlm"] > 0  # its own held-out text is found


def test_the_rate_is_a_fifth_of_the_runs(place: Path, tmp_path: Path) -> None:
    settings = {k: v for k, v in SHORT.items() if k != "training.learning_rate"}
    options = ContinuedOptions(settings=settings | {"training.steps": 1})
    result = continue_pretraining(
        place / "run", "masked", train=place / "domain.txt", out=tmp_path / "out", options=options
    )
    assert result.recipe.training.learning_rate == pytest.approx(1e-3 / 5)


def test_a_missing_head_is_said_and_made(place: Path, tmp_path: Path) -> None:
    listening = Listening()
    result = go_on(place, tmp_path / "out", "bare", reporter=listening)
    assert any("does not store mlm_head, which masked-lm trains" in t for t in listening.said)
    assert result.new_parts == ("mlm_head",)
    assert result.unigram is not None
    assert load(tmp_path / "out").architecture == "BertForMaskedLM"


def test_words_of_a_list_become_tokens(place: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("milka\n\nthesokamiun\n", encoding="utf-8")
    settings = {"task.vocabulary": str(words), "task.new_tokens": 1}
    result = go_on(place, tmp_path / "out", settings=settings)
    tokenizer = Tokenizer.load(tmp_path / "out")
    size = Tokenizer.load(place / "bert").vocab_size
    assert [tokenizer.id_of("milka"), tokenizer.id_of("thesokamiun")] == [size, size + 1]
    assert result.new_tokens == tokenizer.vocab_size - size


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"name": "gpt2", "task": "masked"}, "masked does not fit .*left to right; choose causal"),
        ({"name": "bert", "task": "causal"}, "causal does not fit .*both ways; choose masked"),
        ({"train": "empty.txt"}, "the corpus is empty"),
        ({"train": "nosuch.txt"}, "there is no such file"),
        ({"old": "empty.txt"}, "the corpus is empty"),
        ({"name": "nosuch"}, "is not a folder"),
        ({"name": "misfit"}, "the tokenizer has 330 tokens, but the model only 150"),
        ({"settings": {"task.new_tokens": -1}}, "must not be negative"),
        ({"settings": {"model.dropout": 0.5}}, r"model\.dropout cannot be set"),
        ({"settings": {"objective.name": "causal-lm"}}, "does not train the model"),
        ({"settings": {"training.stepz": 3}}, r"did you mean 'training\.steps'"),
    ],
)
def test_wrong_input_is_one_line_and_makes_nothing(
    place: Path, tmp_path: Path, how: dict[str, Any], why: str
) -> None:
    if how.get("name") == "misfit" and not (place / "misfit").exists():
        shutil.copytree(place / "gpt2", place / "misfit")
        for name in ("config.json", "model.safetensors"):
            shutil.copy(place / "bert" / name, place / "misfit" / name)
    if "old" in how:
        how = how | {"old": place / how["old"]}
    with pytest.raises(ForetextError, match=why) as error:
        go_on(place, tmp_path / "out", **how)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_lies_at_out_is_not_overwritten(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ForetextError, match="is the model to go on from"):
        go_on(place, place / "bert")
    with pytest.raises(ForetextError, match="began from nothing; give another --out"):
        go_on(place, place / "run")
    with pytest.raises(ForetextError, match="holds other files"):
        go_on(place, place / "roberta")
    go_on(place, tmp_path / "out")
    with pytest.raises(ForetextError, match=r"text\.source\.new_tokens: 0 -> 2"):
        go_on(place, tmp_path / "out", settings={"task.new_tokens": 2})
    with pytest.raises(ForetextError, match="only the command that began it goes on with it"):
        pretrain(str(tmp_path / "out"))
