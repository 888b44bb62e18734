"""A corpus in memory, with the read side of data.shards.Shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from foretext.core import rng
from foretext.objectives.base import Ints, Rows, SampleBatch, Vocabulary

CLS, SEP, MASK, EOT = 2, 3, 4, 5
FIRST_WORD = 10
VOCAB = 1_000


class ListCorpus:
    """Documents given as lists of sentences of token ids."""

    def __init__(self, documents: list[list[list[int]]]) -> None:
        self.documents = documents
        self.num_documents = len(documents)
        self.num_tokens = sum(len(s) for d in documents for s in d)

    def tokens(self, document: int, start: int, stop: int) -> Ints:
        flat = [token for sentence in self.documents[document] for token in sentence]
        return np.array(flat[start:stop], np.int64)

    def sentence_offsets(self, document: int) -> Ints:
        return np.cumsum([0, *(len(s) for s in self.documents[document])])

    def sentence_lengths(self) -> Iterator[tuple[int, Ints, Ints]]:
        middle = self.num_documents // 2
        for first, part in ((0, self.documents[:middle]), (middle, self.documents[middle:])):
            starts = np.cumsum([0, *(len(d) for d in part)])
            yield first, starts, np.array([len(s) for d in part for s in d], np.int64)


def random_corpus(documents: int, seed: int = 0, *, sentences: int = 20) -> ListCorpus:
    """Documents of 1 to `sentences` sentences of 1 to 40 tokens; every token id is ordinary."""
    made = []
    for document in range(documents):
        count = 1 + int(rng.integers(sentences, seed, document, 0))
        lengths = 1 + rng.integers(40, seed, document, 1, np.arange(count))
        made.append(
            [
                (
                    FIRST_WORD + rng.integers(VOCAB - FIRST_WORD, seed, document, n, np.arange(k))
                ).tolist()
                for n, k in enumerate(lengths.tolist())
            ]
        )
    return ListCorpus(made)


def vocabulary(*, eot: bool = False) -> Vocabulary:
    """Ids from FIRST_WORD on are ordinary; every third of them continues a word."""
    ids = np.arange(VOCAB)
    return Vocabulary(
        size=VOCAB,
        cls_id=CLS,
        sep_id=SEP,
        mask_id=MASK,
        bos_id=EOT if eot else None,
        eos_id=EOT if eot else None,
        special_ids=(0, 1, CLS, SEP, MASK, EOT),
        starts_word=(ids % 3 != 0) | (ids < FIRST_WORD),
        ends_word=np.zeros(VOCAB, bool),
    )


SENTINELS = tuple(range(VOCAB + 99, VOCAB - 1, -1))  # <extra_id_0>, <extra_id_1>, ...
PAD, EOS = 0, 1


def vocabulary_of_t5() -> Vocabulary:
    """The same ids with T5's roles, and its sentinels behind them."""
    yes = np.ones(100, np.bool_)
    one = vocabulary()
    return replace(
        one,
        size=VOCAB + 100,
        pad_id=PAD,
        eos_id=EOS,
        sentinel_ids=SENTINELS,
        special_ids=(PAD, EOS, 2, *sorted(SENTINELS)),
        starts_word=np.concatenate([one.starts_word, yes]),
        ends_word=np.concatenate([one.ends_word, yes]),
    )


def all_rows(plan: Iterator[Rows]) -> Rows:
    return np.concatenate(list(plan))


def picked(rows: Rows, epoch: int = 0) -> SampleBatch:
    """All samples of a plan."""
    count = len(rows)
    return SampleBatch(rows=rows, epochs=np.full(count, epoch), samples=np.arange(count))
