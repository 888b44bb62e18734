"""Models of other tools, named for what they are, so that a refusal says how to convert them."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

_FAIRSEQ = (
    "is a checkpoint of fairseq; convert it by transformers "
    "(convert_roberta_original_pytorch_checkpoint_to_pytorch.py or the script of its model), and "
    "give the folder that makes"
)
_WHOLE = (
    "is a whole module saved by torch.save(model), which is code; where you trust it, load it and "
    "save it by model.save_pretrained(folder)"
)
_LIGHTNING = (
    "is a checkpoint of PyTorch Lightning; load it there and save the inner model by "
    "save_pretrained(folder)"
)
# Modules that a pickle's classes come from.
_PICKLES = {
    "argparse": _FAIRSEQ,
    "fairseq": _FAIRSEQ,
    "omegaconf": _FAIRSEQ,
    "pytorch_lightning": _LIGHTNING,
    "lightning": _LIGHTNING,
    "lightning_fabric": _LIGHTNING,
    "transformers": _WHOLE,
    "torch.nn": _WHOLE,
    "numpy": (
        "holds NumPy arrays beside tensors, as the state of a training does; save the model's "
        "state_dict() alone"
    ),
}


class _Kind(NamedTuple):
    """Files that show what made a folder."""

    pattern: str
    what: str


_KINDS = (
    _Kind(
        "*.ckpt.index",
        "a checkpoint of TensorFlow 1; convert it by transformers 4 "
        "(convert_bert_original_tf_checkpoint_to_pytorch.py or the script of its model)",
    ),
    _Kind("*.ckpt.meta", "a checkpoint of TensorFlow 1 without its index; fetch it again"),
    _Kind(
        "tf_model.h5",
        "TensorFlow weights; convert them by transformers 4: "
        "AutoModel.from_pretrained(folder, from_tf=True).save_pretrained(new)",
    ),
    _Kind("saved_model.pb", "a graph of TensorFlow (SavedModel); get its PyTorch weights"),
    _Kind(
        "flax_model.msgpack",
        "Flax weights; convert them by transformers 4: "
        "AutoModel.from_pretrained(folder, from_flax=True).save_pretrained(new)",
    ),
    _Kind("*.gguf", "a model of llama.cpp; get the folder it was made from"),
    _Kind("*.onnx", "an ONNX graph; get the folder it was exported from"),
)
_MOST = 2**24  # bytes of a pickle that are looked through
_PICKLES_OF_A_FILE = 4  # before PyTorch 1.6: a magic number, a version, the system, the state


def of_pickle(name: str) -> str | None:
    """What a pickle is that wants a class or function of this dotted name; None for unknown."""
    kinds = [kind for module, kind in _PICKLES.items() if f"{name}.".startswith(f"{module}.")]
    return kinds[0] if kinds else None


def what_is(place: Path) -> str | None:
    """A sentence that names the model of another tool at this place; None if it is none.

    Args:
        place: a file, or a folder that has no config.json or no weights.
    """
    if place.is_dir():
        for pattern, what in _KINDS:
            if found := sorted(place.glob(pattern)):
                return f"{found[0]} is {what}"
        pickles = [p for suffix in ("pt", "pth", "ckpt") for p in sorted(place.glob(f"*.{suffix}"))]
        return next((said for path in pickles if (said := what_is(path)) is not None), None)
    for pattern, what in _KINDS:
        if place.match(pattern):
            return f"{place} is {what}"
    prefix = place.with_name(f"{place.name}.index")
    if not place.exists() and prefix.is_file():  # TensorFlow names a checkpoint by its prefix
        return what_is(prefix)
    if place.suffix not in (".pt", ".pth", ".ckpt", ".bin") or not place.is_file():
        return None
    kinds = [kind for name in _wanted(place) if (kind := of_pickle(name)) is not None]
    if kinds:
        return f"{place} {kinds[0]}"
    return (
        f"{place} is a single file; foretext reads a folder with config.json, a tokenizer and "
        "model.safetensors or pytorch_model.bin"
    )


def _wanted(path: Path) -> list[str]:
    """Classes and functions that a pickle names, in order; nothing of it is run."""
    names: list[str] = []
    strings: list[str] = []
    try:
        stream = _pickles(path)
        for _ in range(_PICKLES_OF_A_FILE):
            for code, value, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    names.append(str(value).replace(" ", "."))
                elif code.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif isinstance(value, str):
                    strings.append(value)
    except (ValueError, IndexError, OSError, zipfile.BadZipFile):
        return names  # damaged or of another format: what was seen so far
    return names


def _pickles(path: Path) -> BinaryIO:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            with archive.open(inner[0]) as file:
                return io.BytesIO(file.read(_MOST))
    with path.open("rb") as file:
        return io.BytesIO(file.read(_MOST))
