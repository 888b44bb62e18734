"""What is measured: one row a set, with both sides' recipe and the floor the project has set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.tasks import files
from bench.tasks.files import (
    Files,
    by_article,
    halves,
    read_bare_rows,
    read_questions,
    read_rows,
    read_sentences,
    separate,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The same on both sides: AdamW with bias correction, linear warm-up, then linear decay."""

    learning_rate: float
    epochs: float = 1.0
    batch_size: int = 32  # examples; windows of a long text
    max_length: int = 128  # tokens
    warmup_rate: float = 0.1  # share of the steps
    weight_decay: float = 0.01  # of matrices
    clip_norm: float = 1.0
    precision: str = "bf16"  # autocast; or "fp32"


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a run has otherwise than its set says; None = as that."""

    train: int | None = None  # examples
    test: int | None = None
    calibrate: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    precision: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskSet:
    """A data set, how it is split and trained on, and what is asked of it."""

    name: str
    about: str
    kind: str  # of the reference: classification, similarity, choice, tagging, questions
    task: str  # foretext's name of the task or data set
    split: files.Split
    suffix: str  # of the files
    backbone: str = "encoder"  # what both sides begin with, of backbones.py
    recipe: Recipe
    metric: str  # the one that is compared, of score.py
    settings: Mapping[str, Any] = field(default_factory=dict)  # foretext's, for the files
    columns: Mapping[str, Any] = field(default_factory=dict)  # the reference's, likewise
    train: int | None = None  # examples; a part where all would take too long to repeat
    test: int | None = None
    calibrate: int | None = None
    sizes: Mapping[str, Size] = field(default_factory=dict)  # other runs, by name: short, whole
    floor: float | None = None  # of a run on everything, in points
    no_peer: str = ""  # why transformers does not run

    def sized(self, name: str) -> TaskSet:
        """The same as a run of another size; the usual one where the set has none of that name."""
        values = {k: v for k, v in asdict(self.sizes.get(name, Size())).items() if v is not None}
        counts = {k: values.pop(k) for k in ("train", "test", "calibrate") if k in values}
        if name == "whole":
            counts = {"train": None, "test": None, "calibrate": None}
        return replace(self, **counts, recipe=replace(self.recipe, **values))

    def prepared(self, data: Path) -> Files:
        """Its files, written into the cache."""
        counts = {"train": self.train, "test": self.test, "calibrate": self.calibrate}
        size = "-".join(str(n or "all") for n in counts.values())
        return files.prepared(f"{self.name}-{size}", self.split, self.suffix, data, counts)

    def values(self) -> dict[str, Any]:
        """What identifies a run besides its side and seed."""
        sizes = {"train": self.train, "test": self.test, "calibrate": self.calibrate}
        found = asdict(self.recipe) | sizes
        if (goal := self.settings.get("task.threshold_goal")) is not None:
            found["threshold"] = goal
        return {k: v for k, v in found.items() if (k, v) != ("precision", "fp32")}  # as of old


def _short(
    train: int, test: int | None = None, calibrate: int | None = None, **values: Any
) -> dict[str, Size]:
    """A run of minutes, in fp32."""
    counts = {"train": train, "test": test, "calibrate": calibrate}
    return {"short": Size(**counts, precision="fp32", **values)}


def _pair(first: str, second: str, label: str = "label") -> dict[str, Any]:
    return {"texts": (first, second), "label": label}


def _classification(name: str, columns: dict[str, Any], **values: Any) -> TaskSet:
    texts = dict(zip(("data.text", "data.text_pair"), columns["texts"], strict=False))
    settings = {"data.label": columns["label"], **texts}
    if not columns.get("header", True):
        settings["data.header"] = False
    usual: dict[str, Any] = {
        "kind": "classification",
        "task": "classification",
        "suffix": ".tsv",
        "metric": "accuracy",
    }
    return TaskSet(name=name, settings=settings, columns=columns, **usual | values)


_CLASSIFICATION = (
    _classification(
        "rte",
        _pair("sentence1", "sentence2"),
        about="RTE, dev",
        split=separate(read_rows, ["pairs/rte/train.tsv"], ["pairs/rte/dev.tsv"]),
        recipe=Recipe(learning_rate=1e-4, epochs=3.0),
        sizes=_short(1_000, epochs=1),
    ),
    _classification(
        "mrpc",
        _pair("#1 String", "#2 String", "Quality"),
        about="MRPC, val",
        split=separate(
            read_rows, ["pairs/mrpc/msr-para-train.tsv"], ["pairs/mrpc/msr-para-val.tsv"]
        ),
        recipe=Recipe(learning_rate=1e-4, epochs=3.0),
        metric="f1",
        floor=82,
        sizes=_short(1_500, epochs=1),
    ),
    _classification(
        "cola",
        {"texts": ("3",), "label": "1", "header": False},
        about="CoLA, both dev files",
        split=separate(
            read_bare_rows,
            ["sentence/cola/train.tsv"],
            ["sentence/cola/dev_in_domain.tsv", "sentence/cola/dev_out_of_domain.tsv"],
        ),
        recipe=Recipe(learning_rate=5e-5, epochs=5.0),
        metric="mcc",
        sizes=_short(6_000),
    ),
    _classification(
        "sst2",
        {"texts": ("sentence",), "label": "label"},
        about="SST-2, GLUE's dev set",
        split=separate(read_rows, ["sentence/sst2/train.tsv"], ["sentence/sst2/test.tsv"]),
        recipe=Recipe(learning_rate=1e-4),
        floor=88.8,
        sizes=_short(5_000),
    ),
    _classification(
        "qnli",
        _pair("question", "sentence"),
        about="QNLI, the dev set split in two",
        split=halves(read_rows, "pairs/qnli/dev.tsv"),
        recipe=Recipe(learning_rate=1e-4, epochs=2.0, batch_size=16),
        sizes=_short(2_400, 1_000),
    ),
)

_SQUAD20 = TaskSet(
    name="squad20",
    about="SQuAD 2.0's dev part: 10 articles to train, 2 for the threshold, 4 to test",
    kind="questions",
    task="squad2",
    split=by_article("qa/squad20_dev_part.json", test=4, calibrate=2),
    suffix=".json",
    recipe=Recipe(learning_rate=2e-4, epochs=2.0, batch_size=16, max_length=384),
    metric="f1",
    settings={"task.threshold_goal": "balanced"},
    columns={"rules": "2.0", "threshold": "balanced"},
    sizes=_short(1_000, 300, 200, epochs=1.0),
)

_WIDE_THRESHOLD = replace(
    _SQUAD20,
    name="squad20-wide-threshold",
    about="from the model of SQuAD 1.1, 8 articles to train and 4 for the threshold",
    backbone="squad11",
    split=by_article("qa/squad20_dev_part.json", test=4, calibrate=4),
    recipe=replace(_SQUAD20.recipe, learning_rate=1e-4),
)

_OTHERS = (
    TaskSet(
        name="stsb",
        about="STS-B, dev",
        kind="similarity",
        task="stsb",
        split=separate(
            read_bare_rows, ["pairs/stsb/stsb-en-train.csv"], ["pairs/stsb/stsb-en-dev.csv"]
        ),
        suffix=".csv",
        recipe=Recipe(learning_rate=2e-4, epochs=4.0),
        metric="spearman",
        columns={"texts": ("0", "1"), "label": "2", "header": False},
        floor=85,
        sizes=_short(3_000, epochs=2.0),
    ),
    TaskSet(
        name="storycloze",
        about="StoryCloze, val to test",
        kind="choice",
        task="storycloze",
        split=separate(
            read_rows,
            ["choice/storycloze/val_spring2016.csv"],
            ["choice/storycloze/test_spring2016.csv"],
        ),
        suffix=".csv",
        recipe=Recipe(learning_rate=1e-4, epochs=2.0, batch_size=16),
        metric="accuracy",
        columns={"format": "storycloze"},
        sizes=_short(1_500, 1_000, epochs=1.0),
    ),
    TaskSet(
        name="storycloze-gpt",
        about="StoryCloze GPT's way, val to test",
        kind="gpt-choice",
        task="storycloze",
        backbone="books-gpt",
        split=separate(
            read_rows,
            ["choice/storycloze/val_spring2016.csv"],
            ["choice/storycloze/test_spring2016.csv"],
        ),
        suffix=".csv",
        recipe=Recipe(
            learning_rate=5e-4, epochs=3.0, batch_size=16, max_length=256, precision="fp32"
        ),
        metric="accuracy",
        columns={"format": "storycloze"},
    ),
    TaskSet(
        name="openbookqa",
        about="OpenBookQA without its facts, test",
        kind="choice",
        task="openbookqa",
        split=separate(read_rows, ["choice/openbookqa/train.tsv"], ["choice/openbookqa/test.tsv"]),
        suffix=".tsv",
        recipe=Recipe(learning_rate=1e-4, epochs=2.0, batch_size=16),
        metric="accuracy",
        columns={"format": "openbookqa"},
        sizes=_short(1_500, epochs=1.0),
    ),
    TaskSet(
        name="conll2003",
        about="CoNLL-2003 entities, testb",
        kind="tagging",
        task="conll2003",
        split=separate(
            read_sentences, ["tagging/conll2003/eng.train"], ["tagging/conll2003/eng.testb"]
        ),
        suffix=".conll",
        recipe=Recipe(learning_rate=2e-4, batch_size=16),
        metric="f1",
        columns={"word": 0, "tag": 3, "iob": True},
        floor=83,
        sizes=_short(4_000),
    ),
    TaskSet(
        name="conll2000",
        about="CoNLL-2000 chunks, test",
        kind="tagging",
        task="conll2000",
        split=separate(
            read_sentences, ["tagging/conll2000/train.txt"], ["tagging/conll2000/test.txt"]
        ),
        suffix=".conll",
        recipe=Recipe(learning_rate=2e-4, batch_size=16),
        metric="f1",
        columns={"word": 0, "tag": 2, "iob": True},
        floor=92,
        sizes=_short(2_500),
    ),
    TaskSet(
        name="ud-pos",
        about="UD English EWT parts of speech, test",
        kind="tagging",
        task="ud-pos",
        split=separate(
            read_sentences,
            ["tagging/ud_en_ewt/en_ewt-ud-train.rebuilt.conllu"],
            ["tagging/ud_en_ewt/en_ewt-ud-test.conllu"],
        ),
        suffix=".conllu",
        recipe=Recipe(learning_rate=2e-4, batch_size=16, precision="fp32"),
        metric="accuracy",
        columns={"word": 1, "tag": 3, "separator": "\t"},
        train=3_000,
        sizes={"whole": Size()},
    ),
    TaskSet(
        name="squad11",
        about="SQuAD 1.1, train part and new_wiki to dev part",
        kind="questions",
        task="squad",
        split=separate(
            read_questions,
            ["qa/squad11_train_part.json", "qa/squad11_new_wiki.json"],
            ["qa/squad11_dev_part.json"],
        ),
        suffix=".json",
        recipe=Recipe(learning_rate=2e-4, batch_size=16, max_length=384),
        metric="f1",
        columns={"rules": "1.1"},
        floor=65,
        train=6_000,
        sizes={**_short(1_000, 300, batch_size=8), "whole": Size()},
    ),
    _SQUAD20,
    replace(
        _SQUAD20,
        name="squad20-after-squad11",
        about="the same from the model of SQuAD 1.1",
        backbone="squad11",
        recipe=replace(_SQUAD20.recipe, learning_rate=1e-4),
    ),
    _WIDE_THRESHOLD,
    replace(
        _WIDE_THRESHOLD,
        name="squad20-answerable-head",
        about="the same with a classifier of answerability",
        settings={**_WIDE_THRESHOLD.settings, "task.answerable_head": True},
        recipe=replace(_WIDE_THRESHOLD.recipe, epochs=5.0),
        no_peer="has no such head",
    ),
    TaskSet(
        name="korquad",
        about="KorQuAD 1.0's dev set, 100 articles to train, 40 to test",
        kind="questions",
        task="korquad",
        split=by_article("qa/KorQuAD_v1.0_dev.json", test=40),
        suffix=".json",
        backbone="ko-reviews-bert",
        recipe=Recipe(learning_rate=5e-4, epochs=2.0, batch_size=16, max_length=384),
        metric="f1",
        columns={"rules": "korquad"},
        train=1_500,
        test=500,
        sizes={**_short(1_500, 500), "whole": Size()},
    ),
)

SETS: tuple[TaskSet, ...] = (*_CLASSIFICATION, *_OTHERS)
