"""What the rest of the house asks of an objective: one record a file, listed in the name table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from foretext.objectives.base import SomeTextObjective, Vocabulary

C = TypeVar("C")  # the objective's config
Config_contra = TypeVar("Config_contra", contravariant=True)


class Build(Protocol[Config_contra]):
    """Makes an objective; its class, as a rule."""

    def __call__(
        self, *, config: Config_contra, vocabulary: Vocabulary, max_length: int, seed: int = 0
    ) -> SomeTextObjective: ...


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec(Generic[C]):
    """An objective as recipes, estimates and lists know it.

    Attributes:
        name: in recipes and on the command line.
        about: the module's docstring: a line on what it does, and "Paper: ...".
        config: the class of its settings, a frozen dataclass with defaults.
        build: makes it over a vocabulary.
        style: of the special tokens that a tokenizer trained for it gets, where neither the recipe
            nor the tokenizer's kind has a say; a name in tokenizers.special.STYLES.
        needs: capabilities of the network, see networks.py.
        segments: of a sample, at most.
        variant: what the network is for (a name that families know) where settings decide that;
            None is the objective's name.
    """

    name: str
    about: str
    config: type[C]
    build: Build[C]
    style: str
    needs: tuple[type, ...]
    segments: int = 1
    variant: Callable[[C], str] | None = None

    def use(self, config: C) -> str:
        """What a network that trains with these settings is for, as families know it."""
        return self.name if self.variant is None else self.variant(config)


SomeSpec = ObjectiveSpec[Any]  # one of the table, whose config is not known
