"""ONNX graphs of models, for any batch and any length, and how they answer in onnxruntime.

The graph is of the padded twin. What is written is run and compared with the ragged model over a
grid of batches and lengths; a graph that differs is not published. `quantised` makes a second one
whose matrix products are in 8 bits, with weights rounded beforehand and activations on the way
(dynamic quantisation, a scale a column of a weight).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import CheckpointError, ConfigError
from foretext.inference.padded import (
    PaddedBatch,
    PaddedTwin,
    Read,
    last_layer,
    per_token,
    states,
)
from foretext.inference.task_run import TaskRun
from foretext.nn.backbone import Backbone, Reads
from foretext.tasks.base import TaskModel
from foretext.tasks.features import FeatureReader

GRAPH, QUANTISED = "model.onnx", "model_quantized.onnx"  # names that other tools look for
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPSET = 18
_TOLERANCE = 1e-3  # of the largest output
_GRID = ((1, 1), (1, 9), (2, 2), (3, 17), (5, 64))  # batch, length
PER_TOKEN, SEVERAL = ("tagging", "question-answering"), ("multiple-choice",)  # tasks
_NEEDED = "ONNX needs onnx, onnxscript and onnxruntime; pip install 'foretext[onnx]'"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a graph is of.

    Attributes:
        twin: the padded model.
        outputs: names of what it gives.
        backbone: the ragged model.
        per_token: whether it gives something for every token, or for every sequence.
        max_length: tokens of the longest sequence; None is no limit.
        segments: whether a token's segment matters.
    """

    twin: PaddedTwin
    outputs: tuple[str, ...]
    backbone: Backbone
    per_token: bool
    max_length: int | None
    segments: bool
    vocab_size: int


def check_installed() -> None:
    """Raise a ConfigError that says what to install where a package is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ConfigError(_NEEDED) from None


def of_backbone(backbone: Backbone, *, scores: bool, max_length: int | None) -> Graph:
    """A pre-trained model: its states, or with `scores` those of the vocabulary at every token."""
    finish, name = (_vocabulary, "logits") if scores else (states, "last_hidden_state")
    return _graph(backbone, finish, (name,), max_length, per_token=True)


def of_task(run: TaskRun) -> Graph:
    """A fine-tuned model: what the matching class of `transformers` calls logits.

    Raises:
        ConfigError: the task has a head that no padded batch is known for.
    """
    use, model = run.task.use, run.model.cpu()
    if use not in _FINISHES:
        raise ConfigError(f"{use} has no ONNX graph; those that have: {', '.join(_FINISHES)}")
    if getattr(run.task.config, "answerable_head", False):
        raise ConfigError("task.answerable_head has no ONNX graph; train without it to export one")
    if getattr(run.task.config, "pooling", "token") != "token":
        raise ConfigError("task.pooling=mean has no ONNX graph; train with task.pooling=token")
    if use == "similarity" and model.backbone.reads is Reads.LEFT_TO_RIGHT:
        raise ConfigError("similarity by a left-to-right model has no ONNX graph; use an encoder")
    finish, outputs = _FINISHES[use]
    return _graph(
        model.backbone,
        _WithHead(model, finish),
        outputs,
        run.layout.max_length,
        per_token=use in PER_TOKEN,
        several=use in SEVERAL,
        read=_Read(model.features),
    )


def _graph(
    backbone: Backbone,
    finish: Any,
    outputs: tuple[str, ...],
    max_length: int | None,
    *,
    per_token: bool,
    several: bool = False,
    read: Read | None = None,
) -> Graph:
    config: Any = backbone.config
    return Graph(
        twin=PaddedTwin(backbone, finish, several=several, read=read),
        outputs=outputs,
        backbone=backbone.eval(),
        per_token=per_token,
        max_length=max_length,
        segments=backbone.reads is Reads.BOTH_WAYS and bool(getattr(config, "segments", 0)),
        vocab_size=config.vocab_size,
    )


class _Read(nn.Module):
    """A Read of a task's features: the last layer, a mix of all, or what is below the first."""

    def __init__(self, features: FeatureReader) -> None:
        super().__init__()
        if features.reader is not None:
            raise ConfigError(
                "finetune.reader_cells has no ONNX graph; train without it to export one"
            )
        self.layers, self.mix = features.config.layers, features.mix

    def forward(self, backbone: Backbone, batch: Batch) -> Tensor:
        """States that the head reads, [tokens, hidden]."""
        if self.layers == "top":
            return last_layer(backbone, batch)
        layers = backbone.all_layers(batch)
        return layers[0] if self.mix is None else self.mix(layers)


class _WithHead(nn.Module):
    """A Finish that holds a task's head."""

    def __init__(self, model: TaskModel, finish: Any) -> None:
        super().__init__()
        self.head, self.finish = model.head.eval(), finish

    def forward(self, backbone: Backbone, hidden: Tensor, batch: PaddedBatch) -> Any:
        return self.finish(backbone, self.head, hidden, batch)


def _vocabulary(backbone: Any, hidden: Tensor, batch: PaddedBatch) -> tuple[Tensor, ...]:
    return (per_token(backbone.logits(hidden), batch),)


def _sentence(backbone: Backbone, head: Any, hidden: Tensor, batch: PaddedBatch) -> Any:
    pooled = backbone.pooled_output(hidden, batch)
    return (head(pooled, backbone.pooled_tokens(batch)).float(),)


def _choice(backbone: Backbone, head: Any, hidden: Tensor, batch: PaddedBatch) -> Any:
    (scores,) = _sentence(backbone, head, hidden, batch)
    return (scores[:, 0],)


def _tokens(backbone: Backbone, head: Any, hidden: Tensor, batch: PaddedBatch) -> Any:  # noqa: ARG001
    at = torch.arange(hidden.shape[0], device=hidden.device)
    return (per_token(head(hidden, at).float(), batch),)


def _answers(backbone: Backbone, head: Any, hidden: Tensor, batch: PaddedBatch) -> Any:  # noqa: ARG001
    scores = per_token(head.linear(hidden).float(), batch)
    return scores[..., 0], scores[..., 1]


_FINISHES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "classification": (_sentence, ("logits",)),
    "similarity": (_sentence, ("logits",)),
    "tagging": (_tokens, ("logits",)),
    "question-answering": (_answers, ("start_logits", "end_logits")),
    "multiple-choice": (_choice, ("logits",)),
}


def write(graph: Graph, path: Path) -> float:
    """Write a graph for any batch and length, and run it over a grid of them.

    Returns:
        The largest difference from the ragged model, relative to the largest output.

    Raises:
        ConfigError: a package is missing.
        CheckpointError: the graph's outputs differ from the model's.
    """
    check_installed()
    names = _INPUTS if graph.segments else _INPUTS[:2]
    shape = (2, 3, 5) if graph.twin.several else (2, 5)
    example = tuple(torch.ones(shape, dtype=torch.int64) for _ in names)
    axes = ("batch", "choices", "length") if graph.twin.several else ("batch", "length")
    dynamic = {axis: torch.export.Dim(name) for axis, name in enumerate(axes)}
    with _silent():
        program = torch.onnx.export(
            graph.twin,
            example,
            dynamo=True,
            opset_version=_OPSET,
            dynamic_shapes=(*(dynamic for _ in names),) if graph.segments else (dynamic, dynamic),
            input_names=list(names),
            output_names=list(graph.outputs),
            verbose=False,
        )
        assert program is not None
        program.save(str(path))
    return check(graph, path)


def check(graph: Graph, path: Path) -> float:
    """The largest relative difference of a file from the ragged model over a grid.

    Raises:
        CheckpointError: it is above a thousandth.
    """
    session, worst = Session(path), 0.0
    draw = torch.Generator().manual_seed(0)
    for count, length in _GRID:
        length = min(length, graph.max_length or length)  # noqa: PLW2901
        lengths = torch.randint(1, length + 1, (count,), generator=draw).tolist()
        lengths[0] = length
        ids = [torch.randint(graph.vocab_size, (n,), generator=draw).tolist() for n in lengths]
        ours = _ragged(graph, ids)
        theirs = session.padded(ids, per_token=graph.per_token, several=graph.twin.several)
        worst = max(worst, float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1e-6)))
    if not worst <= _TOLERANCE:
        raise CheckpointError(
            f"the ONNX graph differs from the model by {worst:.2g} of its largest output; report "
            "this with the versions that `foretext doctor` prints"
        )
    return worst


@torch.no_grad()
def _ragged(graph: Graph, ids: Sequence[Sequence[int]]) -> Tensor:
    """What the ragged model itself gives, as Session.padded has it."""
    rows = []
    for one in ids:
        row = torch.tensor([one])
        batch = PaddedBatch.laid(row, torch.ones_like(row), torch.zeros_like(row))
        hidden = graph.twin.read(graph.backbone, Batch.of([one]))
        found = graph.twin.finish(graph.backbone, hidden, batch)
        count = len(one) if graph.per_token else 1
        rows.append(torch.cat([part.reshape(count, -1) for part in found], 1))
    return torch.cat(rows)


class Session:
    """A graph in onnxruntime."""

    def __init__(self, path: Path) -> None:
        check_installed()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {one.name for one in self._session.get_inputs()}

    def run(
        self, ids: NDArray[Any], mask: NDArray[Any], types: NDArray[Any]
    ) -> list[NDArray[np.float32]]:
        """The graph's outputs; a name that it does not read is left out."""
        named = dict(zip(_INPUTS, (ids, mask, types), strict=True))
        found: list[NDArray[np.float32]] = self._session.run(
            None, {name: named[name] for name in self._inputs}
        )
        return found

    def padded(
        self,
        sequences: Sequence[Sequence[int]],
        types: Sequence[Sequence[int]] | None = None,
        *,
        per_token: bool,
        several: bool = False,
    ) -> Tensor:
        """Outputs of ragged sequences side by side, [tokens, n] or [sequences, n].

        Args:
            sequences: token ids of each.
            types: their segments; None is segment 0.
            per_token: what the graph gives; padding's is left out.
            several: the graph has an axis for the sequences of a sample.
        """
        longest = max(map(len, sequences))
        ids, mask, segments = np.zeros((3, len(sequences), longest), np.int64)
        for number, one in enumerate(sequences):
            ids[number, : len(one)], mask[number, : len(one)] = one, 1
            if types is not None:
                segments[number, : len(one)] = types[number]
        arrays = [part[None] if several else part for part in (ids, mask, segments)]
        found = [torch.from_numpy(one[0] if several else one) for one in self.run(*arrays)]
        if per_token:
            real = torch.from_numpy(mask).bool()
            found = [one[real] for one in found]
        return torch.cat([one.reshape(one.shape[0], -1) for one in found], 1)


def quantised(source: Path, destination: Path) -> None:
    """Write a graph whose products with weights are in 8 bits."""
    check_installed()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _silent():
        quantize_dynamic(
            str(source), str(destination), weight_type=QuantType.QInt8, per_channel=True
        )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the exporters' notes about themselves."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
