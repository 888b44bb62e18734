"""model.start = "cooccurrence": what it changes, in every family, and that a resume repeats it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretext.core.errors import ConfigError
from foretext.models import FAMILIES, network_for
from foretext.recipes.recipe import Recipe
from foretext.runs.options import PretrainOptions
from foretext.runs.pretrain import Prepared, prepare_run, pretrain
from foretext.runs.warm_start import start_from_counts, token_tables
from foretext.tokenizers import Tokenizer
from foretext.training.progress import Silent

TINY = {
    "model.num_layers": 1,
    "model.hidden_size": 16,
    "model.num_heads": 2,
    "model.intermediate_size": 16,
    "model.max_position_embeddings": 32,
    "data.max_length": 32,
    "data.vocab_size": 300,
    "training.steps": 4,
    "training.warmup_steps": 0,
    "training.batch_size": 4,
    "training.save_every": 2,
    "training.eval_every": 4,
    "training.threads": 1,
}
PRESETS = ("albert-tiny", "bert-tiny", "electra-tiny", "gpt-tiny", "roberta-tiny")
FORMS = (("cat", "dog", "horse"), ("runs", "sleeps", "eats"), ("milk", "hay", "bread"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Animals eat, and cars need oil: words of a kind share their company."""
    lines = []
    for number in range(120):
        animal, verb, food = (
            forms[number // step % 3] for forms, step in zip(FORMS, (1, 3, 9), strict=True)
        )
        lines.append(f"the {animal} {verb} and likes {food} in the barn of the farm.")
        lines.append(f"a car needs oil number {number % 7} on the motorway to the city.")
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return path


def prepared(preset: str, text: Path, out: Path, start: str, **settings: Any) -> Prepared:
    """A run that could start, its model's initial weights complete."""
    options = PretrainOptions(text=[text])
    sizes = {"model.embedding_size": 16} if preset.startswith(("albert", "electra")) else {}
    recipe = Recipe.of(preset, TINY | sizes | settings | {"model.start": start})
    ready = prepare_run(out, recipe, options, Silent())
    if ready.job.start is not None:
        ready.job.start()
    return ready


@pytest.mark.parametrize("preset", PRESETS)
def test_every_family_starts_from_the_companions_of_tokens(
    preset: str, text: Path, tmp_path: Path
) -> None:
    """Vectors of words of a kind are near; their spread, and tokens not in the text, are kept."""
    random = prepared(preset, text, tmp_path / "random", "random")
    warm = prepared(preset, text, tmp_path / "warm", "cooccurrence")
    size = random.tokenizer.vocab_size
    (before,), (after,) = (token_tables(r.job.model, size) for r in (random, warm))
    special = list(random.tokenizer.special_ids)
    assert torch.equal(before.weight[special], after.weight[special])
    changed = (before.weight != after.weight).any(1)
    spread = after.weight[changed].square().mean().sqrt()
    assert spread.item() == pytest.approx(before.weight.std().item(), rel=1e-3)
    near = likeness(random.tokenizer, after.weight, ("cat", "horse"))
    assert near > likeness(random.tokenizer, after.weight, ("cat", "motorway")) + 0.3


def likeness(tokenizer: Tokenizer, table: torch.Tensor, words: tuple[str, str]) -> float:
    """The cosine of two words' last tokens in a sentence."""
    ids = [tokenizer.encode(f"the {word}")[-1] for word in words]
    return float(torch.cosine_similarity(table[ids[0]], table[ids[1]], dim=0).detach())


def test_the_output_bias_says_how_common_tokens_are(text: Path, tmp_path: Path) -> None:
    """So the first loss is that of frequencies, and the vectors are not bent to it."""
    nats = {}
    for start in ("random", "cooccurrence"):
        ready = prepared("bert-tiny", text, tmp_path / start, start, **{"data.held_out": 0.2})
        assert ready.job.evaluate is not None
        ready.job.model.eval()
        nats[start] = ready.job.evaluate()
    uniform = float(np.log(ready.tokenizer.vocab_size))
    assert nats["random"]["mlm"] == pytest.approx(uniform, abs=0.2)
    assert nats["cooccurrence"]["mlm"] < nats["cooccurrence"]["unigram"] + 0.2


def test_values_pass_attention_almost_as_they_are(text: Path, tmp_path: Path) -> None:
    ready = prepared("bert-tiny", text, tmp_path / "run", "cooccurrence")
    model: Any = ready.job.model
    for weight in (
        model.layers[0].attention.value.weight,
        model.layers[0].attention.output.weight,
        model.mlm_head.dense.weight,
    ):
        assert weight.diagonal().mean().item() == pytest.approx(0.7, abs=0.02)
        assert (weight - torch.diag(weight.diagonal())).std() < 0.05


def test_counting_is_not_repeated_after_a_checkpoint(text: Path, tmp_path: Path) -> None:
    """A run goes on from its weights; where it died before any, it begins with the same ones."""

    class Stages(Silent):
        def __init__(self, act: Callable[[str], None]) -> None:
            self.act = act

        def stage(self, name: str, done: int, total: int | None) -> None:  # noqa: ARG002
            self.act(name)

    class Death(Exception): ...

    def die(name: str) -> None:
        if name == "vectors":
            raise Death

    settings = TINY | {"model.start": "cooccurrence"}
    options = PretrainOptions(text=[text], settings=settings)
    whole = pretrain("bert-tiny", out=tmp_path / "whole", options=options)
    with pytest.raises(Death):
        pretrain("bert-tiny", out=tmp_path / "cut", options=options, reporter=Stages(die))
    again = pretrain("bert-tiny", out=tmp_path / "cut", options=options)
    files = [result.folder / "model.safetensors" for result in (whole, again)]
    assert files[0].read_bytes() == files[1].read_bytes()
    heard: list[str] = []
    pretrain("bert-tiny", out=tmp_path / "cut", options=options, reporter=Stages(heard.append))
    assert "count" not in heard


def test_small_presets_take_it_and_papers_do_not() -> None:
    assert Recipe.of("bert-mini").start == "cooccurrence"
    assert Recipe.of("bert-base").start == "random"
    assert Recipe.from_values(Recipe.of("bert-mini").values()).start == "cooccurrence"


def test_an_unknown_start_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cooccurrence'"):
        Recipe.of("bert-tiny", {"model.start": "cooccurence"})


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_each_small_preset_that_starts_from_counts_has_a_table_of_tokens(family: str) -> None:
    for preset in FAMILIES[family].presets:
        if not preset.endswith("-tiny") or Recipe.of(preset).start == "random":
            continue
        recipe = Recipe.of(preset, {"model.vocab_size": 77})
        assert token_tables(network_for(recipe.model, recipe.use), 77), preset


def test_a_model_without_a_table_of_tokens_says_so(text: Path, tmp_path: Path) -> None:
    ready = prepared("bert-tiny", text, tmp_path / "run", "random")
    assert ready.held_out is not None
    with pytest.raises(ConfigError, match=r"set model\.start=random"):
        start_from_counts(torch.nn.Linear(2, 2), ready.held_out, 9, seed=0, reporter=Silent())
