"""Files of the sentencepiece library (`spiece.model`), read without it: T5, ALBERT, XLNet.

Format: google/sentencepiece, src/sentencepiece_model.proto, a protocol buffer of a handful of
fields, of which those that decide a tokenisation are read here. Unigram models alone: a file of
byte-pair merges keeps no merges. Deviation: control symbols written in a text (`</s>`) are found,
as in all tokenizers here; sentencepiece spells them out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Library

from foretext.core.errors import TokenizerError
from foretext.tokenizers.components import guarded
from foretext.tokenizers.special import STYLES, Style, sentinels

NAMES = ("spiece.model", "sentencepiece.model", "sentencepiece.bpe.model")
_SPACE = "▁"
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)
_MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "character"}
_NEVER = -1e9  # score of a piece that is marked unused
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types

Fields = dict[int, list[Any]]


@dataclass(frozen=True, kw_only=True)
class _Model:
    pieces: list[tuple[str, float, int]]  # spelling, log-probability (nats), type
    charsmap: bytes  # compiled rules of normalisation; empty if there are none
    byte_fallback: bool
    whole_words: bool  # no piece crosses a space
    prefix: bool  # a space is put before a text
    collapses: bool  # runs of spaces become one


def read(path: Path, config: Mapping[str, Any]) -> tuple[Library, dict[str, Any]]:
    """The tokenizer in a file of sentencepiece's, and its roles under tokenizer_config.json's.

    A vocabulary that begins as T5's and has no sentinels gets them at its end, in descending order:
    as many as `extra_ids` of the config says, 100 if it does not.

    Raises:
        TokenizerError: the file is damaged, or of a model that is not unigram.
    """
    model = _checked(path, _parsed(path))
    names = [piece for piece, _, _ in model.pieces]
    style = next((s for s in STYLES.values() if s.front and _begins(names, s)), None)
    vocab = [
        (piece, _NEVER if kind == _UNUSED else score if kind == _NORMAL else 0.0)
        for piece, score, kind in model.pieces
    ]
    extra = _sentinels(path, names, style, config)
    vocab += [(token, 0.0) for token in extra]
    unk = next(i for i, (_, _, kind) in enumerate(model.pieces) if kind == _UNKNOWN)
    library = guarded(
        lambda: Library(models.Unigram(vocab, unk_id=unk, byte_fallback=model.byte_fallback)),
        f"{path} is no vocabulary that can be used",
    )
    _set_parts(library, model, path)
    special = [piece for piece, _, kind in model.pieces if kind in (_UNKNOWN, _CONTROL)]
    library.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in [*special, *extra]]
    )
    user = [piece for piece, _, kind in model.pieces if kind == _USER]
    library.add_tokens([AddedToken(token, normalized=False) for token in user])
    roles = {"unk": names[unk]} if style is None else dict(style.roles)
    if style is not None and all(library.token_to_id(t) is not None for t in style.single_tokens):
        style.attach(library)
    return library, {f"{role}_token": token for role, token in roles.items()} | dict(config)


def _begins(names: list[str], style: Style) -> bool:
    return names[: len(style.front)] == list(style.front)


def _sentinels(
    path: Path, names: list[str], style: Style | None, config: Mapping[str, Any]
) -> list[str]:
    if style is not STYLES["t5"] or any("<extra_id_" in name for name in names):
        return []
    count = config.get("extra_ids", len(STYLES["t5"].back))
    if not isinstance(count, int) or not 0 <= count <= 10_000:
        raise TokenizerError(
            f"{path.parent}: extra_ids={str(count)[:20]!r} in tokenizer_config.json must be a "
            "number of sentinels from 0 to 10000; T5 has 100"
        )
    return list(sentinels(count))


def _set_parts(library: Library, model: _Model, path: Path) -> None:
    """What happens to a text before and after its pieces."""
    steps: list[Any] = []
    if model.charsmap:
        steps.append(
            guarded(
                lambda: normalizers.Precompiled(model.charsmap),
                f"{path}: its rules of normalisation are damaged",
            )
        )
    if model.collapses:
        steps += [
            normalizers.Replace(Regex("^ +| +$"), ""),  # of white space, spaces alone
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    library.normalizer = normalizers.Sequence(steps)
    scheme = "always" if model.prefix else "never"
    parts = {"replacement": _SPACE, "prepend_scheme": scheme}
    library.pre_tokenizer = pre_tokenizers.Metaspace(**parts, split=model.whole_words)
    spaces = decoders.Metaspace(**parts, split=model.whole_words)
    bytes_too = decoders.Sequence([decoders.ByteFallback(), spaces])
    library.decoder = bytes_too if model.byte_fallback else spaces


def _checked(path: Path, model: _Model) -> _Model:
    if not model.pieces:
        raise TokenizerError(f"{path} holds no pieces; is it a model of sentencepiece's?")
    names = [piece for piece, _, _ in model.pieces]
    if len(set(names)) < len(names) or "" in names:
        raise TokenizerError(f"{path} has an empty or a repeated piece; fetch it anew")
    if not all(math.isfinite(score) for _, score, _ in model.pieces):
        raise TokenizerError(f"{path} has a score that is no finite number; fetch it anew")
    kinds = [kind for _, _, kind in model.pieces]
    if kinds.count(_UNKNOWN) != 1 or not set(kinds) <= set(range(1, 7)):
        raise TokenizerError(
            f"{path} has {kinds.count(_UNKNOWN)} pieces for what is unknown, but must have one"
        )
    return model


def _parsed(path: Path) -> _Model:
    try:
        top = _fields(path.read_bytes())
        pieces = []
        for raw in top.get(1, []):
            one = _fields(raw)
            score = struct.unpack("<f", one[2][-1])[0] if 2 in one else 0.0
            # As few digits as fp32 has: the library reads longer ones back a bit wrong.
            pieces.append((one[1][-1].decode(), round(score, 8), _number(one, 3, _NORMAL)))
        trainer, normalizer = (_fields(top.get(i, [b""])[-1]) for i in (2, 3))
        kind = _number(trainer, 3, 1)
        charsmap = bytes(normalizer.get(2, [b""])[-1])
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read ({error}); is it whole?") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise TokenizerError(
            f"{path} is no model of sentencepiece's, or is damaged; fetch it anew"
        ) from error
    if kind != 1:
        raise TokenizerError(
            f"{path} holds a {_MODEL_TYPES.get(kind, f'type-{kind}')} model of sentencepiece's, "
            "but only unigram models can be read; convert it to tokenizer.json"
        )
    return _Model(
        pieces=pieces,
        charsmap=charsmap,
        byte_fallback=bool(_number(trainer, 35, 0)),
        whole_words=bool(_number(trainer, 22, 1)),
        prefix=bool(_number(normalizer, 3, 1)),
        collapses=bool(_number(normalizer, 4, 1)),
    )


def _number(found: Fields, number: int, default: int) -> int:
    value = found.get(number, [default])[-1]
    if not isinstance(value, int):
        raise ValueError("a field has another type")
    return value


def _fields(data: bytes) -> Fields:
    """Values of a protocol buffer by field number; a sub-message is its bytes.

    Raises:
        ValueError: it is none.
    """
    found: Fields = {}
    for number, value in _values(data):
        found.setdefault(number, []).append(value)
    return found


def _values(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_EIGHT, _FOUR):
            size = 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or at + size > len(data):
            raise ValueError("the data ends inside a field")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("the data ends inside a number")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
