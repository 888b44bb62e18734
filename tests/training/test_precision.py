"""training.precision=bf16 learns what fp32 learns, is as exact, and is advised where it pays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from safetensors.torch import load_file

from foretext.core.batch import Batch
from foretext.core.masks import Causal, Full
from foretext.nn.cpu import grouped_attention as module
from foretext.nn.cpu.grouped_attention import grouped_attention, groups_of
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.training import precision
from foretext.training.precision import advice, matrix_multiply_rate
from tests.tasks.test_multiple_choice import choice_file
from tests.tasks.tiny import backbone_folder
from tests.training.golden import curve, train
from tests.training.killed import Killed
from tests.training.test_golden import PRESETS, unbroken, weights

HALVES: dict[str, Path] = {}


def half(preset: str) -> Path:
    """The golden run of a preset, in bf16."""
    if preset not in HALVES:
        HALVES[preset] = Path(mkdtemp()) / "run"
        train(preset, HALVES[preset], precision="bf16")
    return HALVES[preset]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_loss_falls_as_it_does_in_fp32(preset: str) -> None:
    """Within 3 % on average and 10 % at every step, and not the same; what is kept is fp32.

    Where rounding decides which token ELECTRA's generator draws, the discriminator reads another.
    """
    found, full = curve(half(preset)), curve(unbroken(preset))
    assert found != full
    draws = preset.startswith("electra")
    assert found == pytest.approx(full, rel=0.2 if draws else 0.1)
    assert sum(found) == pytest.approx(sum(full), rel=0.1 if draws else 0.03)
    kept = load_file(half(preset) / "model.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}


@pytest.mark.parametrize("preset", ["bert-tiny", "gpt3-mini", "electra-tiny"])
def test_a_killed_run_ends_with_the_same_bits(preset: str, tmp_path: Path) -> None:
    """Dead after step 18, two past a checkpoint."""
    with pytest.raises(Killed):
        train(preset, tmp_path / "run", kill_at=18, precision="bf16")
    train(preset, tmp_path / "run", precision="bf16")
    assert weights(tmp_path / "run") == weights(half(preset))


def test_fine_tuning_learns_in_bf16(tmp_path: Path) -> None:
    backbone_folder(tmp_path / "backbone", "bert", noise=0.1)
    train_file, dev = choice_file(tmp_path / "a.tsv", 60, 0), choice_file(tmp_path / "b.tsv", 30, 1)
    losses = {}
    for name in precision.DTYPES:
        settings = {"training.precision": name, "training.threads": 1, "data.max_length": 32}
        finetune(
            tmp_path / "backbone",
            "multiple-choice",
            train=train_file,
            dev=dev,
            out=tmp_path / name,
            options=FinetuneOptions(settings=settings | {"finetune.epochs": 2.0}),
        )
        lines = (tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses[name] = [r["loss"] for r in map(json.loads, lines) if "loss" in r]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.03)


@pytest.mark.parametrize("least", [0, 1 << 62])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_bf16_is_that_in_fp32_but_for_rounding(
    least: int, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its products are bf16 or, as small ones are, fp32; value and gradient."""
    monkeypatch.setattr(module, "_LEAST", least)
    batch = Batch.of([[1] * 5, [1] * 5, [1] * 9])
    groups = groups_of([5, 5, 9])
    draw = torch.Generator().manual_seed(0)
    packed = torch.randn(batch.num_tokens, 3, 2, 8, generator=draw).to(torch.bfloat16)
    keep = [torch.rand(g.tokens, 2, g.length, generator=draw) > 0.2 for g in groups]
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        leaf = packed.float().requires_grad_()
        query, key, value = leaf.to(dtype).unbind(1)
        out = grouped_attention(
            (query, key, value),
            groups,
            keep=keep,
            kept_scale=1.25,
            scale=8**-0.5,
            mask=Causal() if causal else Full(),
        )
        assert out.dtype == dtype
        out.float().square().sum().backward()
        assert leaf.grad is not None
        found.append((out.detach().float(), leaf.grad))
    for full, rounded in zip(*found, strict=True):
        torch.testing.assert_close(rounded, full, rtol=0.05, atol=0.05)


def test_the_rate_is_that_of_a_product_of_the_precision() -> None:
    """In FLOPs a second: above a million and below 10^16 on any machine."""
    for name in precision.DTYPES:
        assert 1e6 < matrix_multiply_rate(torch.device("cpu"), name, size=64) < 1e16


@pytest.mark.parametrize(
    ("used", "seconds", "bf16", "said"),
    [
        ("fp32", 3600, 2.2, "bf16 2.2 times as fast as fp32: training.precision=bf16"),
        ("fp32", 60, 2.2, None),  # a short run
        ("fp32", 3600, 1.1, None),
        ("bf16", 3600, 2.2, None),
        ("bf16", 60, 0.25, "fp32 4.0 times as fast as bf16: training.precision=fp32"),
    ],
)
def test_a_precision_is_advised_where_the_machine_is_made_for_it(
    used: str, seconds: float, bf16: float, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"fp32": 1e9, "bf16": bf16 * 1e9}
    rate: Callable[..., float] = lambda _, name, **__: rates[name]  # noqa: E731
    monkeypatch.setattr(precision, "matrix_multiply_rate", rate)
    line = advice(torch.device("cpu"), used, seconds)
    assert line is None if said is None else line is not None and said in line
