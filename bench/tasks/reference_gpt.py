"""The plain transformers side of GPT's way: a double-heads model, after run_openai_gpt.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from bench.tasks.files import Files
from bench.tasks.reference import CHOICES, Example, Run, fit
from bench.tasks.sets import TaskSet

_TOKENS = ("_start_", "_delimiter_", "_classify_")
_MODELS = {"gpt2": "GPT2DoubleHeadsModel", "openai-gpt": "OpenAIGPTDoubleHeadsModel"}
_LM_WEIGHT = 0.5


class _BothLosses(hf.Trainer):
    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  (the Trainer gives it)
    ) -> Any:
        """The choice's loss and half that of the language model."""
        found = model(**inputs)
        loss = found.mc_loss + _LM_WEIGHT * found.loss
        return (loss, found) if return_outputs else loss


def choice(task_set: TaskSet, files: Files, run: Run) -> list[int]:
    """Predicted candidates of the test file."""
    tokenizer = hf.AutoTokenizer.from_pretrained(str(run.backbone))
    hf.set_seed(run.seed)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_TOKENS)})
    start, delimiter, classify = (tokenizer.convert_tokens_to_ids(token) for token in _TOKENS)
    config = hf.AutoConfig.from_pretrained(str(run.backbone))
    model = getattr(hf, _MODELS[config.model_type]).from_pretrained(str(run.backbone))
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)

    def features(path: Path) -> list[Example]:
        rows = []
        for context, candidates, answer in CHOICES[task_set.columns["format"]](path):
            before = [start, *tokenizer(context)["input_ids"], delimiter]
            ids = [[*before, *tokenizer(one)["input_ids"], classify] for one in candidates]
            assert max(map(len, ids)) <= task_set.recipe.max_length
            rows.append({"ids": ids, "answer": answer})
        return rows

    fit(model, features(files.train), _padded, task_set.recipe, run, trainer=_BothLosses)
    return _answers(model.eval(), features(files.test))


def _padded(rows: Sequence[Example]) -> dict[str, torch.Tensor]:
    """A batch: padding to the right is never read, and its tokens are no targets."""
    longest = max(len(ids) for row in rows for ids in row["ids"])
    shape = (len(rows), len(rows[0]["ids"]), longest)
    ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    last = torch.zeros(shape[:2], dtype=torch.long)
    for i, row in enumerate(rows):
        for j, one in enumerate(row["ids"]):
            ids[i, j, : len(one)] = labels[i, j, : len(one)] = torch.tensor(one)
            last[i, j] = len(one) - 1
    answers = torch.tensor([row["answer"] for row in rows])
    return {"input_ids": ids, "labels": labels, "mc_token_ids": last, "mc_labels": answers}


@torch.no_grad()
def _answers(model: Any, rows: Sequence[Example], batch_size: int = 16) -> list[int]:
    found: list[int] = []
    for begin in range(0, len(rows), batch_size):
        batch = _padded(rows[begin : begin + batch_size])
        logits = model(input_ids=batch["input_ids"], mc_token_ids=batch["mc_token_ids"]).mc_logits
        found += logits.argmax(-1).tolist()
    return found
