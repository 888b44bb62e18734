"""Causal LM: every token a target once, no document sees another."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from foretext.objectives.causal_lm import CausalLM, CausalLMConfig
from tests.objectives.corpora import EOT, ListCorpus, all_rows, picked, vocabulary

documents = st.lists(
    st.lists(st.lists(st.integers(10, 99), min_size=1, max_size=9), min_size=1, max_size=4),
    min_size=2,
    max_size=5,
)


@settings(max_examples=60)
@given(documents, st.integers(2, 12), st.booleans())
def test_every_token_is_predicted_once_from_its_own_document(
    texts: list[list[list[int]]], length: int, framed: bool
) -> None:
    """With an end-of-text token a document is framed by it; without, its first token is given."""
    corpus = ListCorpus(texts)
    objective = CausalLM(
        config=CausalLMConfig(), vocabulary=vocabulary(eot=framed), max_length=length
    )
    rows = all_rows(objective.plan(corpus, 0))
    flat = [[t for s in text for t in s] for text in texts]
    streams = [[EOT, *text, EOT] if framed else text for text in flat]
    expected = [token for stream in streams for token in stream[1:]]
    if not expected:
        assert not len(rows)
        return
    batch = objective.collate(corpus, picked(rows))
    assert batch.labels.tolist() == expected
    assert batch.input_ids.tolist() == [token for stream in streams for token in stream[:-1]]
    assert batch.offsets.diff().tolist() == rows[:, 0].tolist()
    assert max(rows[:, 0]) <= length
    assert batch.special_mask.tolist() == [t == EOT for t in batch.input_ids.tolist()]
