"""The tokenizer all else sees: text to ids and back, roles, word borders, a fingerprint.

It wraps a `tokenizers` library object and keeps nothing beside it but the roles of the special
tokens, so that tokenizer.json is the whole truth. It never fetches anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken
from tokenizers import Tokenizer as Library

from foretext.core.errors import TokenizerError
from foretext.core.words import Spelling
from foretext.tokenizers import files, writing
from foretext.tokenizers.components import component_types, guarded
from foretext.tokenizers.special import ROLES, SpecialTokens, Style, sentinel
from foretext.tokenizers.splitting import split_long

_PIECE = 1 << 16  # characters; longer texts are cut, see splitting.py
_GROUP = 1 << 21  # characters encoded at once: bounds the memory of the library's results
_UNKNOWN = 10**9  # tokens; transformers writes 1e30


class Tokenizer:
    """Text to token ids and back.

    Attributes:
        spelling: the characters of its tokens, where words outside the vocabulary have ids of their
            own; None where they are unknown. See spelling.py.
    """

    spelling: Spelling | None = None

    def __init__(
        self,
        library: Library,
        *,
        roles: Mapping[str, str] | None = None,
        note: str = "",
        max_length: object = None,
    ) -> None:
        """Wrap a library object.

        Args:
            library: taken over; truncation and padding are switched off.
            roles: role -> token, for roles of `SpecialTokens`.
            note: what the user should know, such as a vocabulary smaller than asked for.
            max_length: tokens that its model was trained on at once, as its files say; what is no
                such number, as the 1e30 of transformers for "unknown", is None.

        Raises:
            TokenizerError: a role's token is not in the vocabulary.
        """
        library.no_truncation()
        library.no_padding()
        self._library = library
        self.note = note
        self.max_length: int | None = None
        if isinstance(max_length, int) and 0 < max_length < _UNKNOWN:
            self.max_length = max_length
        self.roles = {role: token for role, token in (roles or {}).items() if role in ROLES}
        ids = {role: library.token_to_id(token) for role, token in self.roles.items()}
        for role, token_id in ids.items():
            if token_id is None:
                raise TokenizerError(
                    f"special token {self.roles[role]!r} for {role} is not in the vocabulary; "
                    "add it to tokenizer.json or drop it from tokenizer_config.json"
                )
        self.special = SpecialTokens(**ids)

    @classmethod
    def finish(cls, library: Library, *, style: Style, asked: int) -> Tokenizer:
        """Mark the style's tokens as special, set its template, and say if pieces ran out."""
        library.add_special_tokens(
            [
                AddedToken(t, normalized=False, special=True, lstrip=t == style.swallows_space)
                for t in style.tokens
            ]
        )
        style.attach(library)
        found = library.get_vocab_size()
        note = ""
        if found < asked:
            note = (
                f"the vocabulary has {found} tokens, not {asked}: the text gives no more; "
                "use more text or ask for fewer"
            )
        return cls(library, roles=style.roles, note=note)

    # -- what it is ---------------------------------------------------------------------------

    @cached_property
    def description(self) -> dict[str, Any]:
        """tokenizer.json as a dictionary."""
        return json.loads(self._library.to_str())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of tokenizer.json with its keys sorted."""
        canonical = json.dumps(self.description, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def kind(self) -> str:
        """wordpiece, byte-bpe, bytes, bpe, unigram, characters, words or spelled-words."""
        model = self.description["model"]["type"]
        cuts = component_types(self.description["pre_tokenizer"])
        decoder = component_types(self.description["decoder"])
        if model == "BPE" and "ByteLevel" in cuts:
            return "byte-bpe" if self.description["model"]["merges"] else "bytes"
        if model == "BPE":
            return "bpe"
        if model == "WordLevel":
            if "Split" not in cuts:
                return "words"
            return "characters" if "Fuse" in decoder else "spelled-words"
        return {"WordPiece": "wordpiece", "Unigram": "unigram"}[model]

    @cached_property
    def _tokens(self) -> list[str]:
        """Tokens by id; "" where a foreign vocabulary leaves an id out."""
        vocab: dict[str, int] = self._library.get_vocab(with_added_tokens=True)
        tokens = [""] * (max(vocab.values()) + 1)
        for token, i in vocab.items():
            tokens[i] = token
        return tokens

    @property
    def vocab_size(self) -> int:
        """The highest id + 1."""
        return len(self._tokens)

    @cached_property
    def special_ids(self) -> list[int]:
        """Ids of all special tokens, those of `add_tokens` too, in order."""
        added = self._library.get_added_tokens_decoder()
        named = {self._library.token_to_id(token) or 0 for token in self.roles.values()}
        return sorted({i for i, token in added.items() if token.special} | named)

    @cached_property
    def sentinel_ids(self) -> tuple[int, ...]:
        """Ids of <extra_id_0>, <extra_id_1>, ..., as far as they follow each other; T5's."""
        numbers = (self.id_of(sentinel(number)) for number in count())
        return tuple(takewhile(lambda i: i is not None, numbers))  # type: ignore[arg-type]

    @cached_property
    def starts_word(self) -> NDArray[np.bool_]:
        """Does this token begin a word by itself? [vocab]."""
        model = self.description["model"]
        prefix = model.get("continuing_subword_prefix")
        special = set(self.special_ids)

        def starts(i: int, token: str) -> bool:
            if i in special or self.kind in {"words", "spelled-words"}:
                return True
            if prefix:
                return not token.startswith(prefix)
            if self.kind == "characters":
                return token.isspace()
            # Byte-level symbols of space, tab, newline and carriage return; Metaspace.
            return self.kind != "wordpiece" and token[:1] in {"Ġ", "ĉ", "Ċ", "č", "▁"}

        return np.array([starts(i, t) for i, t in enumerate(self._tokens)], dtype=np.bool_)

    @cached_property
    def ends_word(self) -> NDArray[np.bool_]:
        """Does the token after this one begin a word? [vocab]."""
        suffix = self.description["model"].get("end_of_word_suffix")
        if self.kind in {"byte-bpe", "bytes"}:
            suffix = ("ĉ", "Ċ", "č")  # tab, newline, carriage return
        special = set(self.special_ids)
        ends = [
            i in special or bool(suffix and t.endswith(suffix)) for i, t in enumerate(self._tokens)
        ]
        return np.array(ends, dtype=np.bool_)

    def token(self, token_id: int) -> str:
        """The token as the vocabulary spells it.

        Raises:
            TokenizerError: there is no such id.
        """
        if not 0 <= token_id < self.vocab_size:
            raise TokenizerError(
                f"token id {token_id} is not in 0..{self.vocab_size - 1}; "
                "was the text encoded with another tokenizer?"
            )
        return self._tokens[token_id]

    @cached_property
    def num_separators(self) -> int:
        """Separators between the two texts of a pair: 1, or 2 where its template says so."""
        frame = self._library.encode("", "", add_special_tokens=True).ids
        return 2 if sum(i == self.special.sep for i in frame) > 2 else 1

    @property
    def inputs(self) -> list[str]:
        """What it gives a model; segments where its template tells the texts of a pair apart.

        The generic class of transformers would leave them out.
        """
        pair = (self.description["post_processor"] or {}).get("pair", [])
        has_segments = any(value["type_id"] for piece in pair for value in piece.values())
        return ["input_ids", *(["token_type_ids"] if has_segments else []), "attention_mask"]

    def id_of(self, token: str) -> int | None:
        """The id of a token, None if there is no such token."""
        return self._library.token_to_id(token)

    # -- text to ids --------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without template; a special token written in the text is found."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in parallel, without template.

        Raises:
            TokenizerError: a text cannot be encoded (lone surrogates, or the library fails).
        """
        results: list[list[int]] = [[] for _ in texts]
        for pieces in self._groups(texts):
            encoded = self._run(self._library.encode_batch_fast, [piece for _, _, piece in pieces])
            for (i, _, _), encoding in zip(pieces, encoded, strict=True):
                if results[i]:
                    results[i].extend(encoding.ids)
                else:
                    results[i] = encoding.ids
        return results

    def encode_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each text the ids [tokens] and where each token starts, in characters [tokens].

        A token that carries the space before its word starts where the word starts.
        """
        return [(ids, starts) for ids, starts, _ in self.encode_spans(texts)]

    def encode_spans(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """For each text its ids, where each token starts, and where it stops (exclusive), [tokens].

        Positions are characters of the text as given; starts as in encode_offsets. Tokens that are
        parts of one character have its position.
        """
        found: list[tuple[list[int], list[int], list[int]]] = [([], [], []) for _ in texts]
        for pieces in self._groups(texts):
            encoded = self._run(self._library.encode_batch, [piece for _, _, piece in pieces])
            for (i, base, piece), encoding in zip(pieces, encoded, strict=True):
                ids, starts, stops = found[i]
                spans = encoding.offsets
                ids.extend(encoding.ids)
                starts.extend(base + start for start in self._starts(piece, spans))
                stops.extend(base + stop for _, stop in spans)
        return [
            (np.array(i, np.int64), np.array(a, np.int64), np.array(b, np.int64))
            for i, a, b in found
        ]

    def _starts(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """Where each span starts, after the white space that its token carries."""
        if self.kind not in {"byte-bpe", "unigram"}:
            return [start for start, _ in spans]
        return [
            stop - len(text[start:stop].lstrip())
            if stop > start + 1 and text[start].isspace() and not text[start:stop].isspace()
            else start
            for start, stop in spans
        ]

    def _groups(self, texts: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
        """Pieces of the texts (number of the text, offset in it, piece), some `_GROUP` characters
        at a time."""
        group: list[tuple[int, int, str]] = []
        held = 0
        for i, text in enumerate(texts):
            offset = 0
            for piece in split_long(text, _PIECE) if self._may_split else [text]:
                group.append((i, offset, piece))
                offset += len(piece)
                held += len(piece)
                if held >= _GROUP:
                    yield group
                    group, held = [], 0
        if group:
            yield group

    @cached_property
    def _may_split(self) -> bool:
        """Added tokens that hold a space or swallow the one after them would notice a cut."""
        added = self._library.get_added_tokens_decoder().values()
        return not any(token.rstrip or " " in token.content for token in added)

    def _run(self, encode: Callable[..., list[Any]], texts: list[str]) -> list[Any]:
        return guarded(
            lambda: encode(texts, add_special_tokens=False), "the text cannot be tokenised"
        )

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text, as white space separates them, that hold an unknown token."""
        if self.special.unk is None:
            return []
        words = list(dict.fromkeys(text.split()))
        found = zip(words, self.encode_batch(words), strict=True)
        return [word for word, ids in found if self.special.unk in ids]

    # -- ids to text --------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """The text of token ids; special tokens are left out if `skip_special`.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        numbers = [int(i) for i in ids]
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.vocab_size:
            self.token(min(numbers) if min(numbers) < 0 else max(numbers))
        return self._library.decode(numbers, skip_special_tokens=skip_special)

    # -- other tokenizers ---------------------------------------------------------------------

    def add_tokens(self, tokens: Sequence[str]) -> Tokenizer:
        """A new tokenizer with further special tokens at the end; those it has keep their ids."""
        library = Library.from_str(self._library.to_str())
        library.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in tokens])
        return Tokenizer(library, roles=self.roles, note=self.note, max_length=self.max_length)

    def limited_to(self, max_length: int | None) -> Tokenizer:
        """The same for a model that was trained on sequences of this many tokens at most.

        `transformers` then cuts texts there, where it is told to cut.
        """
        return Tokenizer(self._library, roles=self.roles, note=self.note, max_length=max_length)

    @property
    def limits(self) -> dict[str, int]:
        """What tokenizer_config.json says of the length."""
        return {} if self.max_length is None else {"model_max_length": self.max_length}

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and the family's older files."""
        more = self.limits | {"model_input_names": self.inputs}
        writing.save(folder, self.description, self.roles, more)

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read a tokenizer's folder, ours or one in the Hugging Face layout.

        Raises:
            TokenizerError: the folder holds none, or one that is damaged or unsafe.
        """
        found = files.load(folder)
        return cls(found.library, roles=found.roles, max_length=found.max_length)
