"""Generation from left to right, and what a masked language model puts into a gap."""

from foretext.inference.config import Generation, GenerationConfig
from foretext.inference.fill import (
    Filled,
    PseudoLikelihood,
    fill,
    pseudo_log_likelihood,
    pseudo_perplexity,
)
from foretext.inference.fill_spans import fill_gaps, fill_spans
from foretext.inference.generate import generate, stream

__all__ = [
    "Filled",
    "Generation",
    "GenerationConfig",
    "PseudoLikelihood",
    "fill",
    "fill_gaps",
    "fill_spans",
    "generate",
    "pseudo_log_likelihood",
    "pseudo_perplexity",
    "stream",
]
