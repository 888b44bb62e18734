"""Baselines of each task, measured by the task's own metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from foretext.evaluation.baselines import BASELINES, fitted, measured
from foretext.labelled.squad import Answer, Question
from foretext.tasks import TASKS
from foretext.tasks.choices import ChoiceExample
from foretext.tasks.classification import Classification, ClassificationConfig
from foretext.tasks.columns import TextExample
from foretext.tasks.multiple_choice import MultipleChoice, MultipleChoiceConfig
from foretext.tasks.question_answering import QuestionAnswering, QuestionAnsweringConfig
from foretext.tasks.similarity import Similarity, SimilarityConfig
from foretext.tasks.tag_files import TaggingConfig
from foretext.tasks.tag_units import TagExample
from foretext.tasks.tagging import Tagging
from tests.tasks.tiny import pairs, sentences


def scores(name: str, task: Any, train: list[Any], test: list[Any]) -> dict[str, dict[str, float]]:
    return {
        baseline: measured(task, answer, test)
        for baseline, answer in fitted(name, task, train).items()
    }


def test_every_task_that_reads_text_has_a_baseline() -> None:
    assert set(BASELINES) <= set(TASKS)
    assert {"classification", "similarity", "tagging", "question-answering"} <= set(BASELINES)


def labelled(count: int, seed: int) -> list[TextExample]:
    return [TextExample((text,), label) for text, label in sentences(count, seed)]


def test_a_bag_of_words_is_what_scikit_learn_makes_of_the_texts() -> None:
    task = Classification(ClassificationConfig(labels=("bad", "good")))
    train, test = labelled(80, 0), labelled(60, 1)
    rows = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    model = LogisticRegression(C=3.0, max_iter=1_000)
    model.fit(rows.fit_transform([e.texts[0] for e in train]), [e.label for e in train])
    answers = model.predict(rows.transform([e.texts[0] for e in test]))
    right = float(np.mean([a == e.label for a, e in zip(answers, test, strict=True)]))
    found = scores("classification", task, train, test)
    assert found["bag of words"]["accuracy"] == pytest.approx(right)
    assert found["bag of words"]["accuracy"] > 0.9
    assert found["bag of characters"]["accuracy"] > 0.9


def test_pairs_and_labels_not_seen_have_a_place() -> None:
    task = Classification(ClassificationConfig(labels=("maybe", "no", "yes")))
    made = [TextExample((a, b), label) for a, b, label in pairs(120, 0)]
    found = scores("classification", task, made[:80], made[80:])
    assert found["bag of words"]["accuracy"] > 0.8


def test_like_texts_have_a_high_score() -> None:
    texts = [text for text, _ in sentences(60, 3)]
    made = [TextExample((text, text), "5") for text in texts[:30]]
    made += [TextExample(pair, "1") for pair in zip(texts[30:], texts[:30], strict=True)]
    task = Similarity(SimilarityConfig(lowest=1.0, highest=5.0))
    found = scores("similarity", task, made, made)
    assert found["bag of words"]["pearson"] > 0.8
    assert found["bag of words"]["mse"] < 2


def test_the_nearest_candidate_is_chosen() -> None:
    made = [
        ChoiceExample(context=text, candidates=("nothing like it", text.upper()), answer=1)
        for text, _ in sentences(20, 4)
    ]
    task = MultipleChoice(MultipleChoiceConfig(lm_weight=0.0))
    found = scores("multiple-choice", task, made, made)
    assert found["nearest by bag of words"]["accuracy"] == 1.0


def tagged(words: str, tags: str) -> TagExample:
    units = tuple(words.split())
    starts = tuple(sum(len(unit) + 1 for unit in units[:i]) for i in range(len(units)))
    return TagExample(text=words, units=units, starts=starts, tags=tuple(tags.split()))


def test_words_get_their_commonest_tag_and_others_the_commonest_of_all() -> None:
    train = [tagged("the run runs", "D N V"), tagged("they run fast", "P V A"), tagged("run", "V")]
    test = [tagged("the run shines", "D V V"), tagged("fast", "N")]
    task = Tagging(TaggingConfig(labels=("A", "D", "N", "P", "V"), scheme="plain"))
    found = scores("tagging", task, train, test)
    assert found["commonest tag of each word"] == {"accuracy": 0.75}


def test_the_answer_stands_among_the_words_of_the_question() -> None:
    context = (
        "The mill was built by Anna in 1820. "
        "Far away, many miles from here, rain falls nearly every day and fields lie under water "
        "until spring. The bridge of iron was drawn by Otto for the town."
    )
    made = [
        Question(id="1", question="Who drew the bridge of iron?", context=context,
                 answers=(Answer(text="Otto", start=context.index("Otto")),)),
        Question(id="2", question="When was the mill built by Anna?", context=context,
                 answers=(Answer(text="1820", start=context.index("1820")),)),
    ]  # fmt: skip
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=False, lm_weight=0.0))
    (answer,) = fitted("question-answering", task, made).values()
    spans = [(p.text, made[0].context[p.start : p.end]) for p in answer(made)]
    assert all(text == place for text, place in spans)
    assert spans[1][0] in context[: context.index("miles")]
    assert spans[0][0] in context[context.index("until") :]


def test_a_context_without_words_is_no_fault() -> None:
    bare = Question(id="1", question="Why?", context="?!", answers=())
    task = QuestionAnswering(QuestionAnsweringConfig(allow_impossible=True, lm_weight=0.0))
    found = scores("question-answering", task, [bare], [bare])
    assert found["words near the question's"]["f1"] == 100.0


def test_the_training_file_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretext.evaluation.baselines.MOST_EXAMPLES", 1)
    task = Tagging(TaggingConfig(labels=("D", "N"), scheme="plain"))
    found = scores("tagging", task, [tagged("a", "D"), tagged("b", "N")], [tagged("b", "N")])
    assert found["commonest tag of each word"] == {"accuracy": 0.0}
