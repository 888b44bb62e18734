"""Beam search: equal to brute force where the beam holds everything, and to transformers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from foretext.core.batch import Batch
from foretext.inference import GenerationConfig, generate
from foretext.inference.decoding import length_penalty
from foretext.models import gpt
from foretext.tokenizers import Tokenizer, train
from tests.inference.tiny import PROMPTS, gpt_model, tokenizer, twin


def small() -> tuple[gpt.Gpt, Tokenizer]:
    """A vocabulary of five: three letters, a space and end of text."""
    own = train(["a b c"], kind="characters", vocab_size=5, style="gpt2")
    assert own.vocab_size == 5
    return gpt_model(5, seed=4), own


def brute_force(
    model: gpt.Gpt, prompt: list[int], *, eos: int, steps: int, alpha: float
) -> list[tuple[float, tuple[int, ...]]]:
    """Every continuation with its score, best first."""
    others = [i for i in range(model.config.vocab_size) if i != eos]
    texts = [
        (*body, *end)
        for size in range(steps + 1)
        for body in product(others, repeat=size)
        for end in ([(eos,)] if size < steps else [()])
    ]
    with torch.no_grad():
        hidden = model(Batch.of([prompt + list(text) for text in texts]))
        scores = model.logits(hidden).double().log_softmax(-1)
    found, start = [], 0
    for text in texts:
        rows = torch.arange(len(text)) + start + len(prompt) - 1
        total = float(scores[rows, torch.tensor(text)].sum())
        found.append((total / length_penalty(len(text), alpha), text))
        start += len(prompt) + len(text)
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.6, 3.0])
@pytest.mark.parametrize("prompt", ["a", "b c"])
def test_a_beam_that_holds_everything_equals_brute_force(prompt: str, alpha: float) -> None:
    """4 letters and 4 steps: 64 beams hold all prefixes; Wu et al. 2016, equation 14."""
    model, own = small()
    eos = own.special.eos
    assert eos is not None
    want = brute_force(model, own.encode(prompt), eos=eos, steps=4, alpha=alpha)[:6]
    config = GenerationConfig(num_beams=64, num_samples=6, max_new_tokens=4, length_penalty=alpha)
    (found,) = generate(model, own, [prompt], config=config)
    assert [g.ids for g in found] == [text for _, text in want]
    for generation, (score, text) in zip(found, want, strict=True):
        own_score = generation.logprob / length_penalty(len(text), alpha)
        assert own_score == pytest.approx(score, abs=1e-4)
        assert generation.finish_reason == ("stop" if text[-1] == eos else "length")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_beams_equal_transformers_without_length_penalty(seed: int, penalty: float) -> None:
    """Their length penalty has another formula, so both are off; the repetition penalty acts on
    log-probabilities in both."""
    model = gpt_model(seed=seed)
    theirs = twin(model, gpt.FAMILY, "GPT2LMHeadModel")
    eos = tokenizer().special.eos
    config = GenerationConfig(
        num_beams=4, num_samples=2, max_new_tokens=8, length_penalty=0.0, repetition_penalty=penalty
    )
    for prompt, found in zip(
        PROMPTS, generate(model, tokenizer(), PROMPTS, config=config), strict=True
    ):
        ids = torch.tensor([tokenizer().encode(prompt)])
        want = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8,
            num_beams=4, num_return_sequences=2, length_penalty=0.0, repetition_penalty=penalty,
            eos_token_id=eos, pad_token_id=eos,
        )[:, ids.shape[1] :].tolist()  # fmt: skip
        for generation, row in zip(found, want, strict=True):
            assert list(generation.ids) == row[: len(generation.ids)]
            assert set(row[len(generation.ids) :]) <= {eos}


@pytest.mark.parametrize("seed", range(3))
def test_beams_that_end_early_equal_transformers(seed: int) -> None:
    """A common token as a stop token, so that results of several lengths compete."""
    model = gpt_model(seed=seed)
    theirs = twin(model, gpt.FAMILY, "GPT2LMHeadModel")
    ids = torch.tensor([tokenizer().encode("the man")])
    free = GenerationConfig(num_beams=3, max_new_tokens=9, length_penalty=0.0)
    stop = generate(model, tokenizer(), ["the man"], config=free)[0][0].ids[4]
    config = replace(free, stop_tokens=(stop,))
    (found,) = generate(model, tokenizer(), ["the man"], config=config)[0]
    assert len(found.ids) < 9
    want = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9, num_beams=3,
        length_penalty=0.0, eos_token_id=[stop, tokenizer().special.eos], pad_token_id=stop,
    )[0, ids.shape[1] :].tolist()  # fmt: skip
    assert list(found.ids) == want[: len(found.ids)]
    assert set(want[len(found.ids) :]) <= {stop}


def test_a_wide_beam_finds_texts_at_least_as_likely_as_greedy() -> None:
    """A wide beam's best log-probability is at least the greedy one's on these prompts."""
    greedy = GenerationConfig(temperature=0, max_new_tokens=6)
    beams = GenerationConfig(num_beams=50, max_new_tokens=6, length_penalty=0.0)
    model = gpt_model()
    pairs = zip(
        generate(model, tokenizer(), PROMPTS, config=greedy),
        generate(model, tokenizer(), PROMPTS, config=beams),
        strict=True,
    )
    assert all(wide[0].logprob >= narrow[0].logprob - 1e-4 for narrow, wide in pairs)


def test_a_stop_text_ends_a_beam() -> None:
    """Its text is cut, and it competes with the others by its score."""
    model, own = small()
    config = GenerationConfig(num_beams=64, num_samples=20, max_new_tokens=4, stop=("bc",))
    (found,) = generate(model, own, ["a"], config=config)
    assert not any("bc" in g.text for g in found)
    ended = [g for g in found if own.decode(g.ids).endswith("bc")]
    assert ended
    assert all(g.finish_reason == "stop" for g in ended)
