"""What a model does not get of labelled or bare texts: tokens cut, words unknown, answers lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from foretext.tasks.base import Features
from foretext.tasks.inputs import InputFormat

UNKNOWN_NOTED = 0.01  # share of unknown tokens from which it is said


@dataclass
class Tally:
    """Counts over the examples that were encoded."""

    examples: int = 0
    cut: int = 0  # examples of which something was left out
    cut_tokens: int = 0
    longest: int = 0  # tokens of the longest sequence, had it not been cut
    tokens: int = 0  # of texts, those that were read
    unknown: int = 0  # of them
    lost: Counter[str] = field(default_factory=Counter)  # what can never be answered right

    def add(self, encoded: Sequence[Sequence[Features]], layout: InputFormat) -> None:
        """Count the samples of some examples."""
        unknown = layout.tokenizer.special.unk
        for samples in encoded:
            self.examples += 1
            inputs = [one for sample in samples for one in sample.inputs]
            left_out = sum(one.left_out for one in inputs)
            self.cut += left_out > 0
            self.cut_tokens += left_out
            for one in inputs:
                self.longest = max(self.longest, len(one.ids) + one.left_out)
                self.tokens += len(one.ids) - sum(one.special)
                if unknown is not None:
                    self.unknown += one.ids.count(unknown)
            for sample in samples:
                self.lost.update(sample.lost)

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that are the unknown one."""
        return self.unknown / max(self.tokens, 1)

    def said(self, unit: str, layout: InputFormat) -> list[str]:
        """A line for each kind of loss, with its remedy.

        Args:
            unit: what an example is called, in the plural.
            layout: with which they were encoded.
        """
        lines = []
        if self.cut:
            share = self.cut_tokens / (self.cut_tokens + self.tokens)
            lines.append(
                f"{self.cut:,} of {self.examples:,} {unit} are cut at {layout.max_length} tokens; "
                f"{share:.1%} of all tokens are not read; the longest needs data.max_length="
                f"{self.longest}, or read more of each with data.long_text=windows or head+tail"
            )
        if self.unknown_rate > UNKNOWN_NOTED:
            lines.append(
                f"{self.unknown_rate:.1%} of the tokens are unknown to the tokenizer "
                f"({self.unknown:,} of {self.tokens:,}); the model cannot tell them apart, so "
                "train its tokenizer on text like this, or add words to it with "
                "`foretext finetune RUN masked --set task.new_tokens=N`"
            )
        lines += [f"{count:,} {what}" for what, count in self.lost.items()]
        return lines
