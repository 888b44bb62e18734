"""Training gives the same bytes in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foretext.tokenizers import KINDS, train
from foretext.tokenizers.counting import code_points, learn_merges
from tests.tokenizers.samples import documents

_PROGRAM = """
import hashlib, json, pathlib, sys
from foretext.tokenizers import KINDS, train
from tests.tokenizers.samples import documents
hashes = {}
for kind in KINDS:
    for size in (120, 600):
        tokenizer = train(documents(), kind=kind, vocab_size=size + 256 * ("byte" in kind))
        folder = pathlib.Path(sys.argv[1]) / f"{kind}-{size}"
        tokenizer.save(folder)
        text = (folder / "tokenizer.json").read_bytes()
        hashes[f"{kind} {size}"] = hashlib.sha256(text).hexdigest()
print(json.dumps(hashes))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Hashes of tokenizer.json by kind, of four processes."""
    started = []
    for threads, seed in [("1", "0"), ("2", "1"), ("1", "2"), ("2", "3")]:
        environment = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", _PROGRAM, str(tmp_path_factory.mktemp("run"))]
        started.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
            )
        )
    return [json.loads(process.communicate(timeout=120)[0]) for process in started]


@pytest.mark.parametrize("kind", KINDS)
def test_four_processes_write_the_same_tokenizer_json(
    kind: str, runs: list[dict[str, str]]
) -> None:
    """Issue 2, Tokenizers: byte-reproducible over runs, 1 and 2 threads, PYTHONHASHSEED."""
    for size in (120, 600):
        assert len({run[f"{kind} {size}"] for run in runs}) == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bytes"])  # they learn nothing
def test_another_text_gives_another_tokenizer(kind: str) -> None:
    """The hashes compared above do depend on what was learned."""
    size = 400
    one = train(documents(seed=0), kind=kind, vocab_size=size)
    other = train(documents(seed=1, syllables=["z", "y", "xw"]), kind=kind, vocab_size=size)
    assert one.fingerprint != other.fingerprint


def test_of_tied_pairs_the_lower_symbols_merge_first() -> None:
    """counting.learn_merges: four pairs occur twice each; the order is that of the alphabet."""
    codes = code_points(["a", "b", "c", "d", "e", "f", "g", "h"])
    words = {codes[word[0]] + codes[word[1]]: 2 for word in ["gh", "ab", "ef", "cd"]}
    _, merges = learn_merges(words, codes=codes, size=12)
    assert merges == [(("a",), ("b",)), (("c",), ("d",)), (("e",), ("f",)), (("g",), ("h",))]
