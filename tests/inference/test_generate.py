"""Generation: batched equals single, equals transformers; stopping, streaming and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foretext.core.batch import Batch
from foretext.core.errors import CheckpointError, ConfigError, DataError
from foretext.inference import Generation, GenerationConfig, generate, stream
from foretext.inference.text import Continuation
from foretext.models import gpt
from tests.inference.tiny import PROMPTS, bert_model, gpt_model, tokenizer, twin

GREEDY = GenerationConfig(temperature=0, max_new_tokens=20)
SETTINGS = {
    "greedy": GREEDY,
    "sampled": GenerationConfig(max_new_tokens=20, seed=3),
    "filtered": GenerationConfig(
        max_new_tokens=15, seed=1, temperature=1.7, top_k=40, top_p=0.9, repetition_penalty=1.2
    ),
    "many": GenerationConfig(max_new_tokens=8, num_samples=3, top_k=50),
    "beams": GenerationConfig(max_new_tokens=10, num_beams=3, num_samples=2),
    "beams, penalised": GenerationConfig(max_new_tokens=9, num_beams=3, repetition_penalty=1.3),
}


def run(prompts: list[str], config: GenerationConfig, **options: Any) -> list[list[Generation]]:
    return generate(gpt_model(), tokenizer(), prompts, config=config, **options)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("pre_norm", [True, False])
def test_batched_generation_equals_single_token_by_token(name: str, pre_norm: bool) -> None:
    """Design: batched generation equals single generation, without left padding."""
    model, config = gpt_model(pre_norm=pre_norm), SETTINGS[name]
    batched = generate(model, tokenizer(), PROMPTS, config=config)
    for i, prompt in enumerate(PROMPTS):
        (single,) = generate(model, tokenizer(), [prompt], config=config, first_prompt=i)
        assert [g.ids for g in batched[i]] == [g.ids for g in single]
        assert [g.text for g in batched[i]] == [g.text for g in single]
        for one, other in zip(batched[i], single, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


@pytest.mark.parametrize("name", SETTINGS)
def test_results_do_not_depend_on_the_batch_size(name: str) -> None:
    """batch_size bounds the memory and changes no result; sequences that end leave the batch."""
    whole, parts = run(PROMPTS, SETTINGS[name]), run(PROMPTS, SETTINGS[name], batch_size=2)
    assert [[g.ids for g in gs] for gs in whole] == [[g.ids for g in gs] for gs in parts]


@pytest.mark.parametrize("pre_norm", [True, False])
def test_greedy_equals_transformers(pre_norm: bool) -> None:
    """GPT2LMHeadModel.generate and OpenAIGPTLMHeadModel.generate with the same weights."""
    model = gpt_model(pre_norm=pre_norm)
    theirs = twin(model, gpt.FAMILY, "GPT2LMHeadModel" if pre_norm else "OpenAIGPTLMHeadModel")
    ours = generate(model, tokenizer(), PROMPTS, config=GREEDY)
    eos = tokenizer().special.eos
    for prompt, (mine,) in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([tokenizer().encode(prompt)])
        want = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20,
            eos_token_id=eos, pad_token_id=eos,
        )  # fmt: skip
        assert list(mine.ids) == want[0, ids.shape[1] :].tolist()


def test_logprob_is_the_models_own() -> None:
    """Generation.logprob: sum over ids under the model itself, before temperature and filters."""
    (found,) = run(["the man"], SETTINGS["filtered"])[0]
    prompt = tokenizer().encode("the man")
    model = gpt_model()
    with torch.no_grad():
        scores = model.logits(model(Batch.of([prompt + list(found.ids)]))).log_softmax(-1)
    want = sum(float(scores[len(prompt) - 1 + i, t]) for i, t in enumerate(found.ids))
    assert found.logprob == pytest.approx(want, abs=1e-3)


def test_samples_differ_and_repeat_with_their_seed() -> None:
    """Randomness is a function of (seed, prompt, sample, position)."""
    config = GenerationConfig(max_new_tokens=10, num_samples=3)
    first = [g.ids for g in run(["the man"], config)[0]]
    assert len(set(first)) == 3
    assert [g.ids for g in run(["the man"], config)[0]] == first
    other = GenerationConfig(max_new_tokens=10, num_samples=3, seed=1)
    assert [g.ids for g in run(["the man"], other)[0]] != first
    both = run(["the man", "the man"], config)
    assert both[0][0].ids == first[0] != both[1][0].ids


def test_a_stop_text_ends_generation_and_is_cut_off() -> None:
    """Generation.text is without the stop text; ids hold its tokens."""
    (free,) = run(["the man"], GREEDY)[0]
    stop = free.text[3:5]
    config = GenerationConfig(temperature=0, max_new_tokens=20, stop=(stop, "never written"))
    (cut,) = run(["the man"], config)[0]
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.ids == free.ids[: len(cut.ids)]
    assert len(cut.ids) < len(free.ids)


def test_a_stop_token_ends_generation_not_before_the_minimum() -> None:
    """min_new_tokens keeps stop tokens from being drawn; max_new_tokens is finish_reason length."""
    (free,) = run(["the man"], GREEDY)[0]
    assert free.finish_reason == "length"
    token = free.ids[2]
    first = free.ids.index(token)
    config = GenerationConfig(temperature=0, max_new_tokens=20, stop_tokens=(token,))
    (cut,) = run(["the man"], config)[0]
    assert (cut.ids, cut.finish_reason) == (free.ids[: first + 1], "stop")
    config = GenerationConfig(
        temperature=0, max_new_tokens=20, stop_tokens=(token,), min_new_tokens=6
    )
    (late,) = run(["the man"], config)[0]
    assert token not in late.ids[:6]
    config = GenerationConfig(temperature=0, max_new_tokens=20, forbidden=(token,))
    assert token not in run(["the man"], config)[0][0].ids


def test_generation_ends_at_the_last_position() -> None:
    """40 positions: the prompt and all generated tokens but the last are read."""
    prompt = "the man went to"
    config = GenerationConfig(temperature=0, max_new_tokens=1000)
    (found,) = run([prompt], config)[0]
    assert len(tokenizer().encode(prompt)) + len(found.ids) == 41
    assert found.finish_reason == "length"


def test_an_empty_prompt_starts_from_the_begin_of_text_token() -> None:
    """Radford et al. 2019: generation without a prompt starts from <|endoftext|>."""
    (empty,) = run([""], GREEDY)[0]
    bos = tokenizer().special.bos
    assert bos is not None
    (named,) = run([tokenizer().token(bos)], GREEDY)[0]
    assert empty == named
    begun = GenerationConfig(temperature=0, max_new_tokens=20, begin=True)
    (explicit,) = run(["the man"], begun)[0]
    (written,) = run([tokenizer().token(bos) + "the man"], GREEDY)[0]
    assert explicit == written


def test_words_are_joined_to_the_prompt_where_the_tokenizer_drops_spaces() -> None:
    """GPT-1's BPE marks the end of a word, so the space belongs to the prompt's last token."""
    bpe = tokenizer("bpe", 200)
    ids = bpe.encode("the man went to the store")
    continuation = Continuation(bpe, ids[:2], ())
    whole = bpe.decode(ids[:2]) + continuation.text(ids[2:])
    assert whole == bpe.decode(ids)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["byte-bpe", "wordpiece", "characters"])
def test_a_stream_adds_up_to_the_text_and_never_splits_a_character(kind: str, seed: int) -> None:
    """Random bytes are mostly invalid UTF-8; only what is settled is shown."""
    own = tokenizer(kind, {"byte-bpe": 300, "wordpiece": 90, "characters": 60}[kind])
    config = GenerationConfig(max_new_tokens=30, seed=seed, stop=("th", "e e"))
    model = gpt_model(own.vocab_size)
    ((whole,),) = generate(model, own, ["the man"], config=config)
    assert "".join(stream(model, own, "the man", config=config)) == whole.text


def test_a_character_of_several_tokens_is_shown_at_once() -> None:
    """Byte BPE: four tokens may make one character."""
    ids = tokenizer().encode("a🦊b")
    continuation = Continuation(tokenizer(), tokenizer().encode("the"), ())
    shown = [continuation.settled(ids[:n]) for n in range(len(ids) + 1)]
    assert len(ids) > 4
    assert set(shown) == {"", "a", "a🦊", "a🦊b"}


def test_the_begin_of_a_stop_text_is_held_back() -> None:
    """A stream must not show what may turn out to be cut off."""
    ids = tokenizer().encode("xyENDz")
    continuation = Continuation(tokenizer(), [], ("END",))
    shown = [continuation.settled(ids[:n]) for n in range(len(ids) + 1)]
    assert shown == ["", "x", "xy", "xy", "xy", "xy", "xy"]


def test_generating_leaves_the_model_as_it_was() -> None:
    """A model in training stays in training, and dropout is off meanwhile."""
    model = gpt.Gpt(gpt_model().config).train()
    model.layers[0].eval()
    model.initialise(torch.Generator().manual_seed(0))
    one = generate(model, tokenizer(), PROMPTS, config=GREEDY)
    assert one == generate(model, tokenizer(), PROMPTS, config=GREEDY)
    assert model.training
    assert not model.layers[0].training
    assert all(p.requires_grad for p in model.parameters())


def test_inputs_that_cannot_be_used_are_named() -> None:
    """Errors give the value, the rule and the remedy."""
    with pytest.raises(DataError, match=r"prompt 1 has \d+ tokens, but the model has 40 positions"):
        run(["a", "x y z " * 20], GREEDY)
    own = tokenizer("bpe", 200)
    with pytest.raises(ConfigError, match="no begin-of-text token"):
        generate(gpt_model(own.vocab_size), own, [""], config=GREEDY)
    with pytest.raises(ConfigError, match="Bert does not read from left to right"):
        generate(bert_model(), tokenizer(), ["a"], config=GREEDY)
    with pytest.raises(ConfigError, match="forbidden holds id 300"):
        run(["a"], GenerationConfig(forbidden=(300,)))
    with pytest.raises(ConfigError, match="tokens are forbidden"):
        run(["a"], GenerationConfig(forbidden=tuple(range(300))))
    with pytest.raises(ConfigError, match="cannot be streamed"):
        stream(gpt_model(), tokenizer(), "a", config=GenerationConfig(num_beams=2))


def test_broken_weights_are_named() -> None:
    """Scores that are not numbers are an error, not a token."""
    model = gpt.Gpt(gpt_model().config)
    torch.nn.init.constant_(model.embeddings.token.weight, float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        generate(model, tokenizer(), ["a"], config=GREEDY)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")},
        {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"repetition_penalty": 0.0},
        {"num_beams": 0}, {"num_beams": 2, "top_k": 5}, {"num_beams": 2, "temperature": 0.7},
        {"num_beams": 2, "num_samples": 3}, {"temperature": 0, "num_samples": 2}, {"stop": ("",)},
    ],
)  # fmt: skip
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    """A setting is never ignored."""
    with pytest.raises(ConfigError, match=list(settings)[-1].removesuffix("s")):
        GenerationConfig(**settings)
