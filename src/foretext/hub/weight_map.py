"""Weight maps: a two-way table between our parameter names and those of published checkpoints.

The same table reads, writes and pairs modules to compare activations. Nothing is skipped in
silence: each of their tensors is mapped, tied or unused, or loading fails and names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from foretext.core.errors import CheckpointError

Shape = tuple[int, ...]
_LEAVES = ("weight", "bias")
_OLD_LEAVES = {"gamma": "weight", "beta": "bias"}  # LayerNorm in files of 2018 and 2019
_SHOWN = 5  # names in an error message


@dataclass(frozen=True)
class _Rule:
    """One of their tensors and the tensors of ours it holds, as `{i}` templates."""

    theirs: str
    ours: tuple[str, ...]  # several: equal parts of theirs along the output axis
    transposed: bool  # theirs is [in, out]


_Index = dict[str, list[tuple[str, _Rule]]]  # by shape of name -> (template, its rule)


@dataclass(frozen=True, kw_only=True)
class WeightMap:
    """Their modules and tensors, and ours. Linear weights of ours are [out, in].

    In a name `{i}` stands for any layer number; other numbers stand for themselves. A name of
    theirs always carries the base-model prefix here; on reading it may lack it.

    Args:
        modules: their module -> ours, whose `weight` and `bias` follow. Three targets are a fused
            projection, split in equal parts along the output axis.
        tensors: their full tensor name -> ours, for tensors outside a weight/bias module.
        transposed: the keys of `modules` whose weight is [in, out] (GPT's Conv1D).
        tied: their tensor that repeats another -> that other one. Not written. On reading it must
            equal the other, and stands in for it where that is missing.
        unused: their modules or tensors (buffers of old files) that are dropped on reading.
        prefix: the base-model prefix with its dot, such as "bert.".
        rows_before: their table -> rows before our first (RoBERTa's positions begin at row 2);
            dropped on reading, zero on writing.
        row_added: their table of one row that every token adds -> their other table whose rows have
            it added on reading; zero on writing (RoBERTa's segments).
        shapes: their full tensor name -> its shape in a file, and the matrix or vector of the same
            numbers that it is here, before it is transposed (XLNet's projections by heads).
    """

    modules: Mapping[str, str | tuple[str, ...]]
    tensors: Mapping[str, str] = field(default_factory=dict)
    transposed: frozenset[str] = frozenset()
    tied: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    prefix: str = ""
    rows_before: Mapping[str, int] = field(default_factory=dict)
    row_added: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {*self.modules, *self.tensors}
        assert set(self.transposed) <= known, "transposed names no row of modules or tensors"
        targets = [name for rule in self._rules for name in rule.ours]
        assert len(targets) == len(set(targets)), "two rows fill the same tensor of ours"

    @cached_property
    def _rules(self) -> tuple[_Rule, ...]:
        rules = [
            _Rule(theirs, (ours,), theirs in self.transposed)
            for theirs, ours in self.tensors.items()
        ]
        for theirs, target in self.modules.items():
            targets = (target,) if isinstance(target, str) else target
            for leaf in _LEAVES:
                ours = tuple(f"{name}.{leaf}" for name in targets)
                flip = theirs in self.transposed and leaf == "weight"
                rules.append(_Rule(f"{theirs}.{leaf}", ours, flip))
        return tuple(rules)

    @cached_property
    def _by_theirs(self) -> _Index:
        return _index((rule.theirs, rule) for rule in self._rules)

    @cached_property
    def _by_ours(self) -> _Index:
        return _index((name, rule) for rule in self._rules for name in rule.ours)

    def their_name(self, ours: str) -> str:
        """Their tensor that holds our parameter of this name.

        Raises:
            KeyError: the map has no row for it.
        """
        rule, indices = self._rule_of_ours(ours)
        return _fill(rule.theirs, indices)

    def to_ours(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our parameters, by name, from a checkpoint's tensors; views where possible.

        Raises:
            CheckpointError: a tensor is neither mapped, tied nor unused, comes twice, cannot be
                split, or a tied one differs from its twin.
        """
        result: dict[str, Tensor] = {}
        for theirs, stored in self._without_border(self._known(tensors)).items():
            found = _find(self._by_theirs, theirs)
            assert found is not None
            rule, indices = found
            tensor = self._flat(rule.theirs, theirs, stored)
            if rule.transposed and tensor.dim() != 2:
                raise CheckpointError(
                    f"{theirs} has shape {list(tensor.shape)}, but must be a matrix [in, out]; "
                    "the file is not of this model"
                )
            whole = tensor.t() if rule.transposed else tensor
            if len(rule.ours) > 1 and (whole.dim() == 0 or whole.shape[0] % len(rule.ours)):
                raise CheckpointError(
                    f"{theirs} has shape {list(tensor.shape)}, which does not split into "
                    f"{len(rule.ours)} equal parts; the file is not of this model"
                )
            parts = whole.chunk(len(rule.ours)) if len(rule.ours) > 1 else (whole,)
            for ours, part in zip(rule.ours, parts, strict=True):
                result[_fill(ours, indices)] = part
        return result

    def to_theirs(self, state: Mapping[str, Tensor], *, base: bool = False) -> dict[str, Tensor]:
        """A checkpoint's tensors, by their name, from our parameters; tied ones are left out.

        Args:
            state: our parameters by name; a fused projection needs all its parts.
            base: leave out the base-model prefix, as the base class is saved.

        Raises:
            CheckpointError: a parameter has no row, a fused projection lacks a part, or `base` is
                asked of a tensor outside the base model.
        """
        result: dict[str, Tensor] = {}
        for name in state:
            try:
                rule, indices = self._rule_of_ours(name)
            except KeyError:
                raise CheckpointError(f"{name} has no row in the weight map; add one") from None
            theirs = _fill(rule.theirs, indices)
            if theirs in result:
                continue
            ours = [_fill(part, indices) for part in rule.ours]
            if missing := [part for part in ours if part not in state]:
                raise CheckpointError(f"{theirs} needs {_names(missing)} beside {name}; give all")
            whole = torch.cat([state[p] for p in ours]) if len(ours) > 1 else state[ours[0]]
            turned = whole.t() if rule.transposed else whole
            shape = self.shapes.get(rule.theirs)
            result[theirs] = turned if shape is None else turned.reshape(shape[0])
        self._add_border(result)
        return {self._unprefixed(name): t for name, t in result.items()} if base else result

    def _flat(self, template: str, name: str, tensor: Tensor) -> Tensor:
        if template not in self.shapes:
            return tensor
        file, ours = self.shapes[template]
        if tuple(tensor.shape) != file:
            raise CheckpointError(
                f"{name} has shape {list(tensor.shape)}, but the configuration gives {list(file)}; "
                "config.json and the weight file do not belong together"
            )
        return tensor.reshape(ours)

    def check(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
        """Names of the model's parameters that the checkpoint lacks; nothing is copied.

        Works on the meta device, so shapes read from a file's header can be checked before any
        memory is taken.

        Raises:
            CheckpointError: as `to_ours`; or a tensor has another shape than the parameter, is
                not floating-point, or belongs to no parameter of the model.
        """
        parameters = dict(model.named_parameters())
        found = self.to_ours(tensors)
        if foreign := [self.their_name(name) for name in found if name not in parameters]:
            raise CheckpointError(
                f"the model has no place for {_names(foreign)}; config.json and the weight file "
                "do not belong together"
            )
        for name, tensor in found.items():
            expected = parameters[name].shape
            if tensor.shape != expected:
                raise CheckpointError(
                    f"{self.their_name(name)} (our {name}) has shape {list(tensor.shape)} in the "
                    f"file, but the configuration gives {list(expected)}; config.json and the "
                    "weight file do not belong together"
                )
            if not tensor.is_floating_point():
                raise CheckpointError(
                    f"{self.their_name(name)} holds {tensor.dtype}, but weights must be "
                    "floating-point; quantised files cannot be read"
                )
        return [name for name in parameters if name not in found]

    @torch.no_grad()
    def load(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
        """Copy a checkpoint into the model, all of it or, on an error, none.

        Returns:
            Names of our parameters that are not in the checkpoint and keep their values; the
            caller decides whether they may be fresh.

        Raises:
            CheckpointError: as `check`.
        """
        fresh = self.check(model, tensors)
        parameters = dict(model.named_parameters())
        for name, tensor in self.to_ours(tensors).items():
            parameters[name].copy_(tensor)
        return fresh

    def _rule_of_ours(self, name: str) -> tuple[_Rule, tuple[str, ...]]:
        found = _find(self._by_ours, name)
        if found is None:
            raise KeyError(name)
        return found

    def _known(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mapped tensors by their full current name; tied ones checked, unused ones dropped."""
        mapped: dict[str, Tensor] = {}
        tied: dict[str, Tensor] = {}
        unknown = []
        for name, tensor in tensors.items():
            full = self._full_name(name)
            if full is None:
                unknown.append(name)
                continue
            if self._is_unused(full):
                continue
            group = tied if full in self.tied else mapped
            if full in group:
                raise CheckpointError(f"{full} comes twice, once as {name}; remove one of them")
            group[full] = tensor
        if unknown:
            raise CheckpointError(
                f"{_names(unknown)} of the weight file belong to no part of this model; check "
                "model_type in config.json, or leave them aside by `foretext import SRC DST "
                f"--ignore-tensors '{_pattern(unknown)}'`"
            )
        for name, tensor in tied.items():
            twin = mapped.setdefault(self.tied[name], tensor)
            if not _same(twin, tensor):
                raise CheckpointError(
                    f"{name} differs from {self.tied[name]}, but this model ties them; models "
                    "trained untied cannot be read"
                )
        return mapped

    def _full_name(self, name: str) -> str | None:
        """Their current, prefixed spelling of a name in a file; None if the map lacks it."""
        module, _, leaf = name.rpartition(".")
        spellings = [name]
        if leaf in _OLD_LEAVES:
            spellings.append(f"{module}.{_OLD_LEAVES[leaf]}")
        for spelling in spellings:
            for full in dict.fromkeys((spelling, self.prefix + spelling)):
                mapped = _find(self._by_theirs, full)
                named = full in self.tied or full in self.row_added
                if mapped is not None or named or self._is_unused(full):
                    return full
        return None

    def _without_border(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors with what rows_before and row_added say worked into them."""
        result = dict(tensors)
        for name, rows in self.rows_before.items():
            if name in result:
                result[name] = result[name][rows:]
        for name, table in self.row_added.items():
            row = result.pop(name, None)
            if row is None or table not in result:
                continue
            if row.shape != (1, *result[table].shape[1:]):
                raise CheckpointError(
                    f"{name} has shape {list(row.shape)}, but only one row, which every token "
                    f"adds, can be read"
                )
            result[table] = result[table] + row
        return result

    def _add_border(self, tensors: dict[str, Tensor]) -> None:
        """Put back the rows that our tables do not have, as zeros."""
        for name, rows in self.rows_before.items():
            if name in tensors:
                table = tensors[name]
                tensors[name] = torch.cat([table.new_zeros(rows, *table.shape[1:]), table])
        for name, other in self.row_added.items():
            if other in tensors:
                tensors[name] = tensors[other].new_zeros(1, *tensors[other].shape[1:])

    def _is_unused(self, full: str) -> bool:
        if _find(self._by_theirs, full) is not None:
            return False
        parts = full.split(".")
        lengths = ((pattern, pattern.count(".") + 1) for pattern in self.unused)
        return any(_match(pattern, ".".join(parts[:n])) is not None for pattern, n in lengths)

    def _unprefixed(self, theirs: str) -> str:
        if not theirs.startswith(self.prefix):
            raise CheckpointError(f"{theirs} lies outside the base model; save a headed class")
        return theirs.removeprefix(self.prefix)


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdecimal() and str(int(part[:9])) == part


def _shape_of(name: str) -> str:
    """A name with numbers and `{i}` alike as `#`: what a template and its instances share."""
    return ".".join("#" if _is_number(p) or p == "{i}" else p for p in name.split("."))


def _index(rows: Iterable[tuple[str, _Rule]]) -> _Index:
    index: _Index = {}
    for template, rule in rows:
        index.setdefault(_shape_of(template), []).append((template, rule))
    return index


def _find(index: _Index, name: str) -> tuple[_Rule, tuple[str, ...]] | None:
    """The rule of a name and its layer numbers."""
    for template, rule in index.get(_shape_of(name), ()):
        indices = _match(template, name)
        if indices is not None:
            return rule, indices
    return None


def _match(template: str, name: str) -> tuple[str, ...] | None:
    """The numbers that make the template this name; None if none do."""
    wanted, parts = template.split("."), name.split(".")
    if len(wanted) != len(parts):
        return None
    indices = []
    for want, part in zip(wanted, parts, strict=True):
        if want == "{i}" and _is_number(part):
            indices.append(part)
        elif want != part:
            return None
    return tuple(indices)


def _fill(template: str, indices: tuple[str, ...]) -> str:
    remaining = iter(indices)
    return ".".join(next(remaining) if p == "{i}" else p for p in template.split("."))


def _same(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    if one.shape != other.shape or one.is_meta or other.is_meta:
        return one.shape == other.shape
    return torch.equal(one, other.to(one.dtype))


def _pattern(names: Sequence[str]) -> str:
    """A pattern that fits all these names, by what they begin with up to a dot."""
    if len(names) == 1:
        return names[0]
    first, last = min(names), max(names)  # what these share, all do
    size = next((i for i, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1), 0)
    return first[: first.rfind(".", 0, size) + 1] + "*"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
