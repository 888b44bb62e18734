"""Pickles that ask for too much, and models of other tools, are named for what they are."""

from __future__ import annotations

import argparse
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foretext.core.errors import CheckpointError
from foretext.hub import pickles
from foretext.hub.foreign import what_is
from foretext.hub.pickles import read_pickle
from foretext.models.folder import load_model


class Asking:
    """Unpickling this takes so many bytes, by a function that torch.load allows."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (self.size,)


FAULTS: dict[str, tuple[object, str]] = {
    "bytes": ({"a": torch.ones(3), "b": Asking(20 * 10**9)}, "asks for more than 268,4"),
    "a view": ({"a": torch.ones(1).expand(10**11)}, "'a' of 400,000,000,000 bytes, in a file of"),
    "a complex": ({"a": torch.ones(2, dtype=torch.complex64)}, "'a', which is complex (torch.c"),
    "a sparse": ({"a": torch.eye(2).to_sparse()}, "'a', which is stored as torch.sparse_coo on"),
    "fairseq": ({"args": argparse.Namespace(), "model": {}}, "is a checkpoint of fairseq; convert"),
    "training": (
        {"model": {"w": torch.ones(2)}},
        "holds 'model' of type dict (w) beside",
    ),
    "a number": ({"epoch": 3}, "holds 'epoch' of type int beside or instead of tensors"),
    "an array": ({"a": np.ones(2)}, "holds NumPy arrays beside tensors"),
    "a list": ([torch.ones(2)], "holds a list, not tensors by name"),
    "a module": (nn.Linear(2, 2), "is a whole module saved by torch.save(model), which is code"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_by_what_is_wrong_with_it(
    fault: str, zipped: bool, tmp_path: Path
) -> None:
    """Code, size or type; memory is asked of a child that may not have it."""
    value, says = FAULTS[fault]
    path = tmp_path / "pytorch_model.bin"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as caught:
        read_pickle(path)
    assert says in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.filterwarnings("ignore")  # quantised tensors are on their way out
def test_a_quantised_pickle_is_named(tmp_path: Path) -> None:
    """Issue 22: it ended in a traceback."""
    tensor = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    torch.save({"w": tensor}, tmp_path / "q.bin")
    with pytest.raises(CheckpointError, match=r"'w', which is quantised \(torch.qint8\); save it"):
        read_pickle(tmp_path / "q.bin")


def test_a_storage_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    """The old format names the size of a storage, which is taken before its bytes are read."""
    path = tmp_path / "old.bin"
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    asked = data.replace(b"M\xe8\x03", b"J\xff\xff\xff\x7f")  # 1000 -> 2^31 - 1, of 4 bytes each
    path.write_bytes(asked)
    assert asked != data
    with pytest.raises(CheckpointError, match="asks for more than"):
        read_pickle(path)


def test_a_child_that_dies_is_an_error_and_the_next_file_is_read(tmp_path: Path) -> None:
    """As when a file overflows the stack: the line names the code, and nothing else is lost."""
    torch.save({"a": torch.ones(2)}, tmp_path / "a.bin")
    torch.save({"b": torch.ones(2)}, tmp_path / "b.bin")
    real = pickles._child()
    real.process.kill()
    with pytest.raises(CheckpointError, match=r"ends the process that reads it \(code -9\)"):
        read_pickle(tmp_path / "a.bin")
    assert list(read_pickle(tmp_path / "b.bin")) == ["b"]
    assert pickles._child() is not real


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    """What was found of another content says nothing."""
    path = tmp_path / "a.bin"
    torch.save({"a": torch.ones(2)}, path)
    assert list(read_pickle(path)) == ["a"]
    torch.save({"a": 1}, path)
    with pytest.raises(CheckpointError, match="'a' of type int"):
        read_pickle(path)


FOREIGN = {
    "bert_model.ckpt.index": "bert_model.ckpt.index is a checkpoint of TensorFlow 1; convert it",
    "tf_model.h5": "tf_model.h5 is TensorFlow weights",
    "flax_model.msgpack": "flax_model.msgpack is Flax weights",
    "model.Q4.gguf": "model.Q4.gguf is a model of llama.cpp",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_of_another_tool_is_named(name: str, tmp_path: Path) -> None:
    """With how to convert it, in place of a config.json that is not there."""
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)
    assert FOREIGN[name] in str(caught.value)
    prefix = str(tmp_path / name).removesuffix(".index")  # as TensorFlow is told it
    assert FOREIGN[name] in str(what_is(Path(prefix)))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_fairseq_is_named(zipped: bool, tmp_path: Path) -> None:
    """As a file and as the only one of a folder; it is not unpickled for that."""
    path = tmp_path / "model.pt"
    state = {"args": argparse.Namespace(arch="roberta_base"), "model": {"w": torch.ones(1)}}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    for place in (path, tmp_path):
        with pytest.raises(CheckpointError, match=r"model\.pt is a checkpoint of fairseq; convert"):
            load_model(place)
