"""Files of sentencepiece's, against the library that wrote them; T5's sentinels."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from foretext.core.errors import TokenizerError
from foretext.tokenizers import Tokenizer, train
from tests.tokenizers.samples import latin

sentencepiece = pytest.importorskip("sentencepiece")


def trained(folder: Path, **options: object) -> Path:
    """A spiece.model over some text, with T5's special tokens unless the options say otherwise."""
    text = folder / "text.txt"
    text.write_text("\n".join(latin(300)), encoding="utf-8")
    settings: dict[str, object] = {
        "vocab_size": 200,
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": -1,
        "minloglevel": 2,
        "hard_vocab_limit": False,
    }
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "spiece"), **(settings | options)
    )
    text.unlink()
    (folder / "spiece.vocab").unlink()
    return folder / "spiece.model"


def texts() -> list[str]:
    draw = random.Random(1)
    parts = [*"ﬁÉ①x!\t가\u3000", "ka", "ro", "mi", " ", "  ", "the", "zz"]
    made = ["".join(draw.choice(parts) for _ in range(draw.randint(0, 20))) for _ in range(300)]
    return [*latin(50, seed=3), *made]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_dummy_prefix": False},
        {"byte_fallback": True, "vocab_size": 500},
        {"normalization_rule_name": "identity"},
        {"split_by_whitespace": False},
    ],
    ids=str,
)
def test_ids_are_those_of_sentencepiece(tmp_path: Path, options: dict[str, object]) -> None:
    """Issue 19: files of the sentencepiece library are read and checked."""
    path = trained(tmp_path, **options)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = Tokenizer.load(tmp_path)
    assert ours.encode_batch(texts()) == theirs.encode(texts())
    assert ours.decode(ours.encode("The kami")) == theirs.decode(theirs.encode("The kami"))


def test_a_vocabulary_of_t5_gets_its_sentinels_at_the_end(tmp_path: Path) -> None:
    """t5.md, a: <extra_id_0> is the last id, counting down."""
    path = trained(tmp_path)
    size = sentencepiece.SentencePieceProcessor(model_file=str(path)).vocab_size()
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size == size + 100
    assert tokenizer.id_of("<extra_id_0>") == size + 99
    assert tokenizer.id_of("<extra_id_99>") == size
    special = tokenizer.special
    assert (special.pad, special.eos, special.unk, special.cls) == (0, 1, 2, None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"extra_ids": 3}))
    assert Tokenizer.load(tmp_path).vocab_size == size + 3


def test_what_was_read_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    trained(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    tokenizer.save(tmp_path / "again")
    again = Tokenizer.load(tmp_path / "again")
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode_batch(texts()) == tokenizer.encode_batch(texts())


def test_damage_is_said_in_one_line(tmp_path: Path) -> None:
    path = trained(tmp_path)
    whole = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for number in range(60):
        data = bytearray(whole[: draw.randrange(len(whole))] if number % 2 else whole)
        for _ in range(8):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(bytes(data))
        try:
            Tokenizer.load(tmp_path).encode("the kami")
        except TokenizerError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


def test_merges_are_refused(tmp_path: Path) -> None:
    trained(tmp_path, model_type="bpe")
    with pytest.raises(TokenizerError, match="a BPE model of sentencepiece's, but only unigram"):
        Tokenizer.load(tmp_path)


def test_our_own_pieces_in_the_style_of_t5() -> None:
    """t5.md, a: pad 0, eos 1, unk 2, and 100 sentinels at the end, counting down."""
    tokenizer = train(latin(), kind="unigram", vocab_size=300, style="t5")
    assert [tokenizer.token(i) for i in range(3)] == ["<pad>", "</s>", "<unk>"]
    assert [tokenizer.token(i) for i in (299, 298, 200)] == [
        "<extra_id_0>",
        "<extra_id_1>",
        "<extra_id_99>",
    ]
    assert tokenizer.encode("ka <extra_id_0> mi")[1:2] == [299]
