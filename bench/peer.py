"""The Hugging Face side of a comparison: transformers' Trainer with its defaults.

Dynamic padding to the longest of the batch (their collators), SDPA attention, fused AdamW (their
default), no evaluation, saving or logging. The special-token mask is given to the collator, as
their manual advises, so that it is not computed for every batch again.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from bench import peer_electra
from bench.rows import Row
from bench.samples import examples_of, sizes_of
from bench.text import answer_token, labelled
from bench.worker import Blocks
from foretext.shards.store import Shards

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
Example = dict[str, Any]


def masked_examples(row: Row, shards: Shards) -> list[Example]:
    """The samples of foretext's objective, not yet corrupted."""
    return [
        {"input_ids": ids.tolist(), "special_tokens_mask": special.long().tolist()}
        for ids, _, special in examples_of(row, shards)
    ]


def labelled_examples(row: Row, shards: Shards) -> list[Example]:
    """With a label each, or the start and end of an answer."""
    examples = []
    for ids, segments, label in labelled(shards, row.text, row.max_length):
        if row.task == "questions":
            at = answer_token(segments, label)
            targets = {"start_positions": at, "end_positions": at}
        else:
            targets = {"labels": label}
        examples.append({"input_ids": ids, "token_type_ids": segments, **targets})
    return examples


class Counting:
    """A collator that keeps the number of real tokens of the batches it made."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator
        self.tokens: deque[int] = deque()

    def __call__(self, examples: list[Example]) -> Any:
        self.tokens.append(sum(len(e["input_ids"]) for e in examples))
        return self.collator(examples)


def run(row: Row, folder: Path, blocks: Blocks) -> None:
    """Train for ever, a block whenever it is told to."""
    import transformers as hf

    shards = Shards.open(folder, verify=False)
    if row.task.startswith("replaced-token"):
        peer_electra.run(row, shards, blocks)
    tokenizer = hf.AutoTokenizer.from_pretrained(str(shards.tokenizer_folder))
    family, sizes = sizes_of(row, shards)
    use = "question-answering" if row.task == "questions" else row.task
    name = family.hub.class_for(sizes, use)
    values = family.hub.to_hf(sizes, name) | {"classifier_dropout_prob": row.dropout}
    cls = getattr(hf, name)
    model: Any = cls(cls.config_class(**values))
    if row.task in ("classification", "questions"):
        examples = labelled_examples(row, shards)
        collator = Counting(hf.DataCollatorWithPadding(tokenizer))
    else:
        examples = masked_examples(row, shards)
        collator = Counting(hf.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15))
    arguments = hf.TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="foretext-bench-"),
        use_cpu=True,
        bf16=row.precision == "bf16",
        per_device_train_batch_size=row.batch_size,
        max_steps=1 << 30,
        learning_rate=1e-4,
        train_sampling_strategy=("group_by_length" if row.peer == "grouped-trainer" else "random"),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )

    class Turns(hf.TrainerCallback):
        """Stops between blocks, where the other side runs."""

        def __init__(self) -> None:
            self.left, self.tokens = row.warmup, 0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            blocks.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.tokens += collator.tokens.popleft()
            self.left -= 1
            if not self.left:
                blocks.end(tokens=self.tokens)
                self.left, self.tokens = row.steps, 0
                blocks.begin()

    hf.Trainer(
        model=model,
        args=arguments,
        train_dataset=examples,
        data_collator=collator,
        callbacks=[Turns()],
    ).train()
