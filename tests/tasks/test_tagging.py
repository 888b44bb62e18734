"""Tagging: which tokens stand for words, windows, loss, predictions, and the folder it leaves."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from foretext.batch import IGNORE_INDEX
from foretext.cli import main
from foretext.data.faults import CorpusStats
from foretext.errors import ConfigError, DataError
from foretext.evaluation.labelled import evaluate, load_task, predict
from foretext.models import FAMILIES
from foretext.models.bert import Bert
from foretext.models.gpt import Gpt
from foretext.tasks.base import SampleTable, TaskModel, TaskObjective
from foretext.tasks.inputs import fit_to_tokens, layout_for, task_tokenizer
from foretext.tasks.tag_files import TaggingConfig, TaggingInput, read, resolve
from foretext.tasks.tag_units import TagExample, fill_characters, joined, label_tokens, windows
from foretext.tasks.tagging import Prediction, Tagging
from foretext.training.finetune import FinetuneOptions, finetune
from tests.tasks.built import assert_cuts_agree
from tests.tasks.tiny import FILLERS, MODELS, WORDS, model_of, tokenizer_of, trunk_folder

LABELS = ("O", "B-bad", "I-bad", "B-good", "I-good")
COLUMNS = TaggingInput(unit="word")
REAL = Path(__file__).parents[3] / "shared" / "data"


def sentence(drawn: random.Random, length: int = 9) -> list[tuple[str, str]]:
    """Words with tags: spans of one or two words of a kind, between others."""
    rows = []
    for _ in range(drawn.randint(1, length)):
        rows.append((drawn.choice(FILLERS), "O"))
        if drawn.random() < 0.4:
            kind = drawn.choice(sorted(WORDS))
            words = WORDS[kind][: drawn.randint(1, 2)]
            rows += [(w, f"{letter}-{kind}") for w, letter in zip(words, "BI", strict=False)]
    return rows


def some(count: int, seed: int, length: int = 4) -> list[TagExample]:
    drawn = random.Random(seed)
    found = []
    for _ in range(count):
        words, tags = zip(*sentence(drawn, length), strict=True)
        found.append(joined(words, tags, characters=False))
    return found


def tag_file(path: Path, count: int, seed: int) -> Path:
    drawn = random.Random(seed)
    blocks = ["".join(f"{w} {t}\n" for w, t in sentence(drawn)) for _ in range(count)]
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def task_of(model_type: str, **changes: Any) -> Tagging:
    left = MODELS[model_type][0] == "gpt"
    usual: dict[str, Any] = {
        "labels": LABELS,
        "scheme": "iob2",
        "blank": "O",
        "label_on": "last" if left else "first",
        "lm_weight": 0.5 if left else 0.0,
    }
    return Tagging(TaggingConfig(**(usual | changes)))


def made(
    model_type: str, examples: Sequence[TagExample], max_length: int = 40, **changes: Any
) -> tuple[TaskObjective, TaskModel, SampleTable]:
    """A tiny model with the task over some examples."""
    family = FAMILIES[MODELS[model_type][0]].Model
    plain = tokenizer_of(model_type)
    tokenizer = task_tokenizer(plain, family)
    trunk = model_of(model_type, plain.vocab_size)
    generator = torch.Generator().manual_seed(3)
    fit_to_tokens(trunk, plain, tokenizer, generator)
    task = task_of(model_type, **changes)
    model = TaskModel(trunk, task.head(trunk, generator))
    encoded = task.encode(examples, layout_for(family, tokenizer, max_length))
    table = SampleTable(sample for samples in encoded for sample in samples)
    return TaskObjective(task=task, max_length=max_length), model, table


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
    tokens: list[int], room: int, data: st.DataObject, look_left: bool
) -> None:
    stride = data.draw(st.integers(1, room))
    total = (tokens[-1] if tokens else 0) + data.draw(st.integers(1, 30))
    found = list(
        windows(np.array(tokens, np.int64), total, room=room, stride=stride, look_left=look_left)
    )
    owned = [token for window in found for token in tokens[window.owned]]
    assert owned == tokens
    begins = [*range(0, max(total - room, 0), stride), max(total - room, 0)]

    def context(token: int, begin: int) -> int:
        left = token - begin if begin else total
        right = begin + room - 1 - token if begin + room < total else total
        return left if look_left else min(left, right)

    for window in found:
        for token in tokens[window.owned]:
            holding = [b for b in begins if b <= token < b + room]
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
    family = FAMILIES[MODELS[model_type][0]].Model
    tokenizer = task_tokenizer(tokenizer_of(model_type), family)
    for example in examples:
        (samples,) = task.encode([example], layout_for(family, tokenizer, 12))
        one = SampleTable(samples).batch(np.arange(len(samples)))
        with torch.no_grad():
            outputs = task.outputs(model, layout_model(one), one)
        prediction = task.decode(example, outputs, [sample.origin for sample in samples])
        assert len(prediction.tags) == len(example.units)
        assert max(prediction.probabilities) < 1
        assert [tag for window in samples for tag in window.origin] == [*range(len(example.units))]


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "albert"])
def test_micro_batches_add_up_to_the_batch(model_type: str) -> None:
    """design.md: the same masks and a token-exact loss however the step is cut; dropout is on."""
    assert_cuts_agree(made(model_type, some(12, 5)), [1, 6, 7])


def test_the_loss_is_the_mean_over_words() -> None:
    objective, model, table = made("bert", some(5, 2))
    model.eval()
    batch = table.batch(np.arange(len(table)))
    with torch.no_grad():
        terms = objective.loss(model, batch, objective.counts(batch))
        logits = model.head.linear(model(batch))
        expected = F.cross_entropy(logits, batch.labels.long(), ignore_index=IGNORE_INDEX)
    assert float(terms["tagging"]) == pytest.approx(float(expected), abs=1e-6)


SHORT = {"training.steps": 2, "training.learning_rate": 1e-3, "data.max_length": 40}


@pytest.mark.parametrize("model_type", ["bert", "roberta", "albert", "electra", "gpt2"])
def test_the_folder_opens_in_transformers_with_equal_logits(
    tmp_path: Path, model_type: str
) -> None:
    """Their class for token classification, at every token; no two parts of the trunk alike."""
    transformers = pytest.importorskip("transformers")
    trunk = trunk_folder(tmp_path / "trunk", model_type, noise=0.3)
    train = tag_file(tmp_path / "train.conll", 20, 0)
    options = FinetuneOptions(settings=SHORT | {"training.head_learning_rate": 0.5})
    finetune(trunk, "tagging", train=train, out=tmp_path / "out", options=options)
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "out").eval()
    assert type(theirs).__name__.endswith("ForTokenClassification")
    assert theirs.config.id2label == dict(enumerate(LABELS))
    run = load_task(tmp_path / "out")
    for text in ("the great film", "it was quite awful awful in a story of the plot"):
        arranged = run.layout.arrange(run.layout.tokenizer.encode(text))
        (sample,) = run.task.encode(
            [joined(tuple(text.split()), None, characters=False)], run.layout
        )[0]
        batch = SampleTable([sample]).batch(np.array([0]))
        assert batch.input_ids.tolist() == arranged.ids
        with torch.no_grad():
            ours = run.model.head.linear(run.model(batch))
            other = theirs(input_ids=batch.input_ids[None]).logits[0]
        assert float(ours.abs().max()) > 0.5
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-4)


def test_the_pipeline_of_transformers_finds_the_same_entities(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    trunk = trunk_folder(tmp_path / "trunk", "bert", noise=0.3)
    train = tag_file(tmp_path / "train.conll", 20, 0)
    options = FinetuneOptions(settings=SHORT)
    finetune(trunk, "tagging", train=train, out=tmp_path / "out", options=options)
    text = "the great film was awful"
    theirs = transformers.pipeline(
        "token-classification", model=str(tmp_path / "out"), ignore_labels=[]
    )(text)
    (ours,) = predict(tmp_path / "out", [text])
    first = [token for token in theirs if token["start"] in (0, 4, 10, 15, 19)]
    assert [token["entity"] for token in first] == list(ours.tags)
    assert [token["score"] for token in first] == pytest.approx(list(ours.probabilities), abs=1e-4)


@pytest.mark.parametrize(
    ("model_type", "scheme_out"), [("bert", "iob2"), ("gpt2", "iob2"), ("bert", "bioes")]
)
def test_it_learns_entities(tmp_path: Path, model_type: str, scheme_out: str) -> None:
    """From random weights, so that the whole path must work: targets, updates, scores."""
    trunk = trunk_folder(tmp_path / "trunk", model_type, num_layers=1)
    dev = tag_file(tmp_path / "dev.conll", 60, 9)
    settings = {
        "training.learning_rate": 1e-2,
        "training.batch_size": 16,
        "finetune.epochs": 5,
        "task.scheme_out": scheme_out,
    }
    result = finetune(
        trunk,
        "tagging",
        train=tag_file(tmp_path / "train.conll", 150, 0),
        dev=dev,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    # E and S differ in the word that follows, which takes more than these few steps to learn.
    assert result.best.metrics["f1"] > (0.95 if scheme_out == "iob2" else 0.5)
    assert result.degenerate == ()
    assert evaluate(tmp_path / "out", dev) == pytest.approx(result.best.metrics)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with large random weights, fine-tuned for two steps."""
    folder = tmp_path_factory.mktemp("tagging")
    trunk = trunk_folder(folder / "trunk", "bert", noise=0.3)
    train = tag_file(folder / "train.conll", 20, 0)
    options = FinetuneOptions(settings=SHORT)
    finetune(trunk, "tagging", train=train, out=folder / "run", options=options)
    tag_file(folder / "test.conll", 30, 5)
    return folder


def test_predictions_cover_every_word_in_order(trained: Path) -> None:
    texts = ["the  great\tfilm", "x", "it " * 100, "\u200b\u00ad it \x07 was"]
    found = list(predict(trained / "run", texts))
    for text, prediction in zip(texts, found, strict=True):
        assert list(prediction.tokens) == text.split()
        assert prediction.line.split() == list(prediction.tags)
        for entity in prediction.entities:
            assert text[entity.start : entity.end] == entity.text
            assert text[: entity.start].split() == list(prediction.tokens[: entity.first])
            assert entity.text.split() == list(prediction.tokens[entity.first : entity.stop])
            shares = prediction.probabilities[entity.first : entity.stop]
            assert entity.probability == pytest.approx(float(np.prod(shares)))
    alone = [next(predict(trained / "run", [text])) for text in texts]
    assert [one.tags for one in alone] == [one.tags for one in found]


def test_plain_tags_are_kept_by_the_folder(tmp_path: Path) -> None:
    """Parts of speech: what is read back from run.toml is what was trained."""
    trunk = trunk_folder(tmp_path / "trunk", "bert", num_layers=1)
    rows = [("the", "DET"), ("film", "NOUN"), ("was", "VERB"), ("a", "DET"), ("story", "NOUN")]
    train = written(tmp_path / "t.conll", "".join(f"{w} {t}\n" for w, t in rows) * 8)
    settings = SHORT | {"training.steps": 40, "training.learning_rate": 1e-2}
    result = finetune(
        trunk,
        "tagging",
        train=train,
        dev=train,
        out=tmp_path / "out",
        options=FinetuneOptions(settings=settings),
    )
    assert result.metric == "accuracy"
    assert result.best.metrics == {"accuracy": 1.0}
    assert evaluate(tmp_path / "out", train) == {"accuracy": 1.0}
    (found,) = predict(tmp_path / "out", ["a film \x07"])
    assert found.tags == ("DET", "NOUN", load_task(tmp_path / "out").task.config.blank)
    assert found.entities == ()


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("stride", [None, 1, 9])
def test_right_outputs_decode_to_the_gold_tags(model_type: str, stride: int | None) -> None:
    """Whatever the tokenizer and the windows: nothing is lost between words and tokens."""
    family = FAMILIES[MODELS[model_type][0]].Model
    layout = layout_for(family, task_tokenizer(tokenizer_of(model_type), family), 11)
    task = task_of(model_type, stride=stride)
    examples = some(20, 4, length=9)
    for example, samples in zip(examples, task.encode(examples, layout), strict=True):
        targets = [sample.target[sample.target != IGNORE_INDEX] for sample in samples]
        outputs = [np.stack([t, np.ones_like(t)], 1).astype(float) for t in targets]
        prediction = task.decode(example, outputs, [sample.origin for sample in samples])
        assert prediction.tags == example.tags


def test_a_word_without_tokens_gets_the_blank_tag(trained: Path) -> None:
    run = load_task(trained / "run")
    assert run.layout.tokenizer.encode("\x07") == []
    (prediction,) = predict(run, ["\x07"])
    assert prediction == Prediction(("\x07",), ("O",), (1.0,), ())


def test_evaluate_and_predict_on_the_command_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> list[str]:
        assert main([*arguments, "--quiet"]) == 0
        return capsys.readouterr().out.splitlines()

    run, test = str(trained / "run"), str(trained / "test.conll")
    measured = json.loads(said("evaluate", run, "--data", test, "--json")[0])
    expected = evaluate(trained / "run", test)
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    record = json.loads(said("predict", run, "--text", "the great film", "--json")[0])
    assert record["tokens"] == ["the", "great", "film"]
    assert len(record["tags"]) == len(record["probabilities"]) == 3
    lines = [line.split() for line in said("predict", run, test)]
    blocks = Path(test).read_text(encoding="utf-8").strip("\n").split("\n\n")
    assert [len(line) for line in lines] == [len(block.splitlines()) for block in blocks]


def test_a_txt_file_is_read_as_what_it_holds(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CoNLL columns, with tags or without, or a sentence a line: the same answers."""
    content = (trained / "test.conll").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in content.strip("\n").split("\n\n")]
    words = [[line.split()[0] for line in block] for block in blocks]
    bare = "\n\n".join("\n".join(block) for block in words) + "\n"
    sentences = "".join(" ".join(block) + "\n" for block in words)
    for path in (
        trained / "test.conll",
        written(tmp_path / "tagged.txt", content),
        written(tmp_path / "bare.txt", bare),
        written(tmp_path / "sentences.txt", sentences),
    ):
        assert main(["predict", str(trained / "run"), str(path), "--quiet"]) == 0
        found = capsys.readouterr().out
        if path.suffix == ".conll":
            expected = found
            assert len(set(expected.splitlines())) > 10
        assert found == expected, path.name


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
    settings = {"training.learning_rate": 1e-2, "finetune.epochs": 10, "training.batch_size": 8}
    result = finetune(
        trunk_folder(tmp_path / "trunk", "bert", num_layers=1),
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


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "scheme", "labels"),
    [
        ("a I-X\nb B-X\nc O\n", "iob1", ("O", "B-X", "I-X")),
        ("a S-Y\nb O\nc B-X\nd E-X\n", "bioes", ("O", "B-X", "I-X", "B-Y", "I-Y")),
        ("a X-B\nb X-I\nc O\n", "iob2-suffix", ("O", "B-X", "I-X")),
        ("a NN\nb DT\nc NN\n", "plain", ("DT", "NN")),
    ],
)
def test_scheme_and_labels_are_found_in_the_training_file(
    tmp_path: Path, content: str, scheme: str, labels: tuple[str, ...]
) -> None:
    path = written(tmp_path / "t.conll", content)
    config = resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")
    assert (config.scheme, config.labels) == (scheme, labels)
    assert config.blank == ("NN" if scheme == "plain" else "O")
    assert (config.label_on, config.lm_weight) == ("first", 0.0)
    left = resolve(TaggingConfig(), COLUMNS, path, Gpt, "stop")
    assert (left.label_on, left.lm_weight) == ("last", 0.5)
    (example,) = read(path, config, COLUMNS)
    if scheme == "iob1":
        assert example.tags == ("B-X", "B-X", "O")


def test_the_scheme_of_training_can_be_bioes(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "a I-X\nb I-X\nc B-X\nd O\n")
    config = resolve(TaggingConfig(scheme_out="bioes"), COLUMNS, path, Bert, "stop")
    assert config.labels == ("O", "B-X", "I-X", "E-X", "S-X")
    (example,) = read(path, config, COLUMNS)
    assert example.tags == ("B-X", "E-X", "S-X", "O")


IOB2 = TaggingConfig(labels=("O", "B-X", "I-X"), scheme="iob2", blank="O")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb I-X\n", r"t\.conll:2: 'I-X' cannot follow 'O' in IOB2.*task\.scheme.*conlleval"),
        ("a O\n\nb S-X\n", r"t\.conll:3: 'S-X' is no tag of IOB2 \(B-X, I-X, O\)"),
        ("a O\nb B-Z\n", r"t\.conll:2: the tag 'B-Z' is not among 'O', 'B-X', 'I-X'"),
    ],
)
def test_tags_at_fault_are_named_with_their_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = written(tmp_path / "t.conll", content)
    with pytest.raises(DataError, match=message) as caught:
        list(read(path, IOB2, COLUMNS))
    assert "\n" not in str(caught.value)


def test_sentences_at_fault_are_skipped_or_read_as_conlleval_does(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "a O\nb I-X\n\nc B-X\n\nd S-X\n")
    stats = CorpusStats()
    found = list(read(path, IOB2, COLUMNS, on_error="skip", stats=stats))
    assert [example.units for example in found] == [("c",)]
    assert dict(stats.skips) == {"tag scheme": 2}
    stats = CorpusStats()
    found = list(read(path, IOB2, COLUMNS, on_error="replace", stats=stats))
    assert [example.tags for example in found] == [("O", "B-X"), ("B-X",)]
    assert (dict(stats.replacements), dict(stats.skips)) == ({"tag scheme": 1}, {"tag scheme": 1})
    only = written(tmp_path / "o.conll", "d S-X\n")
    with pytest.raises(DataError, match="every sentence was skipped"):
        list(read(only, IOB2, COLUMNS, on_error="skip"))


def test_texts_that_are_none_are_refused(trained: Path) -> None:
    with pytest.raises(DataError, match="text 2: there is no text"):
        list(predict(trained / "run", ["it", " "]))
    with pytest.raises(DataError, match="text 1: 2 texts where the model reads 1"):
        list(predict(trained / "run", [("it", "was")]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ("a", "a")}, "names a label twice"),
        ({"scheme": "iob3"}, r"task\.scheme='iob3' is none; choose one of 'iob1'"),
        ({"scheme_out": "iob1"}, r"task\.scheme_out='iob1' is none"),
        ({"label_on": "middle"}, r"task\.label_on='middle'"),
        ({"stride": 0}, r"task\.stride=0 must be at least 1"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"lm_weight": -1.0}, "must not be negative"),
    ],
)
def test_configs_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TaggingConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "unit", "error", "message"),
    [
        ({"labels": ("O", "X")}, "word", ConfigError, "has 'X', which is no tag of iob2"),
        ({"labels": ("B-X", "I-X")}, "word", ConfigError, "lacks 'O'"),
        ({"scheme_out": "bioes"}, "character", ConfigError, "cannot tag characters"),
        ({"lm_weight": 0.5}, "word", ConfigError, "reads left to right"),
    ],
)
def test_settings_that_do_not_fit_the_training_file_are_refused(
    tmp_path: Path, settings: dict[str, Any], unit: str, error: type[Exception], message: str
) -> None:
    path = written(tmp_path / "t.conll", "a B-X\nb I-X\nc O\n")
    with pytest.raises(error, match=message):
        resolve(TaggingConfig(**settings), TaggingInput(unit=unit), path, Bert, "stop")


def test_a_file_with_a_single_tag_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.conll", "a O\nb O\n")
    with pytest.raises(DataError, match=r"t\.conll: every word has the tag 'O'"):
        resolve(TaggingConfig(), COLUMNS, path, Bert, "stop")


@pytest.mark.parametrize(
    ("data_set", "name"),
    [
        ("conll2003", "tagging/conll2003/eng.testb"),
        ("conll2000", "tagging/conll2000/test.txt"),
        ("ud-pos", "tagging/ud_en_ewt/en_ewt-ud-test.conllu"),
        ("klue-ner", "korean/klue/klue-ner-v1.1_dev.tsv"),
        ("naver-ner", "korean/naver_ner/all.tsv"),
    ],
)
def test_gold_against_gold_is_perfect_on_real_files(data_set: str, name: str) -> None:
    """Through the settings of the data set; every unit has a token of its own or a neighbour's."""
    from foretext.tasks.datasets import task_of as data_set_of

    path = REAL / name
    if not path.is_file():
        pytest.skip("the sample data are not here")
    _, settings = data_set_of(data_set)
    fields = {key.partition(".")[2]: value for key, value in settings.items()}
    columns = TaggingInput(
        **{key: fields[key] for key in ("format", "unit", "label") if key in fields}
    )
    columns = columns.resolved(path)
    mend = "replace" if data_set == "naver-ner" else "stop"
    config = resolve(TaggingConfig(scheme=fields.get("scheme")), columns, path, Bert, mend)
    task = Tagging(config)
    meter = task.meter()
    for example in itertools.islice(read(path, config, columns, on_error=mend), 1000):
        assert example.tags is not None
        shares = (1.0,) * len(example.tags)
        meter.add(example, Prediction(example.units, example.tags, shares, ()))
    assert set(meter.result().values()) == {1.0}
    assert task.metric in meter.result()
