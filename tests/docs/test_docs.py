"""The documentation: its examples run, its links lead somewhere, its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foretext.cli import VERBS
from foretext.evaluation.task_data import inspect_task
from foretext.models import FAMILIES
from foretext.objectives import OBJECTIVES
from foretext.tasks import TASKS
from foretext.tasks.datasets import DATASETS
from foretext.tokenizers import KINDS
from tests.docs import tables
from tests.docs.examples import Page, blocks, commands, compare
from tests.docs.world import make

ROOT = tables.ROOT
PAGES = ["README.md", "README.ko.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each heading outside fences."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [(len(m[1]), m[2]) for m in re.finditer(r"^(#+) (.*)$", outside, re.MULTILINE)]


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    words = [re.sub(r"[^\w\- ]", "", title.lower()) for _, title in headings(text)]
    return {word.replace(" ", "-") for word in words}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name."""
    folder = tmp_path_factory.mktemp("world")
    make(folder)
    return folder


@pytest.mark.parametrize("name", [n for n in PAGES if "```console\n" in page(n)])
def test_examples_print_what_the_page_shows(
    name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """style.md: examples in docs are run."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Page(name, page(name)).run()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_a_file_and_a_heading(name: str) -> None:
    """A page that names another is not left behind when that one moves."""
    for target in _LINK.findall(page(name)):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        place = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert place.exists(), f"{name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(place.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", tables.PAGES)
def test_tables_are_those_of_the_code(name: str) -> None:
    """Every family, objective, task and setting is named, with its default of today."""
    assert tables.rewritten(page(name)) == page(name), (
        f"{name} is behind the code: python -m tests.docs.tables rewrites its tables"
    )


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_what_there_is_names_all_of_it(name: str) -> None:
    """Issue 2: README has a table of what exists."""
    text = page(name)
    for known in (*FAMILIES, *OBJECTIVES, *TASKS, *KINDS):
        assert f"`{known}`" in text, known


def test_recipes_explain_every_setting() -> None:
    """docs/recipes.md shows each table there is, and no setting of one lacks its meaning."""
    missing = set(tables.tables()) - {"families", "objectives", "tasks"}
    assert missing <= tables.shown(page("docs/recipes.md"))
    for name in missing:
        unexplained = re.findall(r"^\| `(\S+)` \| `.*` \|  \|$", tables.tables()[name](), re.M)
        assert not unexplained, f"{name}: a comment behind the field tells what it means"


@pytest.mark.parametrize(
    ("title", "task", "suffix"),
    [
        ("Classification", "classification", ".tsv"),
        ("Similarity", "similarity", ".tsv"),
        ("Multiple choice", "multiple-choice", ".jsonl"),
        ("Question answering", "question-answering", ".jsonl"),
        ("Tagging", "tagging", ".conll"),
    ],
)
def test_samples_of_files_are_read_by_their_task(
    title: str, task: str, suffix: str, tmp_path: Path
) -> None:
    """docs/tasks.md shows each task's file; what it shows is one."""
    _, _, section = page("docs/tasks.md").partition(f"\n## {title}\n")
    sample = next(block for block in blocks(section) if block.language == "text")
    path = tmp_path / f"sample{suffix}"
    path.write_text(sample.text + "\n", encoding="utf-8")
    assert inspect_task(task, path).train.rows


def test_every_task_and_data_set_is_explained() -> None:
    """docs/tasks.md is the page on all of them."""
    text = page("docs/tasks.md")
    for known in DATASETS:
        assert f"`{known}`" in text, known
    for known in TASKS:
        assert known.replace("-", " ") in text.lower(), known


@pytest.mark.parametrize("name", ["docs/verbs.md", "docs/verbs.ko.md"])
def test_every_verb_has_an_example(name: str) -> None:
    """Issue 2: one worked example per verb."""
    text = page(name)
    titles = [title for level, title in headings(text) if level == 3]
    assert sorted(titles) == sorted(VERBS)
    shown = [b for b in blocks(text) if b.language in ("console", "sh")]
    for verb in VERBS:
        assert any(re.search(rf"^(\$ )?foretext {verb}\b", b.text, re.M) for b in shown), verb


@pytest.mark.parametrize("name", ["README", "docs/verbs"])
def test_both_languages_have_the_same_sections(name: str) -> None:
    """The Korean page says what the English one says."""
    english, korean = headings(page(f"{name}.md")), headings(page(f"{name}.ko.md"))
    assert [level for level, _ in english] == [level for level, _ in korean]
    assert [t for n, t in english if n == 3] == [t for n, t in korean if n == 3]


def test_examples_are_read_with_their_commands_and_marks() -> None:
    """examples.py: continued commands, what they show, and words that may differ."""
    text = (
        "<!-- words may differ -->\n```console\n$ foretext a \\\n    b\nsaid\n$ foretext c\n```\n"
    )
    (block,) = blocks(text)
    assert block.loose
    assert [(c.text, c.shown, c.line) for c in commands(block)] == [
        ("foretext a b", ["said"], 3),
        ("foretext c", [], 6),
    ]


def test_numbers_may_differ_and_words_may_not() -> None:
    """examples.py: what stays the same on every machine is compared."""
    compare(
        "here", ["step 10  loss 5.9, 0:21 left", "…", "end"], "step 3  loss 1.0, 2.0 s left\n\nend"
    )
    with pytest.raises(AssertionError, match="but it prints"):
        compare("here", ["loss 5.9"], "gain 5.9\n")
    with pytest.raises(AssertionError, match="but it prints"):
        compare("here", ["a"], "a\nb\n")
