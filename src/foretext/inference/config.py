"""What to generate: one frozen record, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass

from foretext.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How to go on with a prompt. Filters act in this order: repetition, forbidden, minimum,
    temperature, top-k, top-p."""

    max_new_tokens: int = 50
    min_new_tokens: int = 0  # no end before
    temperature: float = 1.0  # 0 takes the likeliest token (greedy)
    top_k: int = 0  # tokens to choose from; 0 is all (the GPT-2 samples: 40)
    top_p: float = 1.0  # probability; see decoding.top_p
    repetition_penalty: float = 1.0  # CTRL's theta; 1 is none
    num_beams: int = 1  # above 1: beam search, which draws nothing
    length_penalty: float = 0.6  # alpha, of beam search (GPT-3 and T5: 4 beams, 0.6)
    length_rule: str = "gnmt"  # ((5 + length) / 6) ** alpha; or "length" ** alpha, Hugging Face's
    num_samples: int = 1  # results for each prompt
    seed: int = 0
    stop: tuple[str, ...] = ()  # a text that ends generation, and is cut off
    stop_tokens: tuple[int, ...] = ()  # ids that end it, beside the tokenizer's end of text
    forbidden: tuple[int, ...] = ()  # ids never drawn
    begin: bool = False  # put the begin-of-text token before every prompt

    def __post_init__(self) -> None:
        for name, value, least in (
            ("max_new_tokens", self.max_new_tokens, 1),
            ("min_new_tokens", self.min_new_tokens, 0),
            ("temperature", self.temperature, 0),
            ("top_k", self.top_k, 0),
            ("num_beams", self.num_beams, 1),
            ("num_samples", self.num_samples, 1),
        ):
            if not value >= least:
                raise ConfigError(f"{name}={value} must be at least {least}; raise it")
        if self.length_rule not in ("gnmt", "length"):
            raise ConfigError(f"length_rule={self.length_rule!r} must be gnmt or length")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p} must be in (0, 1]; 1 keeps every token")
        if not self.repetition_penalty > 0:
            raise ConfigError(
                f"repetition_penalty={self.repetition_penalty} must be above 0; 1 is none"
            )
        if "" in self.stop:
            raise ConfigError("a stop text is empty, which every text holds; drop it")
        self._check_kind()

    def _check_kind(self) -> None:
        """Settings that another setting makes meaningless are errors, not ignored."""
        draws = self.temperature != 1 or self.top_k or self.top_p < 1
        if self.num_beams > 1 and self.temperature and draws:
            raise ConfigError(
                f"num_beams={self.num_beams} draws nothing, so temperature, top_k and top_p have "
                "no meaning; leave them out, or set num_beams=1"
            )
        if self.num_beams > 1 and self.num_samples > self.num_beams:
            raise ConfigError(
                f"num_samples={self.num_samples} is more than num_beams={self.num_beams} can find; "
                f"set num_beams={self.num_samples}"
            )
        if self.num_beams == 1 and self.num_samples > 1 and self.temperature == 0:
            raise ConfigError(
                f"num_samples={self.num_samples} would be one text many times with temperature=0; "
                "set temperature=1, or num_beams for several likely texts"
            )


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One continuation of a prompt."""

    text: str  # without the prompt, special tokens and the stop text
    ids: tuple[int, ...]  # without the prompt; with the stop token or the stop text's tokens
    logprob: float  # nats; sum over ids under the model itself, before temperature and filters
    finish_reason: str  # "stop": a stop token or text; "length": max_new_tokens or no position left
