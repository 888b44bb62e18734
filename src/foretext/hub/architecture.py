"""The classes of the Hugging Face layout: what each stores, and what it can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Opens = Literal["class", "bare class", "nothing"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What one of their classes stores and can do, such as BertForMaskedLM."""

    name: str  # their class, as in config.json "architectures"
    parts: tuple[str, ...]  # first parts of the parameter names of ours that it stores
    renamed: Mapping[str, str] = field(default_factory=dict)  # its module -> the map's name of it
    optional: tuple[str, ...] = ()  # parts that some of its files lack (BertModel's pooler)
    base: bool = False  # its names come without the base-model prefix (BertModel)
    head: str | None = None  # their module for a task's head, outside the backbone ("classifier")
    tasks: tuple[str, ...] = ()  # that save their models as this class
    bare: str | None = None  # the family's class without heads ("BertModel"); None = this one
    fills: bool = False  # it has a trained head for masked tokens
    generates: bool = False  # it goes on with a text; a generation_config.json goes with it
    judges_pairs: bool = False  # it tells whether one text follows another
    finds_replaced: bool = False  # it tells replaced tokens from real ones
    opens_as: Opens = "class"  # in transformers: as itself, without its head, or not at all

    def stores(self, name: str) -> bool:
        """Whether our parameter of this name belongs to the class."""
        return _within(name, self.parts)

    @property
    def encodes(self) -> bool:
        """Whether it gives states alone."""
        return self.base

    def mapped(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A file's tensors as the weight map spells them."""
        return _renamed(tensors, self.renamed)

    def spelled(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weight map's tensors as a file of the class spells them."""
        return _renamed(tensors, {ours: its for its, ours in self.renamed.items()})

    def requires(self, name: str) -> bool:
        """Whether a file of the class must have our parameter of this name."""
        return self.stores(name) and not _within(name, self.optional)


def _within(name: str, parts: Iterable[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _renamed(tensors: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors of these modules under another name."""
    result = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        result[f"{modules[module]}.{leaf}" if module in modules else name] = tensor
    return result
