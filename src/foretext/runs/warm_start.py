"""A model that begins where counts of its text end: model.start = "cooccurrence".

What a masked or causal LM learns first is how common tokens are and which keep company, and on
little text it learns little else. Counting finds both in seconds (shards/cooccurrence.py), so

- the token tables begin as vectors of the text, with the spread of the random ones they replace;
- an output bias over the vocabulary begins as the log of the tokens' frequencies, so that the
  vectors need not be bent to say them;
- where attention's values go out, and in a masked-LM head, weights begin near the identity, so that
  what stands around a gap reaches the vocabulary at once (Trockman & Kolter 2023, "Mimetic
  Initialization of Self-Attention Layers", section 4, who find it in trained models and start
  there).

Ablations are in bench/budget/RESULTS.md. No paper of the families does any of this: papers' presets
keep model.start = "random".
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.nn.attention import SelfAttention
from foretext.nn.heads import MaskedLMHead
from foretext.shards import cooccurrence
from foretext.shards.store import Documents
from foretext.training.progress import Reporter

_TABLES = ("token", "shared")  # names of token tables
_KEPT, _IDENTITY = 0.5, 0.7  # of the random weights, and on the diagonal


def token_tables(model: nn.Module, vocab_size: int) -> list[nn.Embedding]:
    """The tables of tokens among a model's embeddings, shared ones once."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        and name.rpartition(".")[2] in _TABLES
        and module.num_embeddings == vocab_size
    ]


def start_from_counts(
    model: nn.Module, corpus: Documents, vocab_size: int, *, seed: int, reporter: Reporter
) -> None:
    """Complete a model's initial weights by counts of the corpus, in place.

    Tokens without a neighbour in the text, such as [MASK], keep their random vectors, and so do
    columns for which the text has no direction left.

    Args:
        model: with its random weights.
        corpus: what it will train on.
        vocab_size: ids.
        seed: of the run.
        reporter: hears how far it has come.

    Raises:
        ConfigError: the model has no table of tokens.
    """
    stage, tables = reporter.stage, token_tables(model, vocab_size)
    if not tables:
        raise ConfigError(
            "model.start=cooccurrence writes a table of tokens, and this model has none; set "
            "model.start=random"
        )
    found = cooccurrence.count(
        corpus, vocab_size, seed=seed, progress=lambda done, total: stage("count", done, total)
    )
    generator = torch.Generator().manual_seed(rng.key(seed, "cooccurrence") % 2**63)
    vectors, seen = cooccurrence.vectors(
        found,
        max(table.embedding_dim for table in tables),
        generator=generator,
        progress=lambda done, total: stage("vectors", done, total),
    )
    with torch.no_grad():
        for table in tables:
            _write(table.weight, torch.from_numpy(vectors), torch.from_numpy(seen))
        for module in model.modules():
            if isinstance(module, SelfAttention):
                _towards_identity(module.value.weight)
                _towards_identity(module.output.weight)
            elif isinstance(module, MaskedLMHead):
                _towards_identity(module.dense.weight)
                module.bias.copy_(_log_frequencies(found.frequencies))


def _write(table: Tensor, vectors: Tensor, seen: Tensor) -> None:
    """The first columns of the vectors, with the table's root mean square."""
    new = vectors[:, : table.shape[1]]
    known = new.any(0)
    spread = new[seen][:, known].square().mean().sqrt()
    new = (new * (table.std().cpu() / spread)).to(table)
    table.copy_(torch.where((seen[:, None] & known).to(table.device), new, table))


def _towards_identity(weight: Tensor) -> None:
    weight.mul_(_KEPT).diagonal().add_(_IDENTITY)


def _log_frequencies(frequencies: NDArray[np.int64]) -> Tensor:
    """Of each token, around 0; half a token more for each, so that none is impossible."""
    logs = np.log(frequencies + 0.5)
    return torch.from_numpy(logs - logs.mean()).float()
