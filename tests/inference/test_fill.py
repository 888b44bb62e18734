"""Fill-in and pseudo-log-likelihood: equal to transformers, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from foretext.core.batch import Batch
from foretext.core.errors import ConfigError, DataError
from foretext.inference import fill, pseudo_log_likelihood, pseudo_perplexity
from foretext.models import bert
from tests.inference.tiny import bert_model, gpt_model, tokenizer, twin

TEXTS = ["the man [MASK] to the store", "[MASK] are birds", "he [MASK] a [MASK] of milk ."]
WORDS = tokenizer("wordpiece", 90)
MASK = WORDS.special.mask


def framed(text: str) -> list[int]:
    special = WORDS.special
    assert special.cls is not None
    assert special.sep is not None
    return [special.cls, *WORDS.encode(text), special.sep]


def test_fill_equals_transformers_top_five() -> None:
    """BertForMaskedLM with the same weights; softmax over the whole vocabulary."""
    model = bert_model()
    theirs = twin(model, bert.FAMILY, "BertForMaskedLM")
    for text, masks in zip(TEXTS, fill(model, WORDS, TEXTS), strict=True):
        ids = framed(text)
        with torch.no_grad():
            scores = theirs(input_ids=torch.tensor([ids])).logits[0].softmax(-1)
        places = [place for place, token in enumerate(ids) if token == MASK]
        assert len(masks) == len(places)
        for candidates, place in zip(masks, places, strict=True):
            want = scores[place].topk(5)
            assert [c.token for c in candidates] == want.indices.tolist()
            assert [c.score for c in candidates] == pytest.approx(want.values.tolist(), abs=1e-5)


def test_a_candidate_is_shown_in_its_text() -> None:
    """The fields of Hugging Face's pipeline: with several masks the special tokens are shown."""
    (one,), (first, second) = fill(bert_model(), WORDS, TEXTS[1:], targets=["store"])
    assert (one[0].token_str, one[0].sequence) == ("store", "store are birds")
    assert first[0].sequence == "[CLS] he store a [MASK] of milk. [SEP]"
    assert second[0].sequence == "[CLS] he [MASK] a store of milk. [SEP]"


def test_targets_limit_the_choice_and_keep_their_probability() -> None:
    """Scores stay those of the whole vocabulary; a word in capitals is found by the tokenizer."""
    everything = fill(bert_model(), WORDS, TEXTS[:1], top_k=WORDS.vocab_size)[0][0]
    assert sum(c.score for c in everything) == pytest.approx(1, abs=1e-5)
    scores = {c.token_str: c.score for c in everything}
    (found,) = fill(bert_model(), WORDS, TEXTS[:1], targets=["the", "Store", "the"])[0]
    assert {c.token_str: c.score for c in found} == {w: scores[w] for w in ("the", "store")}
    assert found[0].score > found[1].score


def test_filling_many_texts_equals_filling_each() -> None:
    """Ragged batches change no result."""
    together = fill(bert_model(), WORDS, TEXTS)
    for text, masks in zip(TEXTS, together, strict=True):
        (alone,) = fill(bert_model(), WORDS, [text])
        for one, other in zip(alone, masks, strict=True):
            assert [(c.token, c.sequence) for c in one] == [(c.token, c.sequence) for c in other]
            assert [c.score for c in one] == pytest.approx([c.score for c in other], abs=1e-6)


def test_texts_that_cannot_be_filled_are_named() -> None:
    """Errors give the value, the rule and the remedy."""
    model = bert_model()
    with pytest.raises(DataError, match=r"text 2 has no \[MASK\]; write it"):
        fill(model, WORDS, [TEXTS[0], "the man"])
    with pytest.raises(DataError, match=r"text 1 has 34 tokens, 2 of them special, but .* 24"):
        fill(model, WORDS, ["[MASK] " * 32])
    with pytest.raises(DataError, match="target 'zebras' is not one token"):
        fill(model, WORDS, TEXTS, targets=["zebras"])
    with pytest.raises(ConfigError, match="top_k=0"):
        fill(model, WORDS, TEXTS, top_k=0)
    with pytest.raises(ConfigError, match="no mask token"):
        fill(gpt_model(), tokenizer(), TEXTS)
    with pytest.raises(ConfigError, match="no mask token"):
        pseudo_log_likelihood(gpt_model(), tokenizer(), TEXTS)


def test_pseudo_log_likelihood_masks_one_token_at_a_time() -> None:
    """Salazar et al. 2020, equation 1: sum over t of log P(w_t | all other words)."""
    model = bert_model()
    texts = ["the man went home", "", "birds"]
    results = pseudo_log_likelihood(model, WORDS, texts)
    assert MASK is not None
    for text, result in zip(texts, results, strict=True):
        ids = framed(text)
        assert list(result.ids) == ids[1:-1]
        want = []
        for place in range(1, len(ids) - 1):
            hidden_one = [*ids[:place], MASK, *ids[place + 1 :]]
            with torch.no_grad():
                scores = model.logits(model(Batch.of([hidden_one]))[place]).log_softmax(-1)
            want.append(float(scores[ids[place]]))
        assert list(result.logprobs) == pytest.approx(want, abs=1e-5)
        assert result.total == pytest.approx(sum(want), abs=1e-4)
    values = [v for r in results for v in r.logprobs]
    assert pseudo_perplexity(results) == pytest.approx(math.exp(-sum(values) / len(values)))


def test_the_pseudo_perplexity_of_no_token_is_an_error() -> None:
    """pseudo_perplexity, Raises."""
    with pytest.raises(DataError, match="no token to score"):
        pseudo_perplexity(pseudo_log_likelihood(bert_model(), WORDS, [""]))
