"""Suites and shots: options by likelihood, exemplars by seed, and what is at fault is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretext.cli import main
from foretext.core.errors import ConfigError
from foretext.evaluation.prompting import Shots, ask, fingerprint, summarise
from foretext.evaluation.suite import Item, Suite, built_in, read_suite
from foretext.inference.scoring import Scorer
from tests.inference.tiny import gpt_model, tokenizer
from tests.tasks.tiny import backbone_folder

SUITE = Suite(name="toy", prompt="{text} is", answer="label", options={"a": " good", "b": " bad"})
POOL = [
    Item(prompt=f"film {n} is", options=(" good", " bad"), right=n % 2, place=n) for n in range(9)
]


def scorer() -> Scorer:
    return Scorer(gpt_model(), tokenizer(), limit=40)


def test_the_likeliest_option_is_the_answer() -> None:
    (answer,) = ask(scorer(), SUITE, POOL[:1], Shots(pool=[], count=0))
    expected = [
        found.total for found in scorer().score([("film 0 is", o) for o in (" good", " bad")])
    ]
    assert answer.scores == pytest.approx(expected, abs=1e-4)
    assert answer.chosen == max(range(2), key=lambda n: expected[n])


def test_examples_stand_before_the_question_in_their_order() -> None:
    shots = Shots(pool=POOL, count=1, seed=1)
    (answer,) = ask(scorer(), SUITE, POOL[:1], shots)
    shown = [item.prompt + item.options[item.right] for item in shots.drawn()]
    assert answer.prompt == "\n\n".join([*shown, "film 0 is"])


def test_exemplars_are_fixed_by_a_seed_and_their_order_by_a_number() -> None:
    one, other = Shots(pool=POOL, count=4), Shots(pool=POOL, count=4, order=1)
    assert one.drawn() == Shots(pool=POOL, count=4).drawn()
    assert {i.place for i in one.drawn()} == {i.place for i in other.drawn()}
    assert fingerprint(one.drawn()) != fingerprint(other.drawn())
    assert {i.place for i in Shots(pool=POOL, count=4, seed=7).drawn()} != {
        i.place for i in one.drawn()
    }


def test_examples_that_do_not_fit_are_dropped_whole_and_counted() -> None:
    shots = Shots(pool=POOL, count=6)
    (answer,) = ask(scorer(), SUITE, POOL[:1], shots)
    assert 0 < answer.dropped < 6
    assert answer.prompt.count("\n\n") == 6 - answer.dropped
    assert summarise(SUITE, shots, [answer]).dropped == answer.dropped


def test_a_tie_counts_as_a_half() -> None:
    """BabyLM's ranker takes it for right; see the data's README."""
    same = Item(prompt="film is", options=(" good", " good"), right=1, place=1)
    answers = list(ask(scorer(), SUITE, [same], Shots(pool=[], count=0)))
    result = summarise(SUITE, Shots(pool=[], count=0), answers)
    assert (result.accuracy, result.ties, result.chance) == (0.5, 1, 0.5)


@pytest.mark.parametrize("normalise", ["tokens", "characters", "unconditional"])
def test_options_are_normalised(normalise: str) -> None:
    suite = Suite(
        name="toy", prompt="{text}", answer="label", options={"a": "x", "b": "y"},
        normalise=normalise,
    )  # fmt: skip
    item = Item(prompt="film is", options=(" good", " very bad"), right=0, place=1)
    (answer,) = ask(scorer(), suite, [item], Shots(pool=[], count=0))
    found = scorer().score([("film is", o) for o in item.options])
    bare = scorer().score([("Answer:", o) for o in item.options])
    expected = {
        "tokens": [f.per_token for f in found],
        "characters": [f.per_character for f in found],
        "unconditional": [f.total - b.total for f, b in zip(found, bare, strict=True)],
    }[normalise]
    assert answer.scores == pytest.approx(expected, abs=1e-4)


def test_every_built_in_suite_can_be_read() -> None:
    for name in built_in():
        suite = read_suite(name)
        assert suite.about
        assert suite.columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('promt = "x"', "did you mean 'prompt'"),
        ('answer = "y"', "lacks prompt"),
        ('prompt = "{x}"', "needs either .options. or choices"),
        ('prompt = "{x}"\nchoices = ["a", "b"]', "needs either right"),
        ('prompt = "{x}"\nchoices = ["a"]\nright = 0\nnormalise = "z"', "choose one of none"),
    ],
)
def test_a_suite_at_fault_is_said(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_suite(str(path))


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'sst2'"):
        read_suite("sst")


def test_an_answer_that_is_no_option_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("text\tlabel\none\ta\ntwo\tc\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"x.tsv:3: the answer 'c' is none of a, b"):
        list(SUITE.items(path))


def test_evaluate_asks_by_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = backbone_folder(tmp_path / "gpt", "gpt2", noise=0.1)
    (tmp_path / "mine.toml").write_text(
        'prompt = "{text} is"\nanswer = "label"\n[options]\na = " great"\nb = " awful"\n',
        encoding="utf-8",
    )
    rows = "".join(f"the film {n}\t{'ab'[n % 2]}\n" for n in range(6))
    (tmp_path / "dev.tsv").write_text("text\tlabel\n" + rows, encoding="utf-8")
    asked = ["evaluate", str(run), "--suite", str(tmp_path / "mine.toml"), "--data"]
    asked += [str(tmp_path / "dev.tsv"), "--shots", "0,1"]
    assert main(asked) == 1
    assert "give --exemplars" in capsys.readouterr().err
    out = tmp_path / "answers.jsonl"
    asked += ["--exemplars", str(tmp_path / "dev.tsv"), "--out", str(out)]
    assert main(asked) == 0
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [r["shots"] for r in records] == [0] * 6 + [1] * 6
    shown = capsys.readouterr().out
    for count in (0, 1):
        credit = [r["credit"] for r in records if r["shots"] == count]
        assert f"{sum(credit) / 6:.4f}" in shown


def test_score_shows_nats_and_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = backbone_folder(tmp_path / "gpt", "gpt2", noise=0.1)
    assert main(["score", str(run), "the film", "--tokens"]) == 0
    assert "bits a byte  the film" in capsys.readouterr().out
