"""ELMo's published files, read and written: options.json, weights in HDF5, a vocabulary.

    options.json   sizes
    weights.hdf5   char_embed, CNN/..., CNN_high_k/..., CNN_proj/..., RNN_d/RNN/MultiRNNCell/...
    vocab.txt      a word a line, <S>, </S> and <UNK> first; not needed to read text

The names are those of bilm-tf (bilm/model.py); published files carry longer names, of which the
ends count. The softmax is not in them. Matrices lie as [in, out], an LSTM's gates as i, g, f, o,
and the forget gate's 1 is added when running, here as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretext.core.errors import CheckpointError, ConfigError
from foretext.core.words import MAX_CHARACTERS, NUM_CHARACTERS
from foretext.models.elmo_network import Elmo
from foretext.models.elmo_sizes import ElmoConfig
from foretext.models.published import PublishedLayout
from foretext.nn.backbone import Backbone
from foretext.nn.recurrent import ProjectedLstm
from foretext.tokenizers import Tokenizer
from foretext.tokenizers.characters import words_tokenizer
from foretext.tokenizers.special import STYLES

if TYPE_CHECKING:
    import h5py

_SPECIAL = STYLES["elmo"].front
_GATES = (0, 2, 3, 1)  # of theirs (i, g, f, o), where ours (i, f, o, g) lie; and back
_BACK = (0, 3, 1, 2)
_LARGEST = 2**20  # of a size; the original's largest is 4,096
Array = NDArray[np.float32]


def found(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return folder.is_dir() and bool(_ending(folder, "options.json") and _ending(folder, ".hdf5"))


def read(folder: Path) -> tuple[Elmo, Tokenizer]:
    """The model, its softmax new, and its tokenizer: words between white space.

    Raises:
        CheckpointError: a file is damaged, or they do not fit each other.
        ConfigError: a feature that ELMo as published does not have, or h5py is missing.
    """
    options, weights = _ending(folder, "options.json"), _ending(folder, ".hdf5")
    assert options is not None
    assert weights is not None
    vocabulary = _ending(folder, ".txt")
    words = list(_SPECIAL) if vocabulary is None else _words(vocabulary)
    config = _config(options, len(words))
    model = Elmo(config)
    model.initialise(torch.Generator().manual_seed(0))
    try:
        with _h5py().File(weights, "r") as file:
            _fill(model, file, weights)
    except OSError as error:
        raise CheckpointError(
            f"{weights} is not a whole HDF5 file ({error}); fetch it anew"
        ) from None
    return model, words_tokenizer(words, style=STYLES["elmo"])


def write(model: Backbone, tokenizer: Tokenizer, folder: Path) -> None:
    """The files of a model.

    Raises:
        ConfigError: the files cannot hold it, or h5py is missing.
    """
    assert isinstance(model, Elmo)
    words = [tokenizer.token(i) for i in range(tokenizer.vocab_size)]
    if tuple(words[:3]) != _SPECIAL or any("\n" in word for word in words):
        raise ConfigError(
            f"bilm-tf's vocabulary begins with {', '.join(_SPECIAL)}, this one with "
            f"{', '.join(words[:3])}; train the tokenizer with data.special_tokens=elmo"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with _h5py().File(folder / "weights.hdf5", "w") as file:
        for name, (tensor, layout) in _tensors(model).items():
            file.create_dataset(name, data=layout.theirs(tensor.detach().cpu().numpy()))
    text = json.dumps(_options(model.config), indent=2)
    (folder / "options.json").write_text(text + "\n", encoding="utf-8")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


PUBLISHED = PublishedLayout(name="bilm", found=found, read=read, write=write)


class _Layout:
    """How a tensor of ours lies in their files, both ways."""

    def __init__(self, theirs: Callable[[Array], Array], ours: Callable[[Array], Array]) -> None:
        self.theirs, self.ours = theirs, ours


_SAME = _Layout(lambda a: a, lambda a: a)
_TRANSPOSED = _Layout(lambda a: a.T, lambda a: a.T)
# [number, embedding, width] and [1, width, embedding, number]
_FILTER = _Layout(lambda a: a.transpose(2, 1, 0)[None], lambda a: a[0].transpose(2, 1, 0))


def _in_gates(array: Array, order: tuple[int, ...]) -> Array:
    """Rows [4 * size, ...] with their gates in another order."""
    parts = np.split(array, 4)
    return np.concatenate([parts[i] for i in order])


_BIAS = _Layout(lambda a: _in_gates(a, _BACK), lambda a: _in_gates(a, _GATES))
_KERNEL = _Layout(lambda a: _in_gates(a, _BACK).T, lambda a: _in_gates(a.T, _GATES))


def _tensors(model: Elmo) -> dict[str, tuple[Tensor, _Layout]]:
    """By their name: a tensor of ours, or parts of ours put together, and how it lies there."""
    words = model.words
    found: dict[str, tuple[Tensor, _Layout]] = {"char_embed": (words.characters.weight, _SAME)}
    for i, conv in enumerate(words.filters):
        found[f"CNN/W_cnn_{i}"] = (conv.weight, _FILTER)  # type: ignore[assignment]
        found[f"CNN/b_cnn_{i}"] = (conv.bias, _SAME)  # type: ignore[assignment]
    for i, highway in enumerate(words.highways):
        for part in ("transform", "carry"):
            linear = getattr(highway, part)
            found[f"CNN_high_{i}/W_{part}"] = (linear.weight, _TRANSPOSED)
            found[f"CNN_high_{i}/b_{part}"] = (linear.bias, _SAME)
    if words.projection is not None:
        found["CNN_proj/W_proj"] = (words.projection.weight, _TRANSPOSED)
        found["CNN_proj/b_proj"] = (words.projection.bias, _SAME)
    for way in range(2):
        for i, layer in enumerate(model.layers):
            lstm = layer.lstm
            assert isinstance(lstm, ProjectedLstm)
            assert lstm.projection is not None
            place = f"RNN_{way}/RNN/MultiRNNCell/Cell{i}/LSTMCell"
            both = torch.cat([lstm.input_weight[way], lstm.state_weight[way]], 1)
            found[f"{place}/W_0"] = (both, _KERNEL)
            found[f"{place}/B"] = (lstm.bias[way], _BIAS)
            found[f"{place}/W_P_0"] = (lstm.projection[way], _TRANSPOSED)
    return found


@torch.no_grad()
def _fill(model: Elmo, file: h5py.File, path: Path) -> None:
    """Copy the file's values into the model.

    Raises:
        CheckpointError: one is missing, has another shape or is not finite.
    """
    projected = model.config.projection_size
    for name, (tensor, layout) in _tensors(model).items():
        if name not in file:
            raise CheckpointError(f"{path} lacks {name}; do options and weights belong together?")
        value = torch.from_numpy(np.ascontiguousarray(layout.ours(file[name][...]))).float()
        if value.shape != tensor.shape:
            raise CheckpointError(
                f"{path}: {name} has shape {list(file[name].shape)}, which options.json's sizes "
                "do not give; they do not belong together"
            )
        if not bool(value.isfinite().all()):
            raise CheckpointError(
                f"{path}: {name} holds values that are not numbers; fetch it anew"
            )
        if not name.endswith("/W_0"):
            tensor.copy_(value)
            continue
        way, layer = map(int, re.findall(r"\d+", name)[:2])
        lstm = model.layers[layer].lstm
        assert isinstance(lstm, ProjectedLstm)
        lstm.input_weight[way].copy_(value[:, :projected])
        lstm.state_weight[way].copy_(value[:, projected:])


def _options(config: ElmoConfig) -> dict[str, Any]:
    filters = zip(config.filter_widths, config.filter_counts, strict=True)
    return {
        "bidirectional": True,
        "char_cnn": {
            "activation": config.activation,
            "embedding": {"dim": config.character_size},
            "filters": [list(pair) for pair in filters],
            "max_characters_per_token": MAX_CHARACTERS,
            "n_characters": NUM_CHARACTERS + 1,  # at prediction, 0 being a mask
            "n_highway": config.num_highways,
        },
        "dropout": config.dropout,
        "lstm": {
            "cell_clip": config.cell_clip,
            "dim": config.cell_size,
            "n_layers": config.num_layers,
            "proj_clip": config.projection_clip,
            "projection_dim": config.projection_size,
            "use_skip_connections": True,
        },
        "n_tokens_vocab": config.vocab_size,
    }


def _config(path: Path, num_words: int) -> ElmoConfig:
    """The sizes that options.json names.

    Raises:
        CheckpointError: it is damaged.
        ConfigError: it asks for what ELMo as published does not have.
    """
    try:
        options: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        cnn, lstm = options["char_cnn"], options["lstm"]
        expected = {
            "use_skip_connections": (lstm.get("use_skip_connections"), True),
            "max_characters_per_token": (cnn["max_characters_per_token"], MAX_CHARACTERS),
            "n_characters": (min(cnn["n_characters"], NUM_CHARACTERS), NUM_CHARACTERS),
        }
        for name, (value, wanted) in expected.items():
            if value != wanted:
                raise ConfigError(f"{path}: {name}={value} cannot be read; only {wanted} can")
        if lstm["dim"] == lstm["projection_dim"]:
            raise ConfigError(f"{path}: an LSTM without projection cannot be read")
        return ElmoConfig(
            vocab_size=num_words,
            character_size=_size(cnn["embedding"]["dim"]),
            filter_widths=tuple(_size(width) for width, _ in cnn["filters"]),
            filter_counts=tuple(_size(count) for _, count in cnn["filters"]),
            num_highways=cnn.get("n_highway") or 0,
            activation=cnn["activation"],
            projection_size=_size(lstm["projection_dim"]),
            cell_size=_size(lstm["dim"]),
            num_layers=_size(lstm["n_layers"]),
            cell_clip=lstm.get("cell_clip"),
            projection_clip=lstm.get("proj_clip"),
            dropout=options.get("dropout", 0.1),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise CheckpointError(f"{path} is not bilm-tf's options.json ({error!r})") from None


def _size(value: Any) -> int:
    """A size of options.json; ValueError where it is none."""
    if not 0 < int(value) <= _LARGEST:
        raise ValueError(f"{value} is not a size")
    return int(value)


def _words(path: Path) -> list[str]:
    words = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    words = [word for word in dict.fromkeys(words) if word and word != "!!!MAXTERMID"]
    if tuple(words[:3]) != _SPECIAL:
        raise ConfigError(
            f"{path} begins with {', '.join(words[:3])}; bilm-tf's vocabularies begin with "
            f"{', '.join(_SPECIAL)}; name the right file, or leave it out"
        )
    return words


def _ending(folder: Path, end: str) -> Path | None:
    """The file of this folder whose name ends so, if it is one."""
    names = [path for path in sorted(folder.iterdir()) if path.name.endswith(end)]
    return names[0] if len(names) == 1 else None


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ConfigError(
            "ELMo's published weights are HDF5 files: pip install 'foretext[elmo]'"
        ) from None
    return h5py
