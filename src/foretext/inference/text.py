"""From generated ids to text: where it stops, and how much of it is settled while it grows."""

from __future__ import annotations

from collections.abc import Sequence

from foretext.tokenizers import Tokenizer

_CONTEXT = 8  # tokens of the prompt that decide how the first generated one is joined to it
_SLACK = 4  # tokens that a stop text's tail may hold beyond one for each byte
_UNFINISHED = "\ufffd"  # what an incomplete UTF-8 sequence decodes to


class Continuation:
    """The text that ids add to a prompt.

    Args:
        tokenizer: of the model.
        prompt: ids of the prompt.
        stop: texts that end generation; the text is cut before the first of them.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._context = list(prompt[-_CONTEXT:])
        self._before = tokenizer.decode(self._context)
        self._stop = stop
        self._tail = max((len(s.encode()) for s in stop), default=0) + _SLACK

    def stopped(self, ids: Sequence[int]) -> bool:
        """Does the text hold a stop text?"""
        if not self._stop:
            return False
        tail = self._tokenizer.decode(ids[-self._tail :])
        if not any(s in tail for s in self._stop):  # most steps end here, at constant cost
            return False
        whole = self._added(ids)
        return any(s in whole for s in self._stop)

    def text(self, ids: Sequence[int]) -> str:
        """The whole text of finished ids, cut before a stop text."""
        text = self._added(ids)
        return text[: min(at for at in (*map(text.find, self._stop), len(text)) if at >= 0)]

    def settled(self, ids: Sequence[int]) -> str:
        """The part of the text that no further id can change; it ends at a whole character."""
        text = self.text(ids)
        if len(text) < len(self._added(ids)):
            return text
        if self._tokenizer.kind == "wordpiece":  # its decoder joins "do n't" and "end ." later
            text = text[: max(text.rfind(" "), 0)]
        text = text.removesuffix(_UNFINISHED)
        held = (
            size
            for s in self._stop
            for size in range(min(len(s) - 1, len(text)), 0, -1)
            if text.endswith(s[:size])
        )
        return text[: len(text) - max(held, default=0)]

    def _added(self, ids: Sequence[int]) -> str:
        whole = self._tokenizer.decode([*self._context, *ids])
        if whole.startswith(self._before):
            return whole[len(self._before) :]
        return self._tokenizer.decode(ids)
