"""Continued pre-training goes on by the run's own objective, whatever its losses and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from foretext.api import evaluate_text, load
from foretext.core.config import read_toml
from foretext.runs.continued import continue_pretraining
from foretext.runs.continued_plan import ContinuedOptions
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import pretrain
from foretext.tokenizers import Tokenizer
from foretext.training.progress import Silent
from tests.tokenizers.samples import latin
from tests.training.killed import KillAt, Killed

WORDS = ["thesokamiun", "unlrosoro", "kamingthemi"]
SHORT = {
    "training.steps": 4,
    "training.batch_size": 4,
    "training.save_every": 2,
    "training.log_every": 1,
    "training.threads": 1,
    "data.max_length": 24,
}
FIRST = {"data.vocab_size": 150, "data.held_out": 0.2, "model.num_layers": 1}
RUNS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "bert-nsp": ("bert-tiny", {"objective.name": "next-sentence"}, ("mlm", "nsp")),
    "albert-sop": ("albert-tiny", {}, ("mlm", "sop")),
    "electra": ("electra-tiny", {}, ("mlm", "rtd")),
}


@pytest.fixture(scope="module", params=RUNS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one family, beside old and new text of several sentences a document."""
    folder = tmp_path_factory.mktemp("families")
    for name, seed in (("old", 0), ("domain", 5)):
        new = WORDS if name == "domain" else ["ka"]
        sentences = [f"{t} Ka {new[i % len(new)]}." for i, t in enumerate(latin(80, seed=seed))]
        documents = ["\n".join(sentences[i : i + 4]) for i in range(0, 80, 4)]
        (folder / f"{name}.txt").write_text("\n\n".join(documents), encoding="utf-8")
    preset, settings, _ = RUNS[request.param]
    options = PretrainOptions(text=[folder / "old.txt"], settings=SHORT | FIRST | settings)
    pretrain(preset, out=folder / request.param, options=options)
    return folder / request.param


def go_on(
    source: Path,
    out: Path,
    *,
    rate: float = 1e-3,
    dev: Path | None = None,
    reporter: Silent | None = None,
) -> Any:
    settings = SHORT | {"training.learning_rate": rate, "task.new_tokens": 2}
    if rate < 1e-20:
        settings |= {"training.weight_decay": 0.0}
    return continue_pretraining(
        source,
        "masked",
        train=source.parent / "domain.txt",
        dev=dev,
        out=out,
        options=ContinuedOptions(settings=settings),
        reporter=reporter,
    )


def halves(folder: Path) -> list[Path]:
    """The folder, and that of the generator if there is one."""
    return [folder, *(p for p in [folder / "generator"] if p.is_dir())]


def test_it_keeps_the_objective_and_begins_from_the_weights(source: Path, tmp_path: Path) -> None:
    """With a rate too small to move a number, each network is the old one and two rows more."""
    result = go_on(source, tmp_path / "out", rate=1e-30)
    before, after = (read_toml(folder / "run.toml") for folder in (source, tmp_path / "out"))
    assert after["objective"] == before["objective"]
    for old_folder, new_folder in zip(halves(source), halves(tmp_path / "out"), strict=True):
        old, new = load(old_folder), load(new_folder)
        assert new.architecture == old.architecture
        assert new.tokenizer.vocab_size == old.tokenizer.vocab_size + result.new_tokens
        values = dict(new.model.named_parameters())
        for name, tensor in old.model.named_parameters():
            begun = values[name][: tensor.shape[0]]
            torch.testing.assert_close(begun, tensor, atol=1e-25, rtol=0, msg=name)


def test_every_loss_of_the_objective_is_there(source: Path, tmp_path: Path) -> None:
    go_on(source, tmp_path / "out")
    found = evaluate_text(tmp_path / "out")
    assert set(RUNS[source.name][2]) < set(found)
    assert Tokenizer.load(tmp_path / "out").vocab_size == Tokenizer.load(source).vocab_size + 2


def test_the_table_holds_nats_a_hidden_token(source: Path, tmp_path: Path) -> None:
    """Of ELECTRA the generator's; the discriminator's stands beside it, not times its weight."""
    dev = source.parent / "old.txt"
    compared = go_on(source, tmp_path / "out", dev=dev).texts[0]
    for folder, found in ((source, compared.before), (tmp_path / "out", compared.after)):
        expected = evaluate_text(folder, [dev])
        assert found.loss == pytest.approx(expected["mlm"], rel=1e-5)
        assert found.per_word == pytest.approx(found.loss * found.tokens_per_word)
        rtd = {"replaced or not, nats a token": expected["rtd"]} if "rtd" in expected else {}
        assert found.others == pytest.approx(rtd, rel=1e-5)
    measures = [measure for _, measure, _, _ in compared.rows()]
    assert measures[0] == "nats a hidden token"
    assert ("replaced or not, nats a token" in measures) == ("rtd" in expected)


def test_killed_and_resumed_ends_with_the_same_bits(source: Path, tmp_path: Path) -> None:
    go_on(source, tmp_path / "whole")
    with pytest.raises(Killed):
        go_on(source, tmp_path / "cut", reporter=KillAt(3))
    go_on(source, tmp_path / "cut")
    for whole, cut in zip(halves(tmp_path / "whole"), halves(tmp_path / "cut"), strict=True):
        expected = load_file(whole / "model.safetensors")
        found = load_file(cut / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
