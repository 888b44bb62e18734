"""Parts of the tokenizers library that several files need: safe calls, and BERT's cleaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tokenizers import normalizers

from foretext.core.errors import TokenizerError

T = TypeVar("T")


def guarded(call: Callable[[], T], what: str) -> T:
    """The result of a call into the library, its failures turned into a TokenizerError.

    The library's Rust panics are BaseExceptions, which pass every `except Exception`.
    """
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:300]
        raise TokenizerError(f"{what}: {reason}; use another tokenizer or mend this one") from error


def bert_normalizer(*, lowercase: bool, compose: bool) -> normalizers.Normalizer:
    """BERT's cleaning; `lowercase` strips accents too, `compose` brings Hangul back together."""
    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase
    )
    return normalizers.Sequence([bert, normalizers.NFC()]) if compose else bert


def component_types(component: Any) -> set[str]:
    """The type of a part of tokenizer.json and of all parts inside it."""
    if isinstance(component, list):
        return set().union(*(component_types(part) for part in component))
    if not isinstance(component, dict):
        return set()
    own = {component["type"]} if isinstance(component.get("type"), str) else set()
    return own.union(*(component_types(part) for part in component.values()))
