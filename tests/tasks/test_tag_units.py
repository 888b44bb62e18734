"""Tagging: which tokens stand for words, windows, characters, and what is measured of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foretext.core.batch import IGNORE_INDEX
from foretext.evaluation.labelled import predict
from foretext.models import FAMILIES
from foretext.runs.finetune import FinetuneOptions, finetune
from foretext.tasks.base import SampleTable
from foretext.tasks.inputs import input_format_for, task_tokenizer
from foretext.tasks.tag_units import (
    TagExample,
    fill_characters,
    fill_words,
    joined,
    label_tokens,
    split_text,
    windows,
    words_of,
    writes_words,
)
from foretext.tasks.tagging import Prediction
from tests.tasks.tagged import made, some, task_of
from tests.tasks.tiny import FILLERS, MODELS, backbone_folder, tokenizer_of


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("model_type", MODELS)
def test_a_word_is_labelled_on_its_first_or_last_token(model_type: str, last: bool) -> None:
    """Devlin et al. 2019, section 5.3. The tokens before a word are those of the text before it."""
    tokenizer = tokenizer_of(model_type)
    words = ("the", "storyplot", "of", "lovelyawful", "was", "quitegreat", "in", "x")
    example = joined(words, None, characters=False)
    ids, starts = tokenizer.encode_offsets([example.text])[0]
    ends = [len(tokenizer.encode(" ".join(words[: n + 1]))) for n in range(len(words))]
    assert ids.tolist() == tokenizer.encode(" ".join(words))
    assert ends[-1] > len(words)
    units, tokens = label_tokens(example, starts, last=last)
    expected = [end - 1 for end in ends] if last else [0, *ends[:-1]]
    # A byte-level space alone stands between words; a Unigram's is placed on the word after it.
    expected = [at + (tokenizer.token(ids[at]) == "Ġ") for at in expected]
    assert units.tolist() == list(range(len(words)))
    assert tokens.tolist() == expected


def test_the_layout_moves_the_targets_behind_its_first_token() -> None:
    examples = [joined(("great", "it"), ("B-good", "O"), characters=False)]
    for model_type in ("bert", "gpt2"):
        _, _, table = made(model_type, examples)
        batch = table.batch(np.array([0]))
        kept = batch.labels.ne(IGNORE_INDEX)
        assert batch.labels[kept].tolist() == [3, 0]
        assert not batch.special_mask[kept].any()
        assert batch.labels.shape == batch.input_ids.shape


@given(
    st.lists(st.integers(0, 60), unique=True).map(sorted),
    st.integers(1, 20),
    st.data(),
    st.booleans(),
)
def test_windows_own_every_labelled_token_once(
    tokens: list[int], max_tokens: int, data: st.DataObject, look_left: bool
) -> None:
    stride = data.draw(st.integers(1, max_tokens))
    total = (tokens[-1] if tokens else 0) + data.draw(st.integers(1, 30))
    found = list(
        windows(
            np.array(tokens, np.int64),
            total,
            max_tokens=max_tokens,
            stride=stride,
            look_left=look_left,
        )
    )
    owned = [token for window in found for token in tokens[window.owned]]
    assert owned == tokens
    begins = [*range(0, max(total - max_tokens, 0), stride), max(total - max_tokens, 0)]

    def context(token: int, begin: int) -> int:
        left = token - begin if begin else total
        right = begin + max_tokens - 1 - token if begin + max_tokens < total else total
        return left if look_left else min(left, right)

    for window in found:
        for token in tokens[window.owned]:
            holding = [b for b in begins if b <= token < b + max_tokens]
            assert window.begin in holding
            best = max(context(token, begin) for begin in holding)
            assert context(token, window.begin) == best


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_a_long_sentence_loses_nothing(model_type: str) -> None:
    """Every word has one target and one prediction, whatever the windows."""
    examples = some(4, 1, length=60)
    whole = sum(len(example.units) for example in examples)
    objective, model, table = made(model_type, examples, max_length=12)
    batch = table.batch(np.arange(len(table)))
    assert int(objective.counts(batch)["tagging"]) == whole
    assert int(batch.offsets.diff().max()) == 12
    task, layout_model = objective.task, model.eval()
    family = FAMILIES[MODELS[model_type][0]].model
    tokenizer = task_tokenizer(tokenizer_of(model_type), family)
    for example in examples:
        (samples,) = task.encode([example], input_format_for(family, tokenizer, 12))
        one = SampleTable(samples).batch(np.arange(len(samples)))
        with torch.no_grad():
            outputs = task.outputs(model, layout_model(one), one)
        prediction = task.decode(example, outputs, [sample.origin for sample in samples])
        assert len(prediction.tags) == len(example.units)
        assert max(prediction.probabilities) < 1
        assert [tag for window in samples for tag in window.origin] == [*range(len(example.units))]


def tagged(gold: str, found: str, characters: str | None = None) -> tuple[TagExample, Prediction]:
    tags, answer = tuple(gold.split()), tuple(found.split())
    units = tuple(characters or "x" * len(tags))
    example = joined(units, tags, characters=characters is not None)
    return example, Prediction(units, answer, (1.0,) * len(tags), ())


def test_the_meter_adds_up_what_it_measures() -> None:
    meter = task_of("bert").meter()
    cases = [
        tagged("B-bad I-bad O B-good", "B-bad I-bad O I-good"),
        tagged("O O B-bad", "B-good O B-bad"),
        tagged("O", "O"),
    ]
    for example, prediction in cases:
        meter.add(example, prediction)
    records = np.array([meter.record(*case) for case in cases])
    assert meter.measure(records) == pytest.approx(meter.result())
    assert meter.result()["f1"] == pytest.approx(2 * 3 / (4 + 3))
    assert meter.by_type()["bad"] == {"precision": 1, "recall": 1, "f1": 1, "support": 2}
    assert meter.baseline() == {
        "precision": 0, "recall": 0, "f1": 0, "macro_f1": 0, "accuracy": 4 / 8,
    }  # fmt: skip


def test_plain_tags_are_measured_by_accuracy() -> None:
    task = task_of("bert", labels=("DET", "NOUN"), scheme="plain", blank="NOUN")
    meter = task.meter()
    meter.add(*tagged("DET NOUN NOUN NOUN", "DET DET NOUN NOUN"))
    assert task.metric == "accuracy"
    assert meter.result() == {"accuracy": 0.75}
    assert meter.baseline() == {"accuracy": 0.75}


def test_white_space_between_characters_is_not_measured() -> None:
    """KLUE's baseline scores the characters of words alone."""
    meter = task_of("bert").meter()
    meter.add(*tagged("B-bad I-bad I-bad O", "B-bad O I-bad O", characters="a b."))
    assert meter.result()["f1"] == 1
    assert meter.result()["accuracy"] == 1


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("경찰은", "B-X _ O", "B-X I-X O"),  # a token of two characters
        ("경찰은", "O _ _", "O O O"),
        ("김 씨", "B-X _ I-X", "B-X I-X I-X"),  # an entity of two words
        ("김 씨", "B-X _ B-X", "B-X O B-X"),
        ("김 씨", "B-X _ I-Y", "B-X O I-Y"),
        ("김  씨", "B-X _ _ I-X", "B-X I-X I-X I-X"),
        ("김 ", "B-X _", "B-X O"),
        (" 김", "_ B-X", "O B-X"),
    ],
)
def test_characters_inside_a_token_go_on_with_its_tag(text: str, tags: str, expected: str) -> None:
    known = [None if tag == "_" else tag for tag in tags.split()]
    assert fill_characters(text, known, plain=False) == expected.split()


def test_plain_tags_go_on_over_characters() -> None:
    assert fill_characters("a b", [None, None, "N"], plain=True) == ["N", "N", "N"]


def test_characters_are_tagged_end_to_end(tmp_path: Path) -> None:
    """{"text", "entities"}: predictions are exact spans of characters, spaces included."""
    drawn = random.Random(0)
    records = []
    for _ in range(60):
        words = [drawn.choice(FILLERS) for _ in range(4)] + ["lovely"]
        drawn.shuffle(words)
        text = "  ".join(words)
        start = text.index("lovely")
        entity = {"start": start, "end": start + 6, "label": "good"}
        records.append(json.dumps({"text": text, "entities": [entity]}))
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(records), encoding="utf-8")
    settings: dict[str, Any] = {
        "training.learning_rate": 1e-2,
        "finetune.epochs": 10,
        "training.batch_size": 8,
        "data.unit": "character",
    }
    result = finetune(
        backbone_folder(tmp_path / "backbone", "bert", num_layers=1),
        "tagging",
        train=path,
        dev=path,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    assert result.recipe.data.unit == "character"
    assert result.best.metrics["f1"] == 1
    (found,) = predict(tmp_path / "out", ["the lovely  film"])
    assert "".join(found.tokens) == "the lovely  film"
    assert [(e.start, e.end, e.text) for e in found.entities] == [(4, 10, "lovely")]


def test_words_and_each_sign_of_a_text_are_units_of_their_own() -> None:
    """Vowel signs and accents belong to their letters."""
    text = "Paris-based O'Neil, \u0939\u093f\u0928\u094d\u0926\u0940 10%"
    expected = ["Paris", "-", "based", "O", "'", "Neil", ",", text[20:26], "10", "%"]
    found = split_text(text, "word", "punctuation")
    assert list(found.units) == expected
    assert all(
        text[start : start + len(unit)] == unit
        for start, unit in zip(found.starts, found.units, strict=True)
    )


def test_spans_of_characters_become_spans_of_words() -> None:
    text = "Ann Bergman met Bo."
    tags = ["B-P", *["I-P"] * 7, *["O"] * 8, "B-P", "I-P", "O"]  # "Ann Berg" and "Bo"
    notes = Counter[str]()
    found = words_of(text, tags, "iob2", "punctuation", notes)
    assert found.units == ("Ann", "Bergman", "met", "Bo", ".")
    assert found.tags == ("B-P", "I-P", "O", "B-P", "O")
    assert +notes == {"entities ended inside a word, which was taken whole": 1}


def test_a_sign_that_shares_its_neighbours_token_goes_on_with_its_tag() -> None:
    example = split_text("O'Neil ran \u200b", "word", "punctuation")
    found = fill_words(example, ["B-P", None, "I-P", "O", None], "O")
    assert found == ["B-P", "I-P", "I-P", "O", "O"]
    assert fill_words(example, ["O", None, "O", "O", None], "X") == ["O", "X", "O", "O", "X"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann Berg met Bo in Oslo", True),
        ("\u041c\u043e\u0441\u043a\u0432\u0430", True),
        ("\uae40\ucca0\uc218\ub294 \uc11c\uc6b8\uc5d0\uc11c \uc0b0\ub2e4", False),
        ("\u738b\u5c0f\u660e\u5728\u5317\u4eac", False),
        ("\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e", False),
    ],
)
def test_scripts_that_separate_words_are_tagged_by_words(text: str, words: bool) -> None:
    assert writes_words(text) is words
