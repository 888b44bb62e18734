"""foretext.inference.scoring: likelihoods of every way of reading, against transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foretext.core.errors import DataError
from foretext.inference.scoring import Scorer
from foretext.models import bert, gpt
from tests.inference.tiny import bert_model, gpt_model, tokenizer

PAIRS = [
    ("the man", " went to the store"),
    ("", "penguins are flightless birds"),
    ("he went to the store and", " bought milk"),
    ("the store", "s"),
]


def test_a_gpt_scores_as_transformers_does() -> None:
    """Token by token to 1e-4, in one batch of all lengths."""
    tok, model = tokenizer(), gpt_model()
    their = _gpt_twin(model)
    for (context, text), found in zip(
        PAIRS, Scorer(model, tok, limit=40).score(PAIRS), strict=True
    ):
        before, whole = tok.encode(context), tok.encode(context + text)
        shared = 0
        while shared < len(before) and whole[shared] == before[shared]:
            shared += 1
        ids = [tok.special.bos or 0, *whole]
        logits = their(torch.tensor([ids])).logits[0].log_softmax(-1).detach()
        expected = [float(logits[i, ids[i + 1]]) for i in range(shared, len(ids) - 1)]
        assert found.nats == pytest.approx(expected, abs=1e-4)
        assert len(found.tokens) == len(found.nats)


def _gpt_twin(model: gpt.Gpt) -> Any:
    transformers = pytest.importorskip("transformers")
    raw = gpt.to_hf(model.config, "GPT2LMHeadModel")
    their = transformers.GPT2LMHeadModel(transformers.GPT2Config(**raw)).eval()
    state = gpt.weight_map(model.config).to_theirs(dict(model.named_parameters()))
    their.load_state_dict(state, strict=False)
    their.tie_weights()
    return their


def test_an_encoder_masks_one_token_at_a_time() -> None:
    """Salazar et al. 2020, equation 1: the sum over tokens, [CLS] and [SEP] left out."""
    transformers = pytest.importorskip("transformers")
    tok, model = tokenizer("wordpiece", 90), bert_model()
    raw = bert.to_hf(model.config, "BertForMaskedLM")
    their = transformers.BertForMaskedLM(transformers.BertConfig(**raw)).eval()
    stored = bert.ARCHITECTURES["BertForMaskedLM"]
    named = {n: p for n, p in model.named_parameters() if stored.stores(n)}
    state = bert.weight_map(model.config).to_theirs(named)
    their.load_state_dict(state, strict=False)
    their.tie_weights()
    (found,) = Scorer(model, tok, limit=24).score([("the man", " went to the store")])
    special = tok.special
    ids = [special.cls, *tok.encode("the man went to the store"), special.sep]
    begin = 1 + len(tok.encode("the man"))
    expected = []
    for place in range(begin, len(ids) - 1):
        seen = [*ids]
        seen[place] = special.mask
        logits = their(torch.tensor([seen])).logits[0, place].log_softmax(-1).detach()
        expected.append(float(logits[ids[place]]))
    assert found.nats == pytest.approx(expected, abs=1e-4)


def test_the_rest_of_a_word_may_be_masked_too() -> None:
    """Kauf & Ivanova 2023: a piece is not given away by the pieces after it."""
    tok, model = tokenizer("wordpiece", 90), bert_model()
    text = "flightless penguins"
    assert len(tok.encode(text)) > 2, "a word of several pieces"
    (plain,) = Scorer(model, tok, limit=24).score([("", text)])
    (whole,) = Scorer(model, tok, limit=24, whole_words=True).score([("", text)])
    assert plain.nats != whole.nats
    assert plain.nats[-1] == pytest.approx(whole.nats[-1]), "the last piece has none after it"


def test_a_batch_equals_one_at_a_time() -> None:
    for model, tok, limit in (
        (gpt_model(), tokenizer(), 40),
        (bert_model(), tokenizer("wordpiece", 90), 24),
    ):
        scorer = Scorer(model, tok, limit=limit)
        together = scorer.score(PAIRS)
        alone = [scorer.score([pair])[0] for pair in PAIRS]
        for one, other in zip(together, alone, strict=True):
            assert one.nats == pytest.approx(other.nats, abs=1e-4)


def test_bits_per_byte_do_not_depend_on_tokens() -> None:
    (found,) = Scorer(gpt_model(), tokenizer(), limit=40).score([("", "the café")])
    assert found.bits_per_byte == pytest.approx(-found.total / 0.6931471805599453 / 9)
    assert found.per_character == pytest.approx(found.total / 8)


@pytest.mark.parametrize(
    ("text", "message"), [("", "has no token"), ("the " * 60, "the model reads 40")]
)
def test_what_cannot_be_scored_is_said(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Scorer(gpt_model(), tokenizer(), limit=40).score([("a", text)])
