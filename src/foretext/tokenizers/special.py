"""Special tokens: what each role is called in each family, and where it lies in the vocabulary.

A style is a row of `STYLES`. Roles are the field's: unk pad cls sep mask bos eos. Ids at the front
come first in the vocabulary, those at the back last, as the published vocabularies have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tokenizers import Tokenizer as Library
from tokenizers import processors

from foretext.core.errors import TokenizerError


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Ids by role; None where the tokenizer has no such token."""

    unk: int | None = None
    pad: int | None = None
    cls: int | None = None
    sep: int | None = None
    mask: int | None = None
    bos: int | None = None
    eos: int | None = None


ROLES = tuple(f.name for f in fields(SpecialTokens))


@dataclass(frozen=True, kw_only=True)
class Style:
    """The special tokens of a family.

    Attributes:
        front: tokens at ids 0, 1, ...
        back: tokens at the last ids.
        roles: role -> token.
        single: template of one text for `tokenizers`' TemplateProcessing, or None.
        pair: the same for two texts.
        swallows_space: token that takes the spaces before it with it, or None.
    """

    front: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    single: str | None = None
    pair: str | None = None
    swallows_space: str | None = None

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.front + self.back

    @property
    def single_tokens(self) -> tuple[str, ...]:
        """The tokens of the template, which are those of a pair too."""
        words = [word.split(":")[0] for word in (self.single or "").split()]
        return tuple(word for word in words if word in self.tokens)

    def arrange(self, learned: list[str]) -> list[str]:
        """The whole vocabulary, in the order of ids: front, learned, back."""
        return [*self.front, *learned, *self.back]

    def attach(self, library: Library) -> None:
        """Set the template of one and of two texts; the vocabulary must hold the tokens."""
        if self.single is None or self.pair is None:
            return
        named = self.single_tokens
        library.post_processor = processors.TemplateProcessing(
            single=self.single,
            pair=self.pair,
            special_tokens=[(token, library.token_to_id(token)) for token in named],
        )


def sentinel(number: int) -> str:
    """T5's token that stands for the number-th hidden span, from 0."""
    return f"<extra_id_{number}>"


def sentinels(count: int) -> tuple[str, ...]:
    """T5's sentinels in the order of their ids: `<extra_id_0>` has the highest."""
    return tuple(sentinel(number) for number in reversed(range(count)))


STYLES: dict[str, Style] = {
    "bert": Style(
        front=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        roles={"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
    ),
    "gpt2": Style(
        back=("<|endoftext|>",),
        roles={"unk": "<|endoftext|>", "bos": "<|endoftext|>", "eos": "<|endoftext|>"},
    ),
    "gpt1": Style(front=("<unk>",), roles={"unk": "<unk>"}),
    "roberta": Style(
        front=("<s>", "<pad>", "</s>", "<unk>"),
        back=("<mask>",),
        roles={
            "bos": "<s>",
            "cls": "<s>",
            "pad": "<pad>",
            "eos": "</s>",
            "sep": "</s>",
            "unk": "<unk>",
            "mask": "<mask>",
        },
        single="<s>:0 $A:0 </s>:0",
        pair="<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0",
        swallows_space="<mask>",
    ),
    "albert": Style(
        front=("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        roles={
            "bos": "[CLS]",
            "cls": "[CLS]",
            "pad": "<pad>",
            "eos": "[SEP]",
            "sep": "[SEP]",
            "unk": "<unk>",
            "mask": "[MASK]",
        },
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        swallows_space="[MASK]",
    ),
    "xlnet": Style(
        front=(
            *("<unk>", "<s>", "</s>", "<cls>", "<sep>"),
            *("<pad>", "<mask>", "<eod>", "<eop>"),
        ),
        roles={
            "unk": "<unk>",
            "bos": "<s>",
            "eos": "</s>",
            "cls": "<cls>",
            "sep": "<sep>",
            "pad": "<pad>",
            "mask": "<mask>",
        },
        single="$A:0 <sep>:0 <cls>:2",
        pair="$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
    ),
    "t5": Style(
        front=("<pad>", "</s>", "<unk>"),
        back=sentinels(100),
        roles={"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
        single="$A:0 </s>:0",
        pair="$A:0 </s>:0 $B:0 </s>:0",
    ),
    "elmo": Style(
        front=("<S>", "</S>", "<UNK>"),
        roles={"bos": "<S>", "cls": "<S>", "eos": "</S>", "sep": "</S>", "unk": "<UNK>"},
        single="<S>:0 $A:0 </S>:0",
        pair="<S>:0 $A:0 </S>:0 $B:1 </S>:1",
    ),
    "bytes": Style(  # last: T5 has these tokens too, among others
        front=("<pad>", "</s>"),
        roles={"pad": "<pad>", "unk": "</s>", "bos": "</s>", "eos": "</s>"},
    ),
}


def style_named(name: str) -> Style:
    """The row of `STYLES`.

    Raises:
        TokenizerError: there is no such style.
    """
    if name not in STYLES:
        raise TokenizerError(
            f"style {name!r} of special tokens is not known; choose one of {', '.join(STYLES)}"
        )
    return STYLES[name]
