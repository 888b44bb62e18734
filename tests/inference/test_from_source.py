"""Generation from sources: equal to transformers, batched equal to single, sentinels filled."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

import pytest
import torch

from foretext.core.errors import ConfigError, DataError
from foretext.inference import GenerationConfig, fill_spans, generate
from foretext.inference.fill_spans import spans_of
from foretext.models.t5 import T5
from foretext.models.t5_sizes import T5Config
from foretext.tokenizers import Tokenizer, train
from tests.models.both_ways import randomised
from tests.models.test_t5 import V1_1, theirs
from tests.tokenizers.samples import latin

SOURCES = ["ka romi", "the unsoka ka l", "mi", "unthe so ka romi l so"]


@cache
def tokenizer() -> Tokenizer:
    return train(latin(), kind="unigram", vocab_size=130, style="t5")


@cache
def model(seed: int = 0, version: str = "v1.0") -> T5:
    config = T5Config(
        vocab_size=130,
        hidden_size=24,
        head_size=8,
        num_heads=3,
        intermediate_size=40,
        num_layers=2,
        num_decoder_layers=2,
        relative_buckets=8,
        relative_max_distance=10,
        **(V1_1 if version == "v1.1" else {}),
    )
    made: T5 = randomised(T5(config))
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.6)
    return made


def stripped(ids: list[int]) -> list[int]:
    while ids and ids[-1] == 0:
        ids = ids[:-1]
    return ids


@pytest.mark.parametrize(
    ("ours", "their"),
    [
        ({"temperature": 0.0}, {"num_beams": 1}),
        ({"num_beams": 4, "length_penalty": 0.6}, {"num_beams": 4, "length_penalty": 0.6}),
        (
            {"num_beams": 3, "num_samples": 2, "length_penalty": 1.5},
            {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 1.5},
        ),
    ],
    ids=["greedy", "beams", "two of three beams"],
)
@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_results_equal_transformers(
    version: str, ours: dict[str, Any], their: dict[str, Any]
) -> None:
    """Issue 19: greedy and beam texts equal; their rule of lengths is an option here."""
    for seed in (0, 1):
        mine = model(seed, version)
        other = theirs(mine)
        config = GenerationConfig(max_new_tokens=9, length_rule="length", **ours)
        for source, found in zip(
            SOURCES, generate(mine, tokenizer(), SOURCES, config=config), strict=True
        ):
            ids = torch.tensor([[*tokenizer().encode(source), 1]])
            expected = other.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=9,
                pad_token_id=0,
                eos_token_id=1,
                do_sample=False,
                **their,
            )
            assert [stripped(list(one.ids)) for one in found] == [
                stripped(row[1:]) for row in expected.tolist()
            ]


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"num_beams": 3}, {"num_samples": 2, "top_k": 20}], ids=str
)
def test_batched_equals_single(settings: dict[str, Any]) -> None:
    """A source's result does not depend on what else is in the batch."""
    config = GenerationConfig(max_new_tokens=8, seed=3, **settings)
    together = generate(model(), tokenizer(), SOURCES, config=config)
    for number, source in enumerate(SOURCES):
        (alone,) = generate(model(), tokenizer(), [source], config=config, first_prompt=number)
        for one, other in zip(alone, together[number], strict=True):
            assert one.ids == other.ids
            assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_a_target_is_read_by_its_sentinels() -> None:
    first, second = tokenizer().sentinel_ids[:2]
    assert spans_of(tokenizer(), [first, 5, 6, second, 7, 1, 9]) == {0: [5, 6], 1: [7]}
    assert spans_of(tokenizer(), [5, second, 7, second, 8]) == {1: [7]}


def test_every_sentinel_gets_candidates_whose_shares_add_up() -> None:
    (gaps,) = fill_spans(model(), tokenizer(), ["ka <extra_id_0> mi <extra_id_1> ro"], top_k=20)
    assert len(gaps) == 2
    for candidates in gaps:
        assert sum(one.score for one in candidates) == pytest.approx(1.0)
        assert [one.score for one in candidates] == sorted(
            (one.score for one in candidates), reverse=True
        )
        assert all("extra_id" not in one.sequence for one in candidates)
        assert set(asdict(candidates[0])) == {"score", "token", "token_str", "sequence"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ka mi", r"text 1 has no <extra_id_0>"),
        ("ka <extra_id_1> mi", r"has the sentinels <extra_id_1>; number them from 0"),
        ("<extra_id_0> a <extra_id_0>", r"number them from 0 in the order"),
    ],
)
def test_texts_without_proper_sentinels_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fill_spans(model(), tokenizer(), [text])


def test_a_rule_of_lengths_that_is_unknown_is_refused() -> None:
    with pytest.raises(ConfigError, match="length_rule='words' must be gnmt or length"):
        GenerationConfig(length_rule="words")
