"""A task over some examples on a tiny model, and one step of it cut in several ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.tasks.base import SampleTable, TaskModel, TaskObjective
from foretext.tasks.inputs import fit_to_tokens, input_format_for, task_tokenizer
from foretext.training.step import MicroBatch, TrainStep, gradients
from tests.tasks.tiny import model_of, tokenizer_of

Built = tuple[TaskObjective, TaskModel, SampleTable]


def built(
    model_type: str, build: Callable[[float], Any], examples: Sequence[Any], **changes: Any
) -> Built:
    """A bert or GPT with a task and its samples; build takes the weight of the auxiliary loss."""
    family = Bert if model_type == "bert" else Gpt
    plain = tokenizer_of(model_type)
    tokenizer = task_tokenizer(plain, family)
    backbone = model_of(model_type, plain.vocab_size, **changes)
    generator = torch.Generator().manual_seed(3)
    fit_to_tokens(backbone, plain, tokenizer, generator)
    task = build(0.0 if model_type == "bert" else 0.5)
    model = TaskModel(backbone, task.head(backbone, generator))
    encoded = task.encode(examples, input_format_for(family, tokenizer, 40))
    table = SampleTable(sample for samples in encoded for sample in samples)
    return TaskObjective(task=task, max_length=40), model, table


class Everywhere(TaskModel):
    """Computes all states, also those that nothing reads."""

    def forward(self, batch: Any, used: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        return super().forward(batch)


def assert_steps_agree(built: Built, cuts: list[int]) -> None:
    """A step with dropout has the same terms and gradients when the batch is cut here.

    And when the states that the task does not read are computed too.
    """
    objective, model, table = built
    model.train()
    whole_terms, whole = _step(objective, model, table, [])
    everywhere = Everywhere(model.backbone, model.head).train()
    for other in (_step(objective, model, table, cuts), _step(objective, everywhere, table, [])):
        terms, grads = other
        assert terms.keys() == whole_terms.keys()
        for name, term in whole_terms.items():
            assert abs(terms[name] - term) <= 1e-6 * max(1.0, abs(term)), name
        assert whole.keys() == grads.keys()
        for name, grad in whole.items():
            torch.testing.assert_close(grads[name], grad, atol=2e-6, rtol=1e-5, msg=name)


def _step(
    objective: TaskObjective, model: TaskModel, table: SampleTable, cuts: list[int]
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """The terms of a step and its gradients."""
    model.zero_grad()
    parts, first_token = [], 0
    for numbers in np.split(np.argsort(table.lengths, kind="stable"), cuts):
        batch = table.batch(numbers)
        parts.append(MicroBatch(batch=batch, first_token=first_token))
        first_token += batch.num_tokens
    terms = gradients(TrainStep(model, objective), parts, 7)
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return {name: float(term) for name, term in terms.items()}, grads
