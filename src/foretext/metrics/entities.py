"""Entity precision, recall and F1 as conlleval counts them, and KLUE-NER's macro F1.

An entity is found when its first token, its last one and its type are right; the counts are summed
over all entities (micro average). The tags are read by conlleval's rules, so an I-X after O or
after another type begins an entity.

Papers: Tjong Kim Sang and De Meulder 2003, section 2 (conlleval); Park et al. 2021, "KLUE", section
4.3: the mean of the types' F1, in which an I-X that cannot follow in IOB2 is no entity (seqeval's
strict mode). Deviation: KLUE's code scores the whole file as one sentence, here each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foretext.metrics.tag_schemes import Span, read_spans, split_tag

_HEAD = 2  # numbers of a record before those of the types: right tokens, tokens


class EntityScores:
    """Records of sentences, and metrics of records.

    Args:
        types: of entities.
        scheme: of gold and predicted tags, iob2 or bioes.
    """

    def __init__(self, types: Sequence[str], scheme: str) -> None:
        self.types = tuple(types)
        self._scheme = scheme
        self._numbers = {kind: i for i, kind in enumerate(types)}

    def record(self, gold: Sequence[str], predicted: Sequence[str]) -> NDArray[np.float64]:
        """Right tokens, tokens, and a type's correct, predicted and gold entities, read as
        conlleval does and again strictly, [2 + 6 * types]."""
        counts = np.zeros((2, len(self.types), 3))
        for way, read in enumerate((read_spans, strict_spans)):
            found, wanted = set(read(predicted, self._scheme)), set(read(gold, self._scheme))
            for column, spans in enumerate((found & wanted, found, wanted)):
                for span in spans:
                    counts[way, self._numbers[span.type], column] += 1
        right = sum(a == b for a, b in zip(gold, predicted, strict=True))
        return np.concatenate([[right, len(gold)], counts.ravel()])

    def measure(self, sums: NDArray[np.float64]) -> dict[str, float]:
        """Metrics in [0, 1] of records' sums [2 + 6 * types].

        precision, recall and f1 are conlleval's; macro_f1 is KLUE's, over the types that occur;
        accuracy is that of the tags.
        """
        counts = sums[_HEAD:].reshape(2, len(self.types), 3)
        scores = _scores(counts[0].sum(0))
        occurring = [row for row in counts[1] if row.any()]
        macro = sum(_scores(row)["f1"] for row in occurring) / max(len(occurring), 1)
        return scores | {"macro_f1": macro, "accuracy": float(sums[0] / max(sums[1], 1))}

    def by_type(self, sums: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        """precision, recall, f1 and gold entities (support) of each type, as conlleval prints."""
        counts = sums[_HEAD:].reshape(2, len(self.types), 3)[0]
        return {
            kind: _scores(row) | {"support": float(row[2])}
            for kind, row in zip(self.types, counts, strict=True)
        }


def strict_spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans of IOB2 tags that begin with B; of other schemes, as read_spans."""
    if scheme != "iob2":
        return read_spans(tags, scheme)
    begins = [(split_tag(tag, scheme) or "O")[0] == "B" for tag in tags]
    return [span for span in read_spans(tags, scheme) if begins[span.start]]


def _scores(counts: NDArray[np.float64]) -> dict[str, float]:
    """Of correct, predicted and gold entities; 0 where there is none."""
    correct, predicted, gold = (float(n) for n in counts)
    return {
        "precision": correct / max(predicted, 1.0),
        "recall": correct / max(gold, 1.0),
        "f1": 2 * correct / max(predicted + gold, 1.0),
    }
