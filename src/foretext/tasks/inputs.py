"""How texts become one sequence of a model: the two input layouts of the papers.

    encoders             [CLS] A [SEP]          [CLS] A [SEP] B [SEP]
    left-to-right models _start_ A _classify_   _start_ A _delimiter_ B _classify_

Papers: Devlin et al. 2019, figure 2 and the pair truncation of run_classifier.py; Radford et al.
2018, section 3.3, and the names of finetune-transformer-lm (train.py, text_utils.py). Deviations:
that code cuts each text of a pair to half the length even where the other half stays empty; here a
pair that does not fit loses from its longer text, as BERT's. Where the tokenizer has no token for
padding, `_start_` becomes it in what is saved: other tools look for the last token that is no
padding, and `_start_` never is the last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer as Library
from tokenizers.processors import TemplateProcessing
from torch import nn

from foretext.core.errors import ConfigError
from foretext.nn.backbone import Backbone, Reads, each_table
from foretext.tokenizers import Tokenizer
from foretext.tokenizers.spelling import OpenTokenizer

START, DELIMITER, EXTRACT = _TOKENS = ("_start_", "_delimiter_", "_classify_")
_NEW_ROW_STD = 0.02  # of the three tokens' embeddings; GPT-1's train.py


@dataclass(frozen=True, slots=True)
class Input:
    """One sequence that a model reads."""

    ids: list[int]  # [tokens]
    segments: list[int]  # [tokens], 0 or 1
    special: list[bool]  # [tokens], True at tokens of the layout
    starts: tuple[int, ...] = ()  # the first token of each text
    left_out: int = 0  # tokens of the texts that did not fit


class InputFormat(Protocol):
    """Puts one or two texts into a sequence of at most max_length tokens."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def max_length(self) -> int: ...

    @property
    def long_text(self) -> str: ...

    def arrange(self, first: Sequence[int], second: Sequence[int] | None = None) -> Input:
        """The sequence of one text's ids, or of two texts'."""
        ...

    def max_tokens(self, first: int | None = None) -> int:
        """Tokens of a text that fit alone, or as the second of two after `first` tokens."""
        ...


@dataclass(frozen=True, kw_only=True)
class EncoderFormat:
    """`[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`; B and its [SEP] are segment 1.

    RoBERTa's tokenizers put two separators between the texts: `<s> A </s></s> B </s>`.
    """

    tokenizer: Tokenizer
    max_length: int  # tokens, the layout's own included
    long_text: str = "head"  # what is read of a text that does not fit, see long_text.py

    def __post_init__(self) -> None:
        if self.tokenizer.special.cls is None or self.tokenizer.special.sep is None:
            raise ConfigError(
                "an encoder's input needs [CLS] and [SEP], and this tokenizer lacks them; train "
                "the model with one that has them (special_tokens=bert)"
            )

    def arrange(self, first: Sequence[int], second: Sequence[int] | None = None) -> Input:
        """The sequence of one text's ids, or of two texts'; the longer text is cut first."""
        head, tail = self.tokenizer.special.cls, self.tokenizer.special.sep
        assert head is not None
        assert tail is not None
        if second is None:
            a = list(first[: self.max_length - 2])
            ids, special = [head, *a, tail], [True, *[False] * len(a), True]
            return Input(ids, [0] * len(ids), special, (1,), len(first) - len(a))
        between = [tail] * self.tokenizer.num_separators
        keep_a, keep_b = longest_first(len(first), len(second), self.max_tokens(0))
        a, b = list(first[:keep_a]), list(second[:keep_b])
        return Input(
            [head, *a, *between, *b, tail],
            [0] * (len(a) + 1 + len(between)) + [1] * (len(b) + 1),
            [True, *[False] * len(a), *[True] * len(between), *[False] * len(b), True],
            (1, 1 + len(a) + len(between)),
            len(first) + len(second) - keep_a - keep_b,
        )

    def max_tokens(self, first: int | None = None) -> int:
        """Tokens of a text that fit alone, or as the second of two after `first` tokens."""
        if first is None:
            return self.max_length - 2
        return self.max_length - 2 - self.tokenizer.num_separators - first


@dataclass(frozen=True, kw_only=True)
class ClsLastFormat:
    """`A <sep> <cls>` and `A <sep> B <sep> <cls>`, in segments 0, 1 and, of <cls>, 2 (XLNet)."""

    tokenizer: Tokenizer
    max_length: int  # tokens, the layout's own included
    long_text: str = "head"  # what is read of a text that does not fit, see long_text.py

    def __post_init__(self) -> None:
        if self.tokenizer.special.cls is None or self.tokenizer.special.sep is None:
            raise ConfigError(
                "the model's input needs <sep> and <cls>, and this tokenizer lacks them; train the "
                "model with one that has them (special_tokens=xlnet)"
            )

    def arrange(self, first: Sequence[int], second: Sequence[int] | None = None) -> Input:
        """The sequence of one text's ids, or of two texts'; the longer text is cut first."""
        sep, cls = self.tokenizer.special.sep, self.tokenizer.special.cls
        assert sep is not None
        assert cls is not None
        keep_a, keep_b = min(len(first), self.max_tokens()), 0
        if second is not None:
            keep_a, keep_b = longest_first(len(first), len(second), self.max_tokens(0))
        a, b = list(first[:keep_a]), list((second or ())[:keep_b])
        left_out = len(first) + len(second or ()) - keep_a - keep_b
        ids, segments = [*a, sep], [0] * (len(a) + 1)
        special, starts = [*[False] * len(a), True], [0]
        if second is not None:
            starts.append(len(ids))
            ids, segments = [*ids, *b, sep], [*segments, *[1] * (len(b) + 1)]
            special = [*special, *[False] * len(b), True]
        return Input([*ids, cls], [*segments, 2], [*special, True], tuple(starts), left_out)

    def max_tokens(self, first: int | None = None) -> int:
        """Tokens of a text that fit alone, or as the second of two after `first` tokens."""
        return self.max_length - (2 if first is None else 3 + first)


def longest_first(first: int, second: int, limit: int) -> tuple[int, int]:
    """Lengths of two texts after the longer one lost its last token until both fit the limit.

    On equal lengths the second loses one (run_classifier.py, _truncate_seq_pair).
    """
    if first + second <= limit:
        return first, second
    share = limit // 2
    if second < share:
        return limit - second, second
    if first < limit - share:
        return first, limit - first
    return limit - share, share


@dataclass(frozen=True, kw_only=True)
class ExtractFormat:
    """`_start_ A _classify_` and `_start_ A _delimiter_ B _classify_`, all in segment 0."""

    tokenizer: Tokenizer  # with the three tokens
    max_length: int  # tokens, the layout's own included
    long_text: str = "head"  # what is read of a text that does not fit, see long_text.py

    def arrange(self, first: Sequence[int], second: Sequence[int] | None = None) -> Input:
        """The sequence of one text's ids, or of two texts'; the longer text is cut first."""
        start, delimiter, extract = (self.tokenizer.id_of(token) or 0 for token in _TOKENS)
        if second is None:
            a = list(first[: self.max_length - 2])
            ids, special = [start, *a, extract], [True, *[False] * len(a), True]
        else:
            keep_a, keep_b = longest_first(len(first), len(second), self.max_tokens(0))
            a, b = list(first[:keep_a]), list(second[:keep_b])
            ids = [start, *a, delimiter, *b, extract]
            special = [True, *[False] * len(a), True, *[False] * len(b), True]
        starts = (1,) if second is None else (1, 2 + len(a))
        given = len(first) + len(second or ())
        return Input(ids, [0] * len(ids), special, starts, given - special.count(False))

    def max_tokens(self, first: int | None = None) -> int:
        """Tokens of a text that fit alone, or as the second of two after `first` tokens."""
        return self.max_length - (2 if first is None else 3 + first)


@dataclass(frozen=True, kw_only=True)
class SourceFormat:
    """`A </s>`, and what is to be written as `<pad> B </s>`; for models from source to target."""

    tokenizer: Tokenizer
    max_length: int  # tokens of a source, the layout's own included
    long_text: str = "head"  # the rest is left out

    def __post_init__(self) -> None:
        if self.tokenizer.special.eos is None or self.tokenizer.special.pad is None:
            raise ConfigError(
                "a source ends with the end-of-text token and a target begins with the one for "
                "padding, and this tokenizer lacks one of them; use the model's own"
            )

    def arrange(self, first: Sequence[int], second: Sequence[int] | None = None) -> Input:
        """The sequence of one text's ids, cut at its end; of two texts as one."""
        room = self.max_length - 1
        a, b = list(first[:room]), list(second or ())
        b = b[: room - len(a)]
        starts = (0,) if second is None else (0, len(a))
        left_out = len(first) + len(second or ()) - len(a) - len(b)
        return replace(self._ended([*a, *b], starts=starts), left_out=left_out)

    def written(self, ids: Sequence[int]) -> Input:
        """The sequence of a target: the start token, a text's ids, the end-of-text token."""
        start = self.tokenizer.special.pad or 0
        return self._ended([start, *ids])

    def _ended(self, ids: list[int], starts: tuple[int, ...] = (0,)) -> Input:
        eos = self.tokenizer.special.eos
        assert eos is not None
        return Input([*ids, eos], [0] * (len(ids) + 1), [*[False] * len(ids), True], starts)

    def max_tokens(self, first: int | None = None) -> int:
        """Tokens of a text that fit alone, or as the second of two after `first` tokens."""
        return self.max_length - 1 - (first or 0)


def reads_left_to_right(model: Backbone | type[Backbone] | None) -> bool:
    """Whether only a sequence's last state has seen all of it: the models that can be continued.

    None is no model yet, which is taken for an encoder.
    """
    return model is not None and model.reads is Reads.LEFT_TO_RIGHT


def input_format_for(
    model: Any, tokenizer: Tokenizer, max_length: int, long_text: str = "head"
) -> InputFormat:
    """The layout that fits a model.

    Raises:
        ConfigError: the tokenizer lacks the layout's tokens.
    """
    if model is not None and model.spells:
        tokenizer = OpenTokenizer(tokenizer)
    kind: type[ExtractFormat | EncoderFormat | ClsLastFormat | SourceFormat] = EncoderFormat
    if model is not None and model.reads is Reads.SOURCE_TO_TARGET:
        kind = SourceFormat
    elif reads_left_to_right(model):
        kind = ExtractFormat
    elif model is not None and model.cls_last:
        kind = ClsLastFormat
    return kind(tokenizer=tokenizer, max_length=max_length, long_text=long_text)


def task_tokenizer(tokenizer: Tokenizer, model: Any) -> Tokenizer:
    """The tokenizer with the tokens of the model's layout, and the layout as its own template.

    Args:
        tokenizer: of the model; that of an encoder is returned as it is.
        model: or its class.

    Raises:
        ConfigError: an encoder's tokenizer lacks [CLS] or [SEP].
    """
    if reads_left_to_right(model):
        new = [token for token in _TOKENS if tokenizer.id_of(token) is None]
        tokenizer = _with_template(tokenizer.add_tokens(new) if new else tokenizer)
    return tokenizer


def fit_to_tokens(
    model: Any, before: Tokenizer, after: Tokenizer, generator: torch.Generator
) -> None:
    """Give a model embeddings, from N(0, .02), of the tokens that task_tokenizer added.

    Args:
        model: changed in place; its token table grows where it has too few rows.
        before: the model's tokenizer.
        after: with the tokens.
        generator: of the new rows.

    Raises:
        ConfigError: the model's tokenizer has more tokens than the model has rows.
    """
    rows = model.config.vocab_size
    if before.vocab_size > rows:
        raise ConfigError(
            f"the tokenizer has {before.vocab_size} tokens, but the model knows {rows}; they do "
            "not belong together"
        )
    new = [after.id_of(token) or 0 for token in _TOKENS if before.id_of(token) is None]
    if not new or not reads_left_to_right(model):
        return
    if after.vocab_size > rows:
        _grow(model, after.vocab_size)
    drawn = torch.empty(len(new), model.config.hidden_size)
    drawn.normal_(0, _NEW_ROW_STD, generator=generator)
    with torch.no_grad():
        model.embeddings.token.weight[new] = drawn


def _grow(model: Backbone, rows: int) -> None:
    """Add rows of zeros to the token table, and to an output of its own."""

    def longer(old: nn.Parameter) -> nn.Parameter:
        new = old.new_zeros(rows, *old.shape[1:])
        new[: len(old)] = old.detach()
        return nn.Parameter(new, requires_grad=old.requires_grad)

    each_table(model, longer)


def _with_template(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer whose own template, which other tools follow, is the layout."""
    library = Library.from_str(json.dumps(tokenizer.description))
    library.post_processor = TemplateProcessing(
        single=f"{START} $A {EXTRACT}",
        pair=f"{START} $A {DELIMITER} $B:0 {EXTRACT}",
        special_tokens=[(t, tokenizer.id_of(t)) for t in _TOKENS],
    )
    return Tokenizer(library, roles={"pad": START} | tokenizer.roles, note=tokenizer.note)
