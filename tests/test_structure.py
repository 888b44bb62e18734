"""Imports point one way, and every module of a package with a name table is in it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import foretext
from foretext import models
from foretext.objectives import OBJECTIVES
from foretext.tasks import TASKS

ROOT = Path(foretext.__file__).parent
# Each part may import those on earlier lines and its own; style.md, "Layout".
LAYERS: list[set[str]] = [
    {"core"},
    {"text", "labelled", "tokenizers", "nn", "metrics"},
    {"shards", "hub"},
    {"models"},
    {"objectives", "tasks"},
    {"training"},
    {"recipes"},
    {"inference", "evaluation"},
    {"runs"},
    {"api", "scoring", "report", "serving", "demo", "cli"},
    {"__main__"},
]
# Text is read and tokenizers learn from it; neither knows the other.
APART = [("tokenizers", "text"), ("text", "tokenizers"), ("nn", "text"), ("nn", "tokenizers")]


def layer(part: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


def imports(path: Path) -> set[str]:
    """Parts of foretext that a file imports at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("foretext.")}
    return {name for name in found if (ROOT / name).is_dir() or (ROOT / f"{name}.py").exists()}


FILES = [p for p in sorted(ROOT.rglob("*.py")) if p.parent != ROOT or p.stem != "__init__"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for other in imports(path):
        assert layer(other) <= layer(part), f"{path} imports {other}, which stands above it"
        assert (part, other) not in APART, f"{path} imports {other}"


def modules_imported(path: Path) -> set[str]:
    """Modules of foretext that a file imports anywhere, by their dotted names below foretext."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("foretext."):
            base = (node.module or "").removeprefix("foretext.")
            names = [f"{base}.{alias.name}" for alias in node.names]
            inner = [n for n in names if (ROOT / f"{n.replace('.', '/')}.py").exists()]
            found |= set(inner) or {base}
    return found


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of more than one name that reach each other."""
    reach = {name: set(targets) for name, targets in graph.items()}
    for middle in graph:
        for name in graph:
            if middle in reach[name]:
                reach[name] |= reach.get(middle, set())
    together = {
        tuple(sorted(o for o in reach[n] if o == n or n in reach.get(o, set())))
        for n in graph
        if n in reach[n]
    }
    return [list(group) for group in together if len(group) > 1]


def test_no_package_imports_another_that_imports_it() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        graph.setdefault(part, set()).update(imports(path) - {part})
    assert not cycles(graph)


def test_no_module_imports_another_that_imports_it() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): modules_imported(path)
        for path in FILES
        if path.stem != "__init__"
    }
    assert not cycles(graph)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    """Files under 400 lines; functions under 40, signature and docstring left out."""
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") < 400
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        has_doc = ast.get_docstring(node) is not None
        statements = node.body[1:] if has_doc else node.body
        if not statements:
            continue
        length = (node.end_lineno or 0) - statements[0].lineno + 1
        assert length <= 40, f"{path}:{node.lineno} {node.name} has {length} lines"


def records(package: str, names: tuple[str, ...]) -> set[str]:
    """The files of a package that make a record, or what a task's module must have."""
    parent = importlib.import_module(f"foretext.{package}")
    files = [m.name for m in pkgutil.iter_modules(parent.__path__)]
    modules = {name: importlib.import_module(f"foretext.{package}.{name}") for name in files}
    return {name for name, module in modules.items() if all(hasattr(module, n) for n in names)}


def test_every_family_is_in_the_name_table() -> None:
    """A new one is one file, named as the family, and one line."""
    assert records("models", ("FAMILY",)) == set(models.FAMILIES)
    assert all(name == family.name for name, family in models.FAMILIES.items())


def test_every_objective_and_task_is_in_its_name_table() -> None:
    """A new one is one file and one line."""
    specs = {spec.build.__module__.rpartition(".")[2] for spec in OBJECTIVES.values()}
    assert records("objectives", ("SPEC",)) == specs
    tasks = {module.__name__.rpartition(".")[2] for module in TASKS.values()}
    assert records("tasks", ("Config", "Input", "Build", "GUIDE")) == tasks


def test_no_other_code_names_a_family() -> None:
    """Above models/, no code imports a family's file or compares with a family's name."""
    for path in FILES:
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if layer(part) <= layer("models"):  # tokenizers' styles have such names too
            continue
        named = {module for module in modules_imported(path) if module.startswith("models.")}
        inside = named & {f"models.{name}" for name in models.FAMILIES}
        assert not inside, f"{path} imports {inside}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare | ast.Subscript):
                texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not texts & set(models.FAMILIES), f"{path}:{node.lineno} names a family"


def test_a_batch_is_followed_through_nine_files() -> None:
    """docs/architecture.md names them, and each but the first is imported on the way to it."""
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"^\d\. `(\S+)\.py`", page, re.MULTILINE)
    assert len(named) <= 9
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): modules_imported(path)
        for path in FILES
    }
    dotted = [name.replace("/", ".") for name in named]
    assert set(dotted) <= set(graph)
    reached = set(graph["training.loop"]) | {"objectives.next_sentence", "models.bert"}  # by name
    for module in dotted[1:]:
        assert module in reached, f"{module} is not on the way"
        reached |= graph[module] | {n for m in graph[module] if m in graph for n in graph[m]}
