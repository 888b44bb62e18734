"""A tokenizer's folder as `transformers` and its elders read it: written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foretext.tokenizers.components import component_types
from foretext.tokenizers.special import STYLES


def save(
    folder: Path, description: dict[str, Any], roles: Mapping[str, str], more: Mapping[str, Any]
) -> None:
    """Write what `transformers` and its elders read; see `Tokenizer.save`.

    Args:
        folder: made if it is missing.
        description: tokenizer.json.
        roles: role -> token.
        more: further entries of tokenizer_config.json.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "tokenizer.json", description)
    named = {f"{role}_token": token for role, token in sorted(roles.items())}
    _write_json(folder / "special_tokens_map.json", named)
    name, options = _family(description, roles)
    config: dict[str, Any] = {
        "tokenizer_class": name,
        **named,
        **options,
        **more,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in description["added_tokens"]
        },
    }
    _write_json(folder / "tokenizer_config.json", config)
    model = description["model"]
    for other in ("vocab.txt", "vocab.json", "merges.txt"):
        (folder / other).unlink(missing_ok=True)  # of a tokenizer of another kind
    if name == "BertTokenizer":
        text = "".join(token + "\n" for token in sorted(model["vocab"], key=model["vocab"].get))
        (folder / "vocab.txt").write_text(text, encoding="utf-8")
    if model["type"] == "BPE":
        _write_json(folder / "vocab.json", model["vocab"])
        text = "".join(f"{left} {right}\n" for left, right in model["merges"])
        (folder / "merges.txt").write_text("#version: 0.2\n" + text, encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _family(description: dict[str, Any], roles: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The class that rebuilds exactly this tokenizer from its vocabulary, with its options.

    transformers' family classes ignore most of tokenizer.json; where none fits in every part, the
    generic class, which follows the file, is named.
    """
    normalizer, cut = description["normalizer"], description["pre_tokenizer"]
    for name, fits in _FAMILIES.items():
        if fits(description["model"], normalizer, cut, roles) and _frames(name, description):
            return name, _OPTIONS[name](normalizer, cut)
    return "PreTrainedTokenizerFast", {}


def _is_bert(model: Any, normalizer: Any, cut: Any, roles: Mapping[str, str]) -> bool:
    return (
        model["type"] == "WordPiece"
        and model["continuing_subword_prefix"] == "##"
        and model["max_input_chars_per_word"] == 100
        and _is_bert_cut(normalizer, cut)
        and roles.keys() == STYLES["bert"].roles.keys()
    )


def _is_bert_cut(normalizer: Any, cut: Any) -> bool:
    cleans = component_types(normalizer) == {"BertNormalizer"} and normalizer.get("clean_text")
    return bool(cleans) and cut == {"type": "BertPreTokenizer"}


def _is_gpt1(model: Any, normalizer: Any, cut: Any, roles: Mapping[str, str]) -> bool:
    return (
        model["type"] == "BPE"
        and model["end_of_word_suffix"] == "</w>"
        and not model["byte_fallback"]
        and _is_bert_cut(normalizer, cut)
        and normalizer == _GPT1_NORMALIZER
        and roles.keys() == STYLES["gpt1"].roles.keys()
    )


_GPT1_NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}


def _is_gpt2(model: Any, normalizer: Any, cut: Any, roles: Mapping[str, str]) -> bool:
    return (
        model["type"] == "BPE"
        and not model["end_of_word_suffix"]
        and not model.get("ignore_merges")
        and not model["byte_fallback"]
        and normalizer is None
        and cut is not None
        and cut["type"] == "ByteLevel"
        and cut["use_regex"]
        and roles.keys() == STYLES["gpt2"].roles.keys()
    )


def _is_roberta(model: Any, normalizer: Any, cut: Any, roles: Mapping[str, str]) -> bool:
    bytes_alone = _is_gpt2(model, normalizer, cut, STYLES["gpt2"].roles)
    return bytes_alone and dict(roles) == dict(STYLES["roberta"].roles)


def _frames(name: str, description: dict[str, Any]) -> bool:
    """Whether the class puts the tokens around texts that the file's template does."""
    if name != "RobertaTokenizer":
        return True
    frame = description["post_processor"] or {}
    pair = frame.get("pair", ())
    pieces = [piece["SpecialToken"]["id"] for piece in pair if "SpecialToken" in piece]
    published = frame.get("type") == "RobertaProcessing"
    return published or pieces == ["<s>", "</s>", "</s>", "</s>"]


_FAMILIES: dict[str, Callable[[Any, Any, Any, Mapping[str, str]], bool]] = {
    "BertTokenizer": _is_bert,
    "OpenAIGPTTokenizer": _is_gpt1,
    "GPT2Tokenizer": _is_gpt2,
    "RobertaTokenizer": _is_roberta,
}

_OPTIONS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "BertTokenizer": lambda normalizer, _: {
        "do_lower_case": normalizer["lowercase"],
        "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        "strip_accents": normalizer["strip_accents"],
    },
    "OpenAIGPTTokenizer": lambda _, __: {},
    "GPT2Tokenizer": lambda _, cut: {"add_prefix_space": cut["add_prefix_space"]},
    "RobertaTokenizer": lambda _, cut: {"add_prefix_space": cut["add_prefix_space"]},
}
