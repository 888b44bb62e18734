"""Folders of tokenizers, written and read in the Hugging Face layout.

A folder that is read may come from anywhere: its size is bounded, its parts must be of known types,
nothing in it is run, and a failure of the library ends in a TokenizerError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Library

from foretext.core.errors import TokenizerError
from foretext.tokenizers import sentencepiece_file
from foretext.tokenizers.components import bert_normalizer, component_types, guarded
from foretext.tokenizers.special import ROLES, STYLES, Style

MAX_BYTES = 100 << 20  # of one file; the largest published tokenizer.json has about 35 MB

_SHARED = {"Sequence"}
ALLOWED = {
    "normalizer": _SHARED
    | {"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip"}
    | {"Replace", "Prepend", "Nmt", "Precompiled", "ByteLevel"},
    "pre_tokenizer": _SHARED
    | {"BertPreTokenizer", "ByteLevel", "Metaspace", "Whitespace", "WhitespaceSplit", "Split"}
    | {"Punctuation", "Digits", "CharDelimiterSplit", "UnicodeScripts"},
    "post_processor": _SHARED
    | {"TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"}
    | {"SpecialToken"},  # parts of a template
    "decoder": _SHARED
    | {"WordPiece", "ByteLevel", "Metaspace", "BPEDecoder", "Fuse", "Strip", "Replace"}
    | {"ByteFallback", "CTC"},
    "model": {"WordPiece", "BPE", "Unigram", "WordLevel"},
}
_MAX_REPLACEMENTS = 8
_MAX_GAPS = 1 << 20
_MAX_PATTERN = 2000  # characters of a regular expression


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What the files of a tokenizer say."""

    library: Library
    roles: dict[str, str]  # role -> token
    max_length: object  # tokens its model was trained on at once, as written; None if not said


def load(folder: Path) -> Stored:
    """Read tokenizer.json, or vocab.txt (BERT), or vocab.json with merges.txt (GPT), or a file of
    sentencepiece's (T5).

    Raises:
        TokenizerError: there is none of them, or one is damaged or unsafe.
    """
    folder = Path(folder)
    config = _read_optional(folder / "special_tokens_map.json")
    config |= _read_optional(folder / "tokenizer_config.json")
    if (folder / "tokenizer.json").is_file():
        library = _from_json(folder / "tokenizer.json")
    elif (folder / "vocab.txt").is_file():
        library, config = _from_vocab_txt(folder / "vocab.txt", config)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        library, config = _from_merges(folder, config)
    elif found := [name for name in sentencepiece_file.NAMES if (folder / name).is_file()]:
        _check_size(folder / found[0])
        library, config = sentencepiece_file.read(folder / found[0], config)
    else:
        raise TokenizerError(
            f"{folder} holds no tokenizer (tokenizer.json, vocab.txt, vocab.json with merges.txt, "
            "or spiece.model); name a folder that does, or train one: foretext tokenizer train"
        )
    _add_missing(library, config)
    _check_ids(folder, library)
    length = config.get("model_max_length")
    return Stored(library=library, roles=_roles(library, config), max_length=length)


def _check_ids(folder: Path, library: Library) -> None:
    """Tables by id are as long as the highest id: it must be near the number of tokens."""
    vocab = library.get_vocab(with_added_tokens=True)
    if not vocab:
        raise TokenizerError(f"{folder}: the vocabulary is empty; fetch the tokenizer anew")
    token, highest = max(vocab.items(), key=lambda item: item[1])
    if highest > len(vocab) + _MAX_GAPS:
        raise TokenizerError(
            f"{folder}: token {token[:40]!r} has id {highest} among {len(vocab)} tokens; at most "
            f"{_MAX_GAPS} ids may be left out: is the vocabulary whole?"
        )


def _check_size(path: Path) -> None:
    if (size := path.stat().st_size) > MAX_BYTES:
        raise TokenizerError(
            f"{path} has {size} bytes, more than the {MAX_BYTES} a tokenizer's file may have; "
            "is it the right file?"
        )


def _read_text(path: Path) -> str:
    try:
        _check_size(path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read ({error}); is it whole?") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} is not valid JSON ({error}); fetch it anew") from error
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} holds no JSON object; fetch it anew")
    return content


def _read_optional(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _from_json(path: Path) -> Library:
    content = _read_json(path)
    if not isinstance(content.get("model"), dict):
        raise TokenizerError(f"{path} has no 'model'; it is no tokenizer of this layout")
    content["truncation"] = content["padding"] = None
    if "dropout" in content["model"]:
        content["model"]["dropout"] = None  # would draw at random when encoding
    _check_parts(path, content)
    text = json.dumps(content)
    return guarded(lambda: Library.from_str(text), f"{path} is no tokenizer the library can read")


def _check_parts(path: Path, content: Mapping[str, Any]) -> None:
    """Only known parts, and none that can blow a text up."""
    for place, allowed in ALLOWED.items():
        part = content.get(place)
        try:
            found = component_types(
                {"type": part.get("type")} if place == "model" and part else part
            )
        except RecursionError as error:
            raise TokenizerError(f"{path}: {place} is nested too deeply") from error
        if unknown := found - allowed:
            raise TokenizerError(
                f"{path}: {place} of type {', '.join(sorted(unknown))} is not allowed, only "
                f"{', '.join(sorted(allowed))}; convert the tokenizer to one of these"
            )
        replacements = list(_patterns(part)) if place != "model" else []
        if len(replacements) > _MAX_REPLACEMENTS or not all(map(_is_tame, replacements)):
            raise TokenizerError(
                f"{path}: {place} replaces or splits in a way that can make a text much longer or "
                f"take forever; at most {_MAX_REPLACEMENTS} patterns, no replacement longer than "
                "what it replaces"
            )


def _patterns(part: Any) -> list[dict[str, Any]]:
    """The parts, at any depth, that hold a pattern or prepend a text."""
    if isinstance(part, list):
        return [found for inner in part for found in _patterns(inner)]
    if not isinstance(part, dict):
        return []
    own = [part] if "pattern" in part or part.get("type") == "Prepend" else []
    return own + [found for inner in part.values() for found in _patterns(inner)]


def _is_tame(part: Mapping[str, Any]) -> bool:
    if part.get("type") == "Prepend":
        return len(str(part.get("prepend", ""))) <= 4
    pattern = part.get("pattern")
    if not isinstance(pattern, dict):
        return isinstance(pattern, str)
    text = str(pattern.get("String", pattern.get("Regex", "")))
    longest = max(1, len(text)) if "String" in pattern else 1
    return 0 < len(text) <= _MAX_PATTERN and len(str(part.get("content", ""))) <= longest


def _from_vocab_txt(path: Path, config: dict[str, Any]) -> tuple[Library, dict[str, Any]]:
    """BERT's older layout: one token a line; lower case unless tokenizer_config.json says not."""
    from tokenizers import normalizers

    lines = _read_text(path).split("\n")
    vocab = {token: i for i, token in enumerate(lines[:-1] if not lines[-1] else lines)}
    style = STYLES["bert"]
    config = {role + "_token": token for role, token in style.roles.items()} | config
    unk = _content(config["unk_token"])
    if unk not in vocab:
        raise TokenizerError(
            f"{path} lacks the unknown token {unk!r}; is it a WordPiece vocabulary?"
        )
    library = Library(models.WordPiece(vocab, unk_token=unk, max_input_chars_per_word=100))
    library.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
        strip_accents=config.get("strip_accents"),
        lowercase=bool(config.get("do_lower_case", True)),
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(prefix="##")
    _attach(library, style, path)
    return library, config


def _attach(library: Library, style: Style, path: Path) -> None:
    if style.single and all(library.token_to_id(t) is not None for t in style.single_tokens):
        guarded(lambda: style.attach(library), f"{path}: the template cannot be set")


def _from_merges(folder: Path, config: dict[str, Any]) -> tuple[Library, dict[str, Any]]:
    """GPT's older layout: `</w>` at word ends is GPT-1's, else the symbols are bytes."""
    vocab = _read_json(folder / "vocab.json")
    if not all(isinstance(i, int) and 0 <= i < 1 << 31 for i in vocab.values()):
        raise TokenizerError(f"{folder / 'vocab.json'} maps tokens to something other than ids")
    lines = _read_text(folder / "merges.txt").split("\n")
    rows = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    merges = [(row[0], row[1]) for row in rows if len(row) == 2]
    if len(merges) != len(rows):
        raise TokenizerError(f"{folder / 'merges.txt'} has a line that is not two symbols")
    marked = any(token.endswith("</w>") for token in vocab)
    style = STYLES["gpt1" if marked else "roberta" if "<s>" in vocab else "gpt2"]
    config = {role + "_token": t for role, t in style.roles.items() if t in vocab} | config
    library = guarded(
        lambda: Library(
            models.BPE(
                vocab,
                merges,
                continuing_subword_prefix="",
                end_of_word_suffix="</w>" if marked else "",
                fuse_unk=False,
                unk_token=_content(config["unk_token"]) if marked else None,
            )
        ),
        f"{folder}: vocab.json and merges.txt do not fit each other",
    )
    if marked:
        library.normalizer = bert_normalizer(lowercase=True, compose=False)
        library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        library.decoder = decoders.BPEDecoder(suffix="</w>")
    else:
        space = bool(config.get("add_prefix_space", False))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
        library.decoder = decoders.ByteLevel()
        library.post_processor = processors.ByteLevel(trim_offsets=False)
        _attach(library, style, folder)
    return library, config


def _content(token: Any) -> str:
    """A special token is written as a string or as an object with its content."""
    return str(token.get("content", "") if isinstance(token, dict) else token)


def _add_missing(library: Library, config: Mapping[str, Any]) -> None:
    """Tokens the config names but tokenizer.json does not mark, added as transformers does."""
    marked = {token.content for token in library.get_added_tokens_decoder().values()}
    rows = config.get("added_tokens_decoder")
    rows = rows if isinstance(rows, dict) else {}
    for _, row in sorted((int(i), row) for i, row in rows.items() if str(i).isdecimal()):
        content = _content(row)
        if content and content not in marked and isinstance(row, dict):
            flags = {k: bool(row.get(k)) for k in ("lstrip", "rstrip", "single_word", "normalized")}
            special = bool(row.get("special"))
            library.add_tokens([AddedToken(content, special=special, **flags)])
            marked.add(content)
    named = [_content(config[f"{role}_token"]) for role in ROLES if config.get(f"{role}_token")]
    missing = [
        t for t in dict.fromkeys(named) if t not in marked and library.token_to_id(t) is not None
    ]
    library.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in missing])


def _roles(library: Library, config: Mapping[str, Any]) -> dict[str, str]:
    """Role -> token: as the config says, else as the style does whose tokens are all there."""
    named = {
        role: _content(config[f"{role}_token"]) for role in ROLES if config.get(f"{role}_token")
    }
    roles = {role: token for role, token in named.items() if library.token_to_id(token) is not None}
    if roles:
        return roles
    for style in STYLES.values():
        if all(library.token_to_id(token) is not None for token in style.tokens):
            return dict(style.roles)
    return {}
