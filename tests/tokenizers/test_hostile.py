"""Whatever stands in a tokenizer's folder, reading it works or ends in a TokenizerError."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import TokenizerError
from foretext.tokenizers import KINDS, Tokenizer, train
from tests.tokenizers.samples import latin

_VALUES: list[Any] = [None, True, 0, -1, 2**31, 2**70, 1.5, "", "x", "\x00", [], [1], {}, {"a": 1}]


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys or indices (few of long ones)."""
    if isinstance(content, dict):
        items = list(content.items())[:12]
    elif isinstance(content, list):
        items = list(enumerate(content))[:4]
    else:
        return []
    return [(content, key) for key, _ in items] + [p for _, value in items for p in places(value)]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "vocab.json"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_value_never_ends_in_another_error(kind: str, name: str, tmp_path: Path) -> None:
    """Issue 2: unsafe or absurd folders are refused with a clear message."""
    train(latin(60), kind=kind, vocab_size=280).save(tmp_path)
    file = tmp_path / name
    if not file.exists():
        return
    if name == "vocab.json":
        (tmp_path / "tokenizer.json").unlink()
    original = file.read_text("utf-8")
    rng = random.Random(0)
    for _ in range(25):
        content = json.loads(original)
        container, key = rng.choice(places(content))
        container[key] = rng.choice(_VALUES)
        file.write_text(json.dumps(content), "utf-8")
        with contextlib.suppress(TokenizerError):
            tokenizer = Tokenizer.load(tmp_path)
            ids = tokenizer.encode("the ro mi [MASK] ünd")
            tokenizer.decode(ids)
            assert len(tokenizer.starts_word) == len(tokenizer.ends_word) == tokenizer.vocab_size


@pytest.mark.parametrize("name", ["vocab.txt", "merges.txt", "tokenizer.json"])
def test_a_cut_or_garbled_file_never_ends_in_another_error(name: str, tmp_path: Path) -> None:
    """A download that broke off, or bytes that are no UTF-8."""
    kind = "wordpiece" if name == "vocab.txt" else "bpe"
    train(latin(60), kind=kind, vocab_size=280).save(tmp_path)
    original = (tmp_path / name).read_bytes()
    if name != "tokenizer.json":
        (tmp_path / "tokenizer.json").unlink()
    rng = random.Random(0)
    for _ in range(25):
        broken = bytearray(original[: rng.randrange(len(original))])
        for _ in range(rng.randrange(3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / name).write_bytes(broken)
        with contextlib.suppress(TokenizerError):
            Tokenizer.load(tmp_path).encode("the ro mi")
