"""Input embeddings: token, learned position and segment vectors, added up.

Paper: Devlin et al. 2019, section 3, figure 2; GPT-1 and GPT-2 have no segments and no norm here.
"""

from __future__ import annotations

from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.nn.dropout import Dropout
from foretext.nn.norm import LayerNorm


class Embeddings(nn.Module):
    """Token + position (+ segment) embeddings, then layer norm (where eps is given) and dropout.

    Args:
        vocab_size: rows of the token table.
        size: of the vectors.
        max_position_embeddings: tokens of the longest sequence.
        type_vocab_size: segments; 0 is none.
        eps: of the layer norm; None is no layer norm.
        dropout: probability.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        *,
        max_position_embeddings: int,
        type_vocab_size: int,
        eps: float | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab_size, size)
        self.position = nn.Embedding(max_position_embeddings, size)
        self.segment = nn.Embedding(type_vocab_size, size) if type_vocab_size else None
        self.norm = LayerNorm(size, eps=eps) if eps is not None else None
        self.dropout = Dropout(dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Vectors [tokens, size] of a batch.

        Raises:
            ValueError: a sequence is longer than max_position_embeddings.
        """
        limit = self.position.num_embeddings
        if batch.layout.longest > limit:
            raise ValueError(
                f"a sequence has {batch.layout.longest} tokens, but the model has {limit} positions"
            )
        hidden = self.token(batch.input_ids) + self.position(batch.position_ids)
        if self.segment is not None:
            hidden = hidden + self.segment(batch.token_type_ids)
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.dropout(hidden)


class TokenEmbeddings(nn.Module):
    """Token embeddings alone, and dropout: where positions are attention's (XLNet).

    Args:
        vocab_size: rows of the token table.
        size: of the vectors.
        dropout: probability.
    """

    def __init__(self, vocab_size: int, size: int, *, dropout: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab_size, size)
        self.dropout = Dropout(dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Vectors [tokens, size] of a batch."""
        return self.dropout(self.token(batch.input_ids))
