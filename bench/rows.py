"""What is measured: one row a comparison, with the target the project has set itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison of two trainers on the same samples."""

    name: str
    about: str
    target: float  # least ratio of real tokens per second, ours over theirs
    # "masked-lm", "packed-masked-lm", "replaced-token", "replaced-token-gathered",
    # "classification", "questions" or "inference"
    task: str
    text: str  # "short" or "documents" (pre-training); else "phrases", "pairs", "windows", "mixed"
    preset: str  # of the model
    max_length: int  # tokens of a sequence, special ones included
    batch_size: int  # sequences a step
    steps: int  # of a block
    warmup: int = 3  # steps before the first block
    rounds: int = 7  # blocks of each side
    precision: str = "fp32"  # or "bf16", autocast, on both sides
    dropout: float = 0.1  # on both sides, everywhere BERT has it
    peer: str = "trainer"  # or "grouped-trainer"; of inference "pipeline" or "ctranslate2"

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Self:
        return cls(**values)

    def values(self) -> dict[str, Any]:
        return asdict(self)


_PRETRAIN = (
    Row(
        name="mini-short",
        about="pre-train bert-mini on short texts",
        target=5.0,
        task="masked-lm",
        text="short",
        preset="bert-mini",
        max_length=128,
        batch_size=64,
        steps=6,
    ),
    Row(
        name="mini-128",
        about="pre-train bert-mini on documents cut at 128 tokens",
        target=2.8,
        task="masked-lm",
        text="documents",
        preset="bert-mini",
        max_length=128,
        batch_size=64,
        steps=3,
    ),
    Row(
        name="base-512",
        about="pre-train bert-base on documents of natural length up to 512",
        target=2.3,
        task="masked-lm",
        text="documents",
        preset="bert-base",
        max_length=512,
        batch_size=8,
        steps=2,
        warmup=1,
        rounds=5,
    ),
)
_KIN = (
    Row(
        name="albert-128",
        about="pre-train albert-base by masked LM on documents cut at 128 tokens",
        target=2.0,
        task="masked-lm",
        text="documents",
        preset="albert-base",
        max_length=128,
        batch_size=16,
        steps=1,
        warmup=1,
        rounds=5,
    ),
    Row(
        name="roberta-512",
        about="pre-train roberta-base on documents of natural length up to 512",
        target=2.3,
        task="masked-lm",
        text="documents",
        preset="roberta-base",
        max_length=512,
        batch_size=8,
        steps=1,
        warmup=1,
        rounds=5,
    ),
    Row(
        name="roberta-packed",
        about="pre-train roberta-base on full sentences: rows of 512 tokens, nothing to pad",
        target=1.0,  # none is set; only the vocabulary's head and attention can gain
        task="packed-masked-lm",
        text="documents",
        preset="roberta-base",
        max_length=512,
        batch_size=4,
        steps=1,
        warmup=1,
        rounds=5,
    ),
)
_ELECTRA = tuple(
    Row(
        name=f"electra-{text}{how}",
        about=f"pre-train electra-small, both networks, on {about}",
        target=target,
        task=f"replaced-token{how}",
        text=text,
        preset="electra-small",
        max_length=128,
        batch_size=batch_size,
        steps=steps,
        warmup=1,
        rounds=5,
    )
    for text, about, target, batch_size, steps in (
        ("short", "short texts", 4.0, 128, 3),  # the paper's batch
        ("documents", "documents in examples of 128 tokens", 2.0, 32, 1),
    )
    for how in ("", "-gathered")  # the peer's vocabulary head: at every token, or at targets
)
_FINETUNE = tuple(
    Row(
        name=f"finetune-{text}",
        about=f"fine-tune bert-mini on {text} as long as {like}",
        target=2.5,
        task="classification",
        text=text,
        preset="bert-mini",
        max_length=128,
        batch_size=32,
        steps=15,
    )
    for text, like in (("phrases", "SST-2's"), ("pairs", "a GLUE pair task's"))
)

_EPOCH = 62  # steps: an epoch of bench.text.labelled, so that a block has every length
_GROUPED = Row(
    name="finetune-phrases-grouped",
    about="fine-tune bert-mini on phrases as long as SST-2's, the Trainer's groups by length",
    target=1.1,
    task="classification",
    text="phrases",
    preset="bert-mini",
    max_length=128,
    batch_size=32,
    steps=_EPOCH,
    rounds=5,
    peer="grouped-trainer",
)
_WINDOWS = Row(
    name="finetune-windows",
    about="fine-tune bert-mini on windows as long as SQuAD's",
    target=1.2,
    task="questions",
    text="windows",
    preset="bert-mini",
    max_length=384,
    batch_size=16,
    steps=6,
)
_INFERENCE = tuple(
    Row(
        name=f"predict-{peer}",
        about=f"classify a file of mixed lengths, against {what}",
        target=target,
        task="inference",
        text="mixed",
        preset="bert-mini",  # or the trained encoder, if it is installed
        max_length=512,
        batch_size=batch_size,
        steps=1,
        dropout=0.0,
        peer=peer,
    )
    for peer, what, target, batch_size in (
        ("pipeline", "the transformers pipeline, a batch of 32", 3.0, 32),
        ("ctranslate2", "CTranslate2, batches of 32 from short to long", 1.0, 32),
    )
)

ROWS = (
    *(
        replace(row, name=f"{row.name}-dropout-{rate:g}", dropout=rate)
        for row in (*_PRETRAIN, *_KIN, *_ELECTRA, *_FINETUNE, _GROUPED, _WINDOWS)
        for rate in (0.1, 0.0)
    ),
    *(
        replace(row, name=f"{row.name}-bf16", about=f"{row.about}, bf16", precision="bf16")
        for row in (*_PRETRAIN, *_KIN, *_ELECTRA, *_FINETUNE, _WINDOWS)
    ),
    *_INFERENCE,
    replace(
        _INFERENCE[0],
        name="predict-pipeline-single",
        about="classify a file of mixed lengths, against the transformers pipeline, one by one",
        batch_size=1,
    ),
)
