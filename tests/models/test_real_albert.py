"""A published ALBERT: rxnmapper's, trained by masked LM on 1.3 million reactions.

Schwaller et al. 2021, https://doi.org/10.1126/sciadv.abe4166. Of the wheel `rxnmapper==0.4.3` only
the model's files are read; nothing of it is imported.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from foretext.core.batch import Batch
from foretext.models.folder import load_model

REACTIONS = [  # a thioether, a deprotection and a triazole, as in its README; textbook ones
    "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F",
    "C1COCCO1.CC(C)(C)OC(=O)CONC(=O)NCc1cccc2ccccc12.Cl>>O=C(O)CONC(=O)NCc1cccc2ccccc12",
    "C=CCN=C=S.CNCc1ccc(C#N)cc1.NNC(=O)c1cn2c(n1)CCCC2>>"
    "C=CCN1C(C2=CN3CCCCC3=N2)=NN=C1N(C)CC1=CC=C(C#N)C=C1",
    "CCN=C=NCCCN(C)C.O=C(O)c1ccccc1.NCc1ccccc1.ClCCl>>O=C(NCc1ccccc1)c1ccccc1",
    "Brc1ccccc1.OB(O)c1ccc(C)cc1.O=C([O-])[O-].[Na+].[Na+]>>Cc1ccc(-c2ccccc2)cc1",
    "CC(=O)Cl.Nc1ccc(Br)cc1.CCN(CC)CC>>CC(=O)Nc1ccc(Br)cc1",
    "O=Cc1ccc(F)cc1.[BH4-].[Na+].CO>>OCc1ccc(F)cc1",
]
TOKEN = re.compile(
    r"\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>>?|\*|\$"
    r"|%[0-9]{2}|[0-9]"
)


def model_folder() -> Path | None:
    spec = importlib.util.find_spec("rxnmapper")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models/transformers/albert_heads_8_uspto_all_1310k"


pytestmark = pytest.mark.skipif(model_folder() is None, reason="rxnmapper is not installed")


@cache
def loaded() -> Any:
    folder = model_folder()
    assert folder is not None
    return load_model(folder, allow_pickle=True)


@cache
def vocabulary() -> dict[str, int]:
    lines = (model_folder() or Path()).joinpath("vocab.txt").read_text("utf-8").split("\n")
    return {token: i for i, token in enumerate(lines) if token}


def encoded(reaction: str) -> list[int]:
    known = vocabulary()
    return [known["[CLS]"], *(known[t] for t in TOKEN.findall(reaction)), known["[SEP]"]]


@torch.no_grad()
def guessed(ids: list[int]) -> tuple[Tensor, Tensor]:
    """Which tokens, and which of the product's, come first when they alone are masked."""
    model, mask = loaded().model.eval(), vocabulary()["[MASK]"]
    places = range(1, len(ids) - 1)
    batch = Batch.of([[*ids[:p], mask, *ids[p + 1 :]] for p in places])
    at = batch.first + torch.tensor(list(places))
    best = model.logits(model(batch)[at]).argmax(-1)
    hits = (best == torch.tensor(ids[1:-1])).double()
    arrow = ids.index(vocabulary()[">>"])
    return hits, hits[arrow:]


def test_it_is_read_whole() -> None:
    """Issue 3: 12 layers sharing one, hidden 256, embedding 128, vocabulary 591."""
    config = loaded().model.config
    assert loaded().architecture == "AlbertForMaskedLM"
    assert (config.num_layers, config.hidden_size, config.sharing) == (12, 256, "all")
    assert (config.embedding_size, config.vocab_size) == (128, 591)
    assert {name.split(".")[0] for name in loaded().fresh} <= {"pooler", "sop_head"}


def test_it_computes_what_transformers_computes() -> None:
    """A ragged batch against the padded reference, on real weights."""
    transformers = pytest.importorskip("transformers")
    folder = model_folder()
    assert folder is not None
    their = transformers.AlbertForMaskedLM(transformers.AlbertConfig.from_pretrained(folder))
    weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    left_over = their.load_state_dict(weights, strict=False)
    assert not left_over.missing_keys
    ids = [encoded(reaction) for reaction in REACTIONS]
    width = max(map(len, ids))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    with torch.no_grad():
        expected: Tensor = their.eval()(padded, attention_mask=mask).logits[mask.bool()]
        model = loaded().model.eval()
        found = model.logits(model(Batch.of(ids)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)  # logits reach 30


def test_masked_tokens_of_known_reactions_are_recovered() -> None:
    """Issue 3: the likeliest token is the right one, above all in products, which follow from the
    reactants; the commonest token alone would be right in 3 of 10."""
    found = [guessed(encoded(reaction)) for reaction in REACTIONS]
    everywhere, products = (torch.cat(hits) for hits in zip(*found, strict=True))
    assert len(everywhere) > 350
    assert everywhere.mean() > 0.9
    assert products.mean() > 0.95
