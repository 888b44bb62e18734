"""Counts of pairs and the vectors they give, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from foretext.core import rng
from foretext.shards import cooccurrence
from foretext.shards.cooccurrence import Cooccurrences, count, vectors
from foretext.shards.prepare import prepare
from foretext.shards.store import DocumentView, Shards, split
from tests.shards.toy import ToyTokenizer, write_jsonl

VOCAB = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """40 documents of 1 to 30 of 11 letters, rare ones among them; id 0 never occurs."""
    folder = tmp_path_factory.mktemp("pairs")
    texts = []
    for document in range(40):
        draws = rng.uniform(1, document, np.arange(1 + document * 7 % 30))
        texts.append("".join(chr(1 + int(11 * draw**2)) for draw in draws))
    path = write_jsonl(folder / "text.jsonl", texts)
    return prepare([path], tokenizer=ToyTokenizer(VOCAB), out=folder / "shards", workers=0)


def pairs_of(documents: Shards | DocumentView) -> NDArray[np.float64]:
    """Each pair within five tokens of one document, over its distance; both ways."""
    found = np.zeros((VOCAB, VOCAB))
    for number in range(documents.num_documents):
        ids = documents.document(number).tolist()
        for i, token in enumerate(ids):
            for j, other in enumerate(ids):
                if 0 < abs(i - j) <= 5:
                    found[token, other] += 1 / abs(i - j)
    return found


@pytest.mark.parametrize("chunk", [1 << 19, 7])
def test_pairs_count_their_distance_within_documents(
    corpus: Shards, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever pieces the text is read in."""
    monkeypatch.setattr(cooccurrence, "_CHUNK", chunk)
    for documents in (corpus, split(corpus, 0.3, 1)[0]):
        found = count(documents, VOCAB)
        np.testing.assert_array_equal(found.contexts, np.arange(VOCAB))
        np.testing.assert_allclose(found.counts / 60, pairs_of(documents), rtol=1e-12)
        whole = np.bincount(all_ids(documents), minlength=VOCAB)
        np.testing.assert_array_equal(found.frequencies, whole)


def information(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levy, Goldberg & Dagan 2015, sections 2.2 and 3.2: positive PMI, smoothed contexts."""
    context = counts.sum(0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(counts / counts.sum(1, keepdims=True) / (context / context.sum()))
    return np.where(counts > 0, np.maximum(pmi, 0), 0)


@pytest.mark.parametrize("size", [3, 8])
def test_vectors_are_those_of_the_singular_value_decomposition(corpus: Shards, size: int) -> None:
    """U sqrt(S), up to signs, which the products of vectors do not show."""
    left, values, _ = np.linalg.svd(information(pairs_of(corpus)))
    wanted = left[:, :size] * np.sqrt(values[:size])
    found, seen = vectors(count(corpus, VOCAB), size, generator=generator())
    assert seen.tolist() == (pairs_of(corpus).sum(1) > 0).tolist()
    wanted = wanted / np.sqrt(np.square(wanted[seen]).mean())
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=2e-4)
    assert found.shape == (VOCAB, size)


def test_few_random_directions_find_nearly_the_largest_values(
    corpus: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halko et al. 2011, section 4.5: iterations make up for a small sample."""
    monkeypatch.setattr(cooccurrence, "_OVERSAMPLED", 1)
    matrix = information(pairs_of(corpus))
    _, values = cooccurrence._svd(
        torch.tensor(matrix, dtype=torch.float32), 3, generator(), lambda *_: None
    )
    best = np.linalg.svd(matrix, compute_uv=False)[:3]
    np.testing.assert_allclose(values, best, rtol=0.02)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_directions_the_text_does_not_have_are_zero(corpus: Shards) -> None:
    found, seen = vectors(count(corpus, VOCAB), 20, generator=generator())
    assert np.linalg.matrix_rank(found) == found.any(0).sum() < VOCAB
    assert not found[~seen].any()


def test_threads_change_no_bit(corpus: Shards) -> None:
    made = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            made.append(vectors(count(corpus, VOCAB), 8, generator=generator())[0].tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1]


def test_memory_has_a_bound_that_keeps_the_commonest_contexts(corpus: Shards) -> None:
    whole, found = count(corpus, VOCAB), count(corpus, VOCAB, cells=VOCAB * 4 + 3)
    assert found.counts.shape == (VOCAB, 4)
    commonest = np.argsort(-np.bincount(all_ids(corpus), minlength=VOCAB), kind="stable")[:4]
    assert sorted(found.contexts.tolist()) == sorted(commonest.tolist())
    np.testing.assert_array_equal(found.counts, whole.counts[:, found.contexts])


def all_ids(corpus: Shards | DocumentView) -> NDArray[np.int64]:
    return np.concatenate([corpus.document(i) for i in range(corpus.num_documents)]).astype(int)


def test_of_a_long_corpus_a_part_is_counted(corpus: Shards) -> None:
    told: list[tuple[int, int]] = []
    found = count(
        corpus, VOCAB, most_tokens=50, progress=lambda done, total: told.append((done, total))
    )
    assert found.tokens == 50 and told[-1] == (50, 50)
    assert 0 < found.counts.sum() < 50 * 274
    other = count(corpus, VOCAB, seed=1, most_tokens=50)
    assert (found.counts != other.counts).any()


def test_counts_cannot_overflow() -> None:
    """Not even where a corpus is one token again and again."""
    ids = np.zeros(1_000, np.int64)
    most = np.zeros((1, 1), np.uint32)
    cooccurrence._add_pairs(most, np.zeros(1, np.int64), ids, ids, 0)
    assert most[0, 0] <= 274 * len(ids)
    assert 274 * cooccurrence.MOST_TOKENS < 2**32


def test_text_without_pairs_gives_no_vectors() -> None:
    nothing = Cooccurrences(
        counts=np.zeros((4, 4), np.uint32),
        contexts=np.arange(4, dtype=np.int64),
        frequencies=np.ones(4, np.int64),
        tokens=4,
    )
    found, seen = vectors(nothing, 3, generator=generator())
    assert not found.any() and not seen.any()
