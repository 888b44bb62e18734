"""Files that a family was published in, where they are not the Hugging Face layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foretext.nn.backbone import Backbone
from foretext.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PublishedLayout:
    """A family's own files, both ways."""

    name: str  # on the command line
    found: Callable[[Path], bool]  # whether a folder holds them
    read: Callable[[Path], tuple[Backbone, Tokenizer]]  # CheckpointError, ConfigError
    write: Callable[[Backbone, Tokenizer, Path], None]  # ConfigError
