"""ELMo's published files: arrays as TensorFlow computes with them, both ways, and bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from foretext.api import convert, export_published, load
from foretext.core.batch import Batch
from foretext.core.errors import CheckpointError, ConfigError
from foretext.models.elmo_files import found, read
from foretext.tokenizers.spelling import OpenTokenizer

WORDS = ["<S>", "</S>", "<UNK>", "the", "cat", "sat", "."]
FILTERS = [(1, 4), (2, 3), (3, 5)]
PROJECTION, CELLS, CLIP = 5, 7, 0.4
Array = NDArray[np.floating]
Arrays = dict[str, Array]


def options() -> dict[str, object]:
    return {
        "lstm": {
            "use_skip_connections": True,
            "projection_dim": PROJECTION,
            "cell_clip": CLIP,
            "proj_clip": CLIP,
            "dim": CELLS,
            "n_layers": 2,
        },
        "char_cnn": {
            "activation": "relu",
            "filters": FILTERS,
            "n_highway": 1,
            "embedding": {"dim": 6},
            "n_characters": 262,
            "max_characters_per_token": 50,
        },
    }


def arrays() -> Arrays:
    """Random values in the shapes that bilm/model.py reads (papers/elmo.md, section h)."""
    generator, size = np.random.default_rng(0), sum(number for _, number in FILTERS)
    shapes: dict[str, tuple[int, ...]] = {"char_embed": (261, 6)}
    for i, (width, number) in enumerate(FILTERS):
        shapes |= {f"CNN/W_cnn_{i}": (1, width, 6, number), f"CNN/b_cnn_{i}": (number,)}
    for part in ("carry", "transform"):
        shapes |= {f"CNN_high_0/W_{part}": (size, size), f"CNN_high_0/b_{part}": (size,)}
    shapes |= {"CNN_proj/W_proj": (size, PROJECTION), "CNN_proj/b_proj": (PROJECTION,)}
    for way in range(2):
        for layer in range(2):
            place = f"RNN_{way}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            shapes[f"{place}/W_0"] = (2 * PROJECTION, 4 * CELLS)
            shapes[f"{place}/B"] = (4 * CELLS,)
            shapes[f"{place}/W_P_0"] = (CELLS, PROJECTION)
    return {n: generator.normal(0, 0.7, shape).astype(np.float32) for n, shape in shapes.items()}


def published(folder: Path, *, vocabulary: bool = True) -> Path:
    folder.mkdir()
    (folder / "elmo_2x_options.json").write_text(json.dumps(options()))
    if vocabulary:
        (folder / "vocab-2016.txt").write_text("\n".join(WORDS) + "\n")
    with h5py.File(folder / "elmo_2x_weights.hdf5", "w") as file:
        for name, value in arrays().items():
            file.create_dataset(name, data=value)
    return folder


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def word_vector(files: Arrays, word: str) -> Array:
    """bilm/model.py in numpy, over all 50 characters."""
    marks = {"<S>": [256], "</S>": [257]}
    row = [258, *marks.get(word, word.encode()), 259]
    embedded = files["char_embed"][row + [260] * (50 - len(row))]
    largest = []
    for i, (width, _) in enumerate(FILTERS):
        kernel = files[f"CNN/W_cnn_{i}"][0]
        sums = [np.tensordot(embedded[s : s + width], kernel, 2) for s in range(51 - width)]
        largest.append(np.max(sums, 0) + files[f"CNN/b_cnn_{i}"])
    x = np.maximum(np.concatenate(largest), 0)
    g = sigmoid(x @ files["CNN_high_0/W_carry"] + files["CNN_high_0/b_carry"])
    t = np.maximum(x @ files["CNN_high_0/W_transform"] + files["CNN_high_0/b_transform"], 0)
    x = g * t + (1 - g) * x
    return x @ files["CNN_proj/W_proj"] + files["CNN_proj/b_proj"]


def tensorflow_layers(files: Arrays, words: list[str]) -> list[Array]:
    """LSTMCell with gates i, j, f, o and forget bias 1, clipped, residual from layer 2 on."""
    vectors = np.stack([word_vector(files, word) for word in words])
    ways = []
    for way in range(2):
        rows = vectors if way == 0 else vectors[::-1]
        layers = [rows]
        for layer in range(2):
            cell = {
                k: files[f"RNN_{way}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/{k}"]
                for k in ("W_0", "B", "W_P_0")
            }
            c, m, states = np.zeros(CELLS), np.zeros(PROJECTION), []
            for x in rows:
                i, j, f, o = np.split(np.concatenate([x, m]) @ cell["W_0"] + cell["B"], 4)
                c = np.clip(sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j), -CLIP, CLIP)
                m = np.clip((sigmoid(o) * np.tanh(c)) @ cell["W_P_0"], -CLIP, CLIP)
                states.append(m)
            rows = np.stack(states) + (rows if layer else 0)
            layers.append(rows)
        ways.append(layers if way == 0 else [states[::-1] for states in layers])
    return [np.concatenate(pair, 1) for pair in zip(*ways, strict=True)]


def test_published_files_give_the_layers_of_tensorflow_s_equations(tmp_path: Path) -> None:
    """Words of the vocabulary and not, from the arrays as they lie in the file."""
    model, closed = read(published(tmp_path / "published"))
    tokenizer = OpenTokenizer(closed)
    text = ["the", "tiger", "sat", "."]
    ids = [0, *tokenizer.encode(" ".join(text)), 1]
    assert tokenizer.spelling is not None
    plain = Batch.of([ids])
    words = tokenizer.spelling.words(plain.input_ids.numpy())
    batch = Batch(**{**vars(plain), "words": words})
    expected = tensorflow_layers(arrays(), ["<S>", *text, "</S>"])
    for ours, theirs in zip(model.eval().all_layers(batch), expected, strict=True):
        np.testing.assert_allclose(ours.detach()[1:], theirs[1:], rtol=1e-4, atol=1e-5)


def test_files_that_are_read_and_written_are_the_same(tmp_path: Path) -> None:
    """Through a model folder and back, to the bit; the vocabulary too."""
    published(tmp_path / "published")
    convert(tmp_path / "published", tmp_path / "ours")
    export_published(tmp_path / "ours", tmp_path / "back", layout="bilm")
    with h5py.File(tmp_path / "back" / "weights.hdf5") as file:
        for name, value in arrays().items():
            np.testing.assert_array_equal(file[name][...], value)
    written = json.loads((tmp_path / "back" / "options.json").read_text())
    for section, wanted in options().items():
        assert isinstance(wanted, dict)
        assert {k: written[section][k] for k in wanted} == json.loads(json.dumps(wanted))
    assert (tmp_path / "back" / "vocab.txt").read_text().split() == WORDS


def test_without_a_vocabulary_all_words_are_read_by_their_characters(tmp_path: Path) -> None:
    copy = convert(published(tmp_path / "published", vocabulary=False), tmp_path / "ours")
    assert copy.tokenizer.vocab_size == 3
    assert len(set(OpenTokenizer(copy.tokenizer).encode("the cat"))) == 2
    assert load(tmp_path / "ours").architecture == "ForetextElmoModel"


def test_other_folders_are_not_taken_for_them(tmp_path: Path) -> None:
    assert not found(tmp_path)
    assert not found(tmp_path / "missing")


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("lstm", "use_skip_connections", False, "only True can"),
        ("char_cnn", "max_characters_per_token", 20, "only 50 can"),
        ("lstm", "projection_dim", CELLS, "without projection"),
        ("lstm", "dim", "many", "is not bilm-tf's options.json"),
        ("char_cnn", "embedding", 3, "is not bilm-tf's options.json"),
        ("lstm", "projection_dim", 4, "which options.json's sizes do not give"),
    ],
)
def test_options_that_cannot_be_read_are_said(
    tmp_path: Path, section: str, name: str, value: object, message: str
) -> None:
    folder = published(tmp_path / "published")
    changed = json.loads(json.dumps(options()))
    changed[section][name] = value
    (folder / "elmo_2x_options.json").write_text(json.dumps(changed))
    with pytest.raises((ConfigError, CheckpointError), match=message):
        read(folder)


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    folder = published(tmp_path / "published")
    path = folder / "elmo_2x_weights.hdf5"
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(CheckpointError, match="not a whole HDF5 file"):
        read(folder)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        del file["CNN_proj/b_proj"]
    with pytest.raises(CheckpointError, match="lacks CNN_proj/b_proj"):
        read(folder)


def test_another_family_s_files_are_refused(tmp_path: Path) -> None:
    published(tmp_path / "published")
    convert(tmp_path / "published", tmp_path / "ours")
    with pytest.raises(ConfigError, match="its own are bilm"):
        export_published(tmp_path / "ours", tmp_path / "back", layout="tensorflow")


def test_a_vocabulary_in_another_order_is_refused(tmp_path: Path) -> None:
    folder = published(tmp_path / "published")
    (folder / "vocab-2016.txt").write_text("the\ncat\n")
    with pytest.raises(ConfigError, match="begins with the, cat"):
        read(folder)
