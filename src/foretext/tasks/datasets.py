"""Data sets by name: a task and the settings that its files need, a few declarative lines each.

`foretext finetune RUN mrpc --train ...` is the task below with these settings beneath the user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest
from foretext.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """How the files of a published data set are read and measured."""

    task: str
    about: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # path -> value


_NLI = ("contradiction", "entailment", "neutral")  # so that a `-`, no label, is a fault
_YES_OR_NO = ("0", "1")
_PAIR = {"data.text": "sentence1", "data.text_pair": "sentence2"}
_TWO_WAY = {"task.labels": ("entailment", "not_entailment"), "data.label": "label"}
_GOLD = {"data.label": "gold_label", "task.labels": _NLI, "data.format": "tsv"}


_UPOS = (  # of Universal Dependencies 2
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
)


def _classes(about: str, settings: Mapping[str, Any]) -> Dataset:
    return Dataset(task="classification", about=about, settings=settings)


DATASETS: dict[str, Dataset] = {
    "cola": _classes(
        "acceptable or not, CoLA's own columns",
        {
            "data.header": False,
            "data.text": "3",
            "data.label": "1",
            "task.labels": _YES_OR_NO,
            "finetune.metric": "mcc",
        },
    ),
    "sst2": _classes(
        "film reviews, GLUE's columns",
        {"data.text": "sentence", "data.label": "label", "task.labels": _YES_OR_NO},
    ),
    "mrpc": _classes(
        "paraphrases, the columns of the original",
        {
            "data.text": "#1 String",
            "data.text_pair": "#2 String",
            "data.label": "Quality",
            "task.labels": _YES_OR_NO,
            "data.format": "tsv",
            "finetune.metric": "f1",
        },
    ),
    "qqp": _classes(
        "questions that ask the same, GLUE's columns",
        {
            "data.text": "question1",
            "data.text_pair": "question2",
            "data.label": "is_duplicate",
            "task.labels": _YES_OR_NO,
            "finetune.metric": "f1",
        },
    ),
    "rte": _classes("does one text follow from the other, GLUE's columns", _PAIR | _TWO_WAY),
    "qnli": _classes(
        "does the sentence answer the question, GLUE's columns",
        {"data.text": "question", "data.text_pair": "sentence"} | _TWO_WAY,
    ),
    "wnli": _classes(
        "does a pronoun mean this, GLUE's columns",
        _PAIR | {"data.label": "label", "task.labels": _YES_OR_NO},
    ),
    "mnli": _classes("three-way inference, GLUE's columns", _PAIR | _GOLD),
    "snli": _classes("three-way inference, the columns of the original", _PAIR | _GOLD),
    "nsmc": _classes(
        "Korean film reviews, ratings_train.txt",
        {
            "data.text": "document",
            "data.label": "label",
            "task.labels": _YES_OR_NO,
            "data.format": "tsv",
        },
    ),
    "kornli": _classes("three-way inference in Korean, KorNLI and XNLI", _PAIR | _GOLD),
    "klue-nli": _classes(
        "three-way inference in Korean, KLUE's JSON",
        {
            "data.text": "premise",
            "data.text_pair": "hypothesis",
            "data.label": "gold_label",
            "task.labels": _NLI,
        },
    ),
    "klue-ynat": _classes(
        "topics of Korean headlines, KLUE's JSON",
        {"data.text": "title", "data.label": "label"},
    ),
    "stsb": Dataset(
        task="similarity",
        about="0 to 5, sentence1, sentence2 and score in .csv without a header",
        settings={
            "data.header": False,
            "data.text": "0",
            "data.text_pair": "1",
            "data.label": "2",
        },
    ),
    "korsts": Dataset(
        task="similarity",
        about="0 to 5 in Korean",
        settings=_PAIR | {"data.label": "score"},
    ),
    "klue-sts": Dataset(
        task="similarity",
        about="0 to 5 in Korean, KLUE's JSON",
        settings=_PAIR | {"data.label": "labels.real-label"},
    ),
    "swag": Dataset(
        task="multiple-choice",
        about="which sentence comes next, a column each",
        settings={
            "data.context": ("sent1",),
            "data.prefix": "sent2",
            "data.candidates": ("ending0", "ending1", "ending2", "ending3"),
        },
    ),
    "race": Dataset(
        task="multiple-choice",
        about="school examinations, its folders of .txt or a question a line of .jsonl",
        settings={
            "data.context": ("article",),
            "data.prefix": "question",  # behind the article it would be the first to be cut
            "data.blank": "_",
            "data.candidates": ("options",),
            "data.label": "answer",
            "data.label_kind": "letter",
            "data.max_length": 512,
        },
    ),
    "storycloze": Dataset(
        task="multiple-choice",
        about="the right ending of a story",
        settings={
            "data.context": tuple(f"InputSentence{i}" for i in range(1, 5)),
            "data.candidates": ("RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2"),
            "data.label": "AnswerRightEnding",
            "data.label_kind": "from-1",
        },
    ),
    "openbookqa": Dataset(
        task="multiple-choice",
        about="questions of elementary science",
        settings={
            "data.context": ("Question Stem",),
            "data.candidates": ("Choices",),
            "data.label": "Answer Key",
            "data.label_kind": "letter",
        },
    ),
    "piqa": Dataset(
        task="multiple-choice",
        about="how a thing is done: goal, sol1, sol2 and label in .jsonl",
        settings={"data.context": ("goal",), "data.candidates": ("sol1", "sol2")},
    ),
    "squad": Dataset(task="question-answering", about="SQuAD 1.1's JSON"),
    "squad2": Dataset(
        task="question-answering",
        about="SQuAD 2.0's JSON, with questions that have no answer",
        settings={"training.batch_size": 48, "finetune.epochs": 2.0},
    ),
    "korquad": Dataset(
        task="question-answering",
        about="KorQuAD 1.0's JSON, F1 over characters",
        settings={"task.metric": "korquad"},
    ),
    "korquad2": Dataset(
        task="question-answering",
        about="KorQuAD 2.0's JSON, contexts with their HTML, F1 over characters",
        settings={"task.metric": "korquad", "data.max_length": 512, "task.max_answer_length": 300},
    ),
    "klue-mrc": Dataset(
        task="question-answering",
        about="KLUE's JSON, with questions that have no answer, F1 over characters",
        settings={"task.metric": "korquad", "data.max_length": 512},
    ),
    "conll2003": Dataset(
        task="tagging",
        about="named entities in the last of four columns, IOB1 or IOB2",
        settings={"data.format": "columns", "data.unit": "word", "data.label": "3"},
    ),
    "conll2000": Dataset(
        task="tagging",
        about="chunks in the last of three columns",
        settings={"data.format": "columns", "data.unit": "word", "data.label": "2"},
    ),
    "ud-pos": Dataset(
        task="tagging",
        about="universal parts of speech in CoNLL-U",
        settings={
            "data.format": "conllu",
            "data.unit": "word",
            "data.label": "upos",
            "task.scheme": "plain",
            "task.labels": tuple(_UPOS.split()),
        },
    ),
    "klue-ner": Dataset(
        task="tagging",
        about="Korean entities by characters, macro F1 over types",
        settings={
            "data.format": "columns",
            "data.unit": "character",
            "task.scheme": "iob2",
            "finetune.metric": "macro_f1",
        },
    ),
    "naver-ner": Dataset(
        task="tagging",
        about="Korean entities, lines of words and of tags such as PER-B",
        settings={"data.format": "lines", "data.unit": "word", "task.scheme": "iob2-suffix"},
    ),
}


def task_of(name: str) -> tuple[str, Mapping[str, Any]]:
    """The task that a name means, and the settings that come with it.

    Args:
        name: of a task or of a data set.

    Raises:
        ConfigError: there is neither.
    """
    if name in TASKS:
        return name, {}
    if name in DATASETS:
        return DATASETS[name].task, DATASETS[name].settings
    raise ConfigError(
        f"there is no task {name!r}; did you mean {nearest(name, [*TASKS, *DATASETS])}? "
        "`foretext tasks` lists them"
    )
