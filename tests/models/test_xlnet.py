"""XLNet: counts, both streams and the memory against transformers, folders, and no leak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from foretext.core.batch import Batch
from foretext.models.folder import load_model, save_model
from foretext.models.xlnet import FAMILY, PRESETS, Xlnet, XlnetConfig
from tests.models.both_ways import on_meta, ragged_equals_alone, randomised

transformers = pytest.importorskip("transformers")

# Every axis of another size, so that a swapped one fails.
CONFIG = XlnetConfig(
    vocab_size=37, hidden_size=12, num_layers=3, num_heads=4, head_size=5, intermediate_size=29,
    memory_length=6,
)  # fmt: skip
COUNTS = {"xlnet-base": 116_718_336, "xlnet-large": 360_268_800}


def theirs_of(model: Xlnet, name: str = "XLNetLMHeadModel") -> Any:
    raw = FAMILY.hub.to_hf(model.config, name)
    kept = {k: v for k, v in raw.items() if k not in ("architectures", "model_type")}
    # Their d_head must divide the size; its own value is set from the weights' shapes.
    their = getattr(transformers, name)(transformers.XLNetConfig(**kept)).eval()
    stored = FAMILY.hub.architectures[name]
    named = {n: p for n, p in model.named_parameters() if stored.stores(n)}
    their.load_state_dict(FAMILY.hub.weight_map(model.config).to_theirs(named), strict=False)
    return their


SQUARE = XlnetConfig(
    vocab_size=37, hidden_size=20, num_layers=3, num_heads=4, head_size=5, intermediate_size=29,
    memory_length=6,
)  # fmt: skip


@pytest.mark.parametrize("preset", COUNTS)
def test_counts(preset: str) -> None:
    """papers/xlnet.md a: XLNetModel."""
    model: Any = on_meta("xlnet", preset)
    heads = ("pooler", "lm_bias")
    found = sum(p.numel() for n, p in model.named_parameters() if n.split(".")[0] not in heads)
    assert found == COUNTS[preset]


def test_ragged_equals_one_at_a_time() -> None:
    ragged_equals_alone(randomised(Xlnet(CONFIG)))


def batch_of(ids: list[list[int]], types: list[list[int]]) -> Batch:
    return Batch.of(ids, types)


def test_the_content_stream_is_theirs() -> None:
    """papers/xlnet.md a: post-norm, relative positions and segments; logits to 1e-4."""
    model = randomised(Xlnet(SQUARE))
    ids, types = list(range(1, 10)), [0] * 4 + [1] * 4 + [2]
    their = theirs_of(model)(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
    found = model.logits(model(batch_of([ids], [types])))
    torch.testing.assert_close(found, their.logits[0], rtol=0, atol=1e-4)


def order_of(length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ranks, targets, and their perm_mask [query, key], 1 = hidden."""
    ranks = torch.tensor([-1, 3, -1, 1, 5, -1, 2, -1, 4])[:length]
    targets = torch.tensor([1, 3, 6])
    hidden = ranks[None] > ranks[:, None]
    for target in targets.tolist():
        hidden[target, target] = True
    return ranks, targets, hidden.float()


@pytest.mark.parametrize("remembered", [False, True])
def test_the_query_stream_and_the_memory_are_theirs(remembered: bool) -> None:
    """Section 2.3 and 2.4: the second of two batches sees the first's states, to 1e-4."""
    model = randomised(Xlnet(SQUARE))
    their = theirs_of(model)
    ids, types = torch.arange(1, 10), torch.tensor([0] * 4 + [1] * 4 + [2])
    ranks, targets, hidden = order_of(9)
    slots: dict[str, Any] = {"slots": (5,), "backwards": torch.tensor([False]), "kept": 4}
    mems = None
    if remembered:
        before = torch.arange(11, 20)
        first = Batch.of([before.tolist()], [types.tolist()])
        model.in_order(first, ranks, targets, continues=(False,), **slots)
        their.transformer.mem_len, their.transformer.reuse_len = 6, 4
        mapping = torch.nn.functional.one_hot(targets, 9).float()
        mems = their(
            before[None], token_type_ids=types[None], perm_mask=hidden[None],
            target_mapping=mapping[None], use_mems=True,
        ).mems  # fmt: skip
    batch = Batch.of([ids.tolist()], [types.tolist()])
    states = model.in_order(batch, ranks, targets, continues=(remembered,), **slots)
    mapping = torch.nn.functional.one_hot(targets, 9).float()
    expected = their(
        ids[None], token_type_ids=types[None], perm_mask=hidden[None],
        target_mapping=mapping[None], mems=mems, use_mems=True,
    ).logits[0]  # fmt: skip
    torch.testing.assert_close(model.logits(states), expected, rtol=0, atol=1e-4)


def test_no_target_sees_itself_or_what_comes_later() -> None:
    """By perturbing inputs: a target's state changes with tokens of a lower rank alone."""
    model = randomised(Xlnet(CONFIG))
    ranks, targets, _ = order_of(9)
    known: dict[str, Any] = {
        "slots": (0,), "continues": (False,), "backwards": torch.tensor([False]), "kept": 4,
    }  # fmt: skip
    ids, types = list(range(1, 10)), [0] * 9
    with torch.no_grad():
        states = model.in_order(Batch.of([ids], [types]), ranks, targets, **known)
        for place in range(9):
            other = [*ids]
            other[place] = 30
            found = model.in_order(Batch.of([other], [types]), ranks, targets, **known)
            moved = (found - states).abs().amax(1) > 1e-6
            assert moved.tolist() == [bool(ranks[place] < ranks[t]) for t in targets]


def test_backward_text_has_the_distances_of_the_text() -> None:
    """A text read backwards, told so, has the states of the text, turned round."""
    model = randomised(Xlnet(CONFIG))
    ids, types, size = list(range(1, 8)), [0] * 7, 7
    ranks, targets = torch.zeros(size).long(), torch.arange(size)
    ranks = torch.arange(size)
    known: dict[str, Any] = {"slots": (0,), "continues": (False,), "kept": 3}
    with torch.no_grad():
        forward = model.in_order(
            Batch.of([ids], [types]), ranks, targets, backwards=torch.tensor([False]), **known
        )
        turned = model.in_order(
            Batch.of([ids[::-1]], [types]), ranks.flip(0), targets,
            backwards=torch.tensor([True]), **known,
        )  # fmt: skip
    torch.testing.assert_close(turned.flip(0), forward, rtol=1e-4, atol=1e-5)


def test_the_memory_is_the_newest_inputs_of_the_part_that_is_reused() -> None:
    """papers/xlnet.md i: inputs of layers; a stream moves on by what is reused."""
    model = randomised(Xlnet(CONFIG))
    ranks, targets, _ = order_of(9)
    for turn, go_on in enumerate((False, True, True)):
        ids = list(range(1 + turn, 10 + turn))
        model.in_order(
            Batch.of([ids], [[0] * 9]), ranks, targets, backwards=torch.tensor([False]),
            slots=(3,), continues=(go_on,), kept=4,
        )  # fmt: skip
    state = model.carried_state()
    assert {name: list(t.shape) for name, t in state.items()} == {"3": [3, 6, 12]}
    newest = model.embeddings.token.weight[[3, 4, 5, 6]]
    torch.testing.assert_close(state["3"][0][2:], newest)
    model.load_carried_state({})
    assert not model.memory


@pytest.mark.parametrize("name", ["XLNetLMHeadModel", "XLNetModel"])
def test_folders_open_both_ways(name: str, tmp_path: Path) -> None:
    model = randomised(Xlnet(SQUARE))
    save_model(model, tmp_path / "ours", architecture=name)
    their, info = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, local_files_only=True
    )
    assert not any(info.values()), info
    their.save_pretrained(tmp_path / "theirs")
    again = load_model(tmp_path / "theirs").model
    ids, types = list(range(1, 10)), [0] * 9
    with torch.no_grad():
        expected = model(batch_of([ids], [types]))
        torch.testing.assert_close(again.eval()(batch_of([ids], [types])), expected)
        if name == "XLNetModel":
            found = their.eval()(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
            torch.testing.assert_close(found.last_hidden_state[0], expected, rtol=0, atol=1e-4)


def test_small_presets_remember_what_they_read() -> None:
    assert PRESETS["xlnet-tiny"].memory_length == 64
    assert PRESETS["xlnet-base"].memory_length == 384
