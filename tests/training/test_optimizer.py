"""foretext.training.optimizers: the papers' formulas, the groups, and the same bits every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretext.core.errors import CheckpointError, ConfigError
from foretext.training.optimizers.base import Optimizer
from foretext.training.optimizers.build import build_optimizer
from foretext.training.optimizers.config import OPTIMIZERS, OptimizerConfig
from foretext.training.optimizers.norms import clip_gradients

STEPS = 20
FACTORS = [min(1.0, t / 5) * (1 - t / 40) for t in range(STEPS)]  # 0 at the first, as in BERT
CONFIG = OptimizerConfig(learning_rate=0.01, weight_decay=0.1, clip_norm=None)
Formula = Callable[[float, float, float, int, float, float], float]


class Layer(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, size)
        self.attention_norm = nn.LayerNorm(size)


class Embeddings(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.token = nn.Embedding(9, size)


class Backbone(nn.Module):
    """The names that foretext's models have."""

    def __init__(self, layers: int = 2, size: int = 6) -> None:
        super().__init__()
        self.embeddings = Embeddings(size)
        self.layers = nn.ModuleList(Layer(size) for _ in range(layers))
        self.decoder = nn.Linear(size, 9)
        self.decoder.weight = self.embeddings.token.weight  # tied


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(6, 2)


def toy(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return Backbone()


def draw_gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def train(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for t in steps:
        draw_gradients(model, t)
        optimizer.clip()
        optimizer.set_rate(FACTORS[t])
        optimizer.step()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def adamw(m: float, v: float, w: float, t: int, decay: float, eps: float) -> float:
    """Loshchilov & Hutter 2019, algorithm 2, line 12, over the rate."""
    return (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + eps) + decay * w


def bert(m: float, v: float, w: float, t: int, decay: float, eps: float) -> float:  # noqa: ARG001
    """Google's optimization.py, AdamWeightDecayOptimizer.apply_gradients, over the rate."""
    return m / (math.sqrt(v) + eps) + decay * w


def gpt1(m: float, v: float, w: float, t: int, decay: float, eps: float) -> float:
    """OpenAI's opt.py, adam, over the scheduled rate."""
    rate = math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return rate * m / (math.sqrt(v) + eps) + rate * decay * w


def reference(model: nn.Module, formula: Formula, config: OptimizerConfig) -> dict[str, Tensor]:
    """The weights after STEPS updates, one number at a time in double precision."""
    gradients = []
    for t in range(STEPS):
        draw_gradients(model, t)
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    results = {}
    for name, start in weights(model).items():
        decay = config.weight_decay if start.ndim >= 2 and "norm" not in name else 0.0
        numbers = start.double().flatten().tolist()
        for i, w in enumerate(numbers):
            m = v = 0.0
            for t in range(STEPS):
                gradient = gradients[t][name]
                assert gradient is not None
                g = float(gradient.flatten()[i])
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                rate = config.learning_rate * FACTORS[t]
                w -= rate * formula(m, v, w, t + 1, decay, config.eps)  # noqa: PLW2901
            numbers[i] = w
        results[name] = torch.tensor(numbers, dtype=torch.float64).view(start.shape)
    return results


@pytest.mark.parametrize("eps", [1e-8, 1e-2])  # the large one tells where eps is added
@pytest.mark.parametrize(
    ("name", "formula"), [("adamw", adamw), ("bert-adamw", bert), ("gpt1-adamw", gpt1)]
)
def test_each_variant_is_its_papers_formula(name: str, formula: Formula, eps: float) -> None:
    """papers, trap 3, and the formulas in the module's docstring."""
    config = replace(CONFIG, name=name, eps=eps)
    expected = reference(toy(), formula, config)
    model = toy()
    train(model, build_optimizer(model, config), range(STEPS))
    for key, value in weights(model).items():
        torch.testing.assert_close(value.double(), expected[key], rtol=1e-6, atol=1e-6)


def test_the_variants_differ() -> None:
    """Else the test above would pass with any of them."""
    results = []
    for name in OPTIMIZERS:
        model = toy()
        train(model, build_optimizer(model, replace(CONFIG, name=name, eps=1e-2)), range(STEPS))
        results.append(model.decoder.weight.detach())
    for i, one in enumerate(results):
        assert all((one - other).abs().max() > 1e-3 for other in results[i + 1 :])


def test_adamw_has_the_bits_of_torch() -> None:
    """The kernel is called as torch.optim.AdamW(fused=True) calls it."""
    ours, theirs = toy(), toy()
    optimizer = build_optimizer(ours, CONFIG)
    named = dict(theirs.named_parameters())
    decay = [p for n, p in named.items() if p.ndim >= 2]
    rest = [p for n, p in named.items() if p.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": decay}, {"params": rest, "weight_decay": 0.0}]
    peer = torch.optim.AdamW(
        groups,
        lr=CONFIG.learning_rate,
        weight_decay=CONFIG.weight_decay,
        fused=True,
    )
    for t in range(STEPS):
        draw_gradients(ours, t)
        draw_gradients(theirs, t)
        optimizer.step()
        peer.step()
    expected = weights(theirs)
    assert all(torch.equal(value, expected[name]) for name, value in weights(ours).items())


def rates(optimizer: Optimizer) -> dict[str, tuple[float, float]]:
    return {
        name: (group["peak_lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for name in group["param_names"]
    }


def test_matrices_and_tables_decay_and_norms_and_biases_do_not() -> None:
    """Google's optimization.py: LayerNorm, layer_norm and bias are excluded; embeddings decay."""
    found = rates(build_optimizer(toy(), CONFIG))
    assert {name for name, (_, decay) in found.items() if decay} == {
        "embeddings.token.weight", "layers.0.query.weight", "layers.1.query.weight",
    }  # fmt: skip
    assert len(found) == len(list(toy().parameters()))  # the tied table once
    everything = replace(CONFIG, decay_excluded=("norm", "bias", "embeddings"))
    assert rates(build_optimizer(toy(), everything))["embeddings.token.weight"][1] == 0


def test_rates_fall_layer_by_layer_and_the_head_has_its_own() -> None:
    """Howard & Ruder 2018, section 3.2; depth L + 1 of the heads is the full rate."""
    config = OptimizerConfig(learning_rate=1.0, layer_decay=0.5, head_learning_rate=3.0)
    found = {name: rate for name, (rate, _) in rates(build_optimizer(Classifier(), config)).items()}
    assert found["head.weight"] == found["head.bias"] == 3.0
    assert found["backbone.decoder.bias"] == 1.0
    assert (
        found["backbone.layers.1.query.bias"]
        == found["backbone.layers.1.attention_norm.bias"]
        == 0.5
    )
    assert found["backbone.layers.0.query.weight"] == 0.25
    assert found["backbone.embeddings.token.weight"] == 0.125
    plain = rates(build_optimizer(Classifier(), replace(config, head_learning_rate=None)))
    assert plain["head.weight"][0] == 1.0


def test_frozen_parameters_stay_and_keep_the_depth_of_the_others() -> None:
    """build_optimizer: trainable parameters only."""
    model = toy()
    for layer in (model.embeddings, model.layers[1]):
        layer.requires_grad_(False)
    optimizer = build_optimizer(model, replace(CONFIG, layer_decay=0.5))
    found = rates(optimizer)
    assert found["layers.0.query.weight"][0] == CONFIG.learning_rate / 4
    assert not any(name.startswith(("embeddings", "layers.1")) for name in found)
    before = weights(model)
    train(model, optimizer, range(3))
    changed = {n for n, value in weights(model).items() if not torch.equal(value, before[n])}
    assert changed == set(found)
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        build_optimizer(model, CONFIG)


def test_a_missing_gradient_counts_as_zero_and_an_unused_parameter_is_left_alone() -> None:
    """Module docstring, Deviation."""
    models = toy(), toy()
    for model, missing in zip(models, (None, 0.0), strict=True):
        optimizer = build_optimizer(model, CONFIG)
        for t in range(4):
            draw_gradients(model, t)
            bias = model.decoder.bias
            if t != 1:
                bias.grad = None if missing is None else torch.full_like(bias, missing)
            model.layers[0].zero_grad()
            optimizer.step()
    one, other = map(weights, models)
    start = weights(toy())
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["decoder.bias"], start["decoder.bias"])
    assert all(torch.equal(one[name], start[name]) for name in one if name.startswith("layers.0"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_has_the_same_bits(name: str) -> None:
    """design: a run stopped and resumed ends with the same weights, bit for bit."""
    config = replace(CONFIG, name=name, clip_norm=1.0)
    unbroken, broken = toy(), toy()
    train(unbroken, build_optimizer(unbroken, config), range(STEPS))
    first = build_optimizer(broken, config)
    train(broken, first, range(7))
    saved = {key: value.clone() for key, value in first.state_tensors().items()}
    resumed = toy(seed=1)
    resumed.load_state_dict(broken.state_dict())
    second = build_optimizer(resumed, config)
    second.load_state_tensors(saved)
    assert second.steps == 7
    train(resumed, second, range(7, STEPS))
    expected = weights(unbroken)
    assert all(torch.equal(value, expected[key]) for key, value in weights(resumed).items())
    assert second.state_tensors().keys() == saved.keys()
    assert all(torch.equal(value, first.state_tensors()[key]) for key, value in saved.items())


def test_a_state_of_another_model_is_refused_and_changes_nothing() -> None:
    """load_state_tensors, Raises."""
    model = toy()
    optimizer = build_optimizer(model, CONFIG)
    train(model, optimizer, range(2))
    state = optimizer.state_tensors()
    name = "exp_avg_sq.decoder.bias"
    wrong: list[dict[str, Tensor]] = [
        {key: value for key, value in state.items() if key != name},
        {key: value for key, value in state.items() if key != "step"},
        state | {"exp_avg.pooler": torch.zeros(1), "exp_avg_sq.pooler": torch.zeros(1)},
        state | {name: torch.zeros(10)},
    ]
    for tensors in wrong:
        with pytest.raises(CheckpointError, match="the optimizer's state"):
            optimizer.load_state_tensors(tensors)
    assert optimizer.state_tensors().keys() == state.keys()
    assert optimizer.steps == 2


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def large_parameters() -> list[nn.Parameter]:
    """Sizes at which PyTorch divides the work, and odd ones."""
    generator = torch.Generator().manual_seed(0)
    parameters = []
    for shape in [(30_522, 256), (40_001,), (333, 1001), (3,), ()]:
        parameters.append(nn.Parameter(torch.randn(shape, generator=generator)))
        parameters[-1].grad = torch.randn(shape, generator=generator)
    return parameters


def test_norm_and_update_have_the_same_bits_for_any_number_of_threads() -> None:
    """clip_gradients: an order of summation that no thread count changes."""
    results = []
    for number in (1, 2, 3):
        with threads(number):
            parameters = large_parameters()
            model = nn.ParameterList(parameters)
            optimizer = build_optimizer(model, replace(CONFIG, clip_norm=1.0))
            norm = optimizer.clip()
            optimizer.step()
            results.append([norm, *(p.detach() for p in parameters)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_clipping_is_the_papers() -> None:
    """tf.clip_by_global_norm: gradient * limit / max(norm, limit); tied parameters once."""
    parameters = large_parameters()
    before = [p.grad.double() for p in parameters if p.grad is not None]
    expected = torch.stack([g.square().sum() for g in before]).sum().sqrt()
    assert clip_gradients(parameters, None).double() == pytest.approx(expected.item(), rel=1e-6)
    clip_gradients(parameters, 1e6)
    assert all(p.grad is not None for p in parameters)
    for p, g in zip(parameters, before, strict=True):
        assert p.grad is not None
        assert torch.equal(p.grad.double(), g)
    norm = clip_gradients([*parameters, parameters[0]], 0.5)
    assert norm.double() == pytest.approx(expected.item(), rel=1e-6)
    for p, g in zip(parameters, before, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad.double(), g * 0.5 / expected, rtol=1e-6, atol=1e-9)
    assert clip_gradients(parameters, 0.5).item() == pytest.approx(0.5, rel=1e-5)


def test_the_norm_does_not_depend_on_the_memory_order() -> None:
    """A transposed weight, as imports may leave it, has the norm of its contiguous copy."""
    parameter = nn.Parameter(torch.empty(501, 77).T)
    parameter.grad = torch.randn(77, 501)
    one = clip_gradients([parameter], None)
    parameter.grad = parameter.grad.T.contiguous().T
    assert torch.equal(one, clip_gradients([parameter], None))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(value: float) -> None:
    """clip_gradients: look at the norm before the update."""
    parameter = nn.Parameter(torch.zeros(2000))
    parameter.grad = torch.zeros(2000)
    parameter.grad[1500] = value
    assert not clip_gradients([parameter], 1.0).isfinite()


def test_no_gradient_at_all_has_norm_zero() -> None:
    """clip_gradients: parameters without a gradient are passed over."""
    assert clip_gradients([nn.Parameter(torch.zeros(2))], 1.0) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "sgd"},
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"betas": (0.9, 1.0)},
        {"betas": (0.9,)},
        {"eps": 0.0},
        {"weight_decay": -0.1},
        {"clip_norm": 0.0},
        {"head_learning_rate": -1.0},
        {"layer_decay": 0.0},
        {"layer_decay": 1.1},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    """OptimizerConfig: the value, the rule and the remedy."""
    name = next(iter(wrong)).replace("name", "optimizer")
    with pytest.raises(ConfigError, match=rf"^training\.{name}=.* must be "):
        replace(CONFIG, **wrong)
