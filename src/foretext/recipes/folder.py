"""A pre-training run's folder: what it was made from, and whether a command goes on with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from foretext.core.atomic import (
    atomic_write_text,
    clean_leftovers,
    make_folders,
    remove_empty,
    remove_folder,
)
from foretext.core.config import read_toml
from foretext.core.errors import ConfigError
from foretext.recipes.recipe import Recipe, differences

RECIPE_FILE = "run.toml"
# What a run that died before its recipe was written may have left; it is made anew.
_PREPARED = {
    "shards",
    "dev-shards",
    "plans",
    "checkpoints",
    "metrics.jsonl",
    "new_tokens.txt",
}
_TOKENIZER = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
}


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run of pre-training."""
    return (folder / RECIPE_FILE).is_file()


def read_run(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run and where its text came from.

    Raises:
        ConfigError: run.toml is missing or cannot be read.
    """
    if not is_run(folder):
        raise ConfigError(
            f"{folder} is not a run: it has no {RECIPE_FILE}; give a folder that "
            "`foretext pretrain` made"
        )
    values = read_toml(folder / RECIPE_FILE)
    if "task" in values:
        raise ConfigError(
            f"{folder} was made by `foretext finetune`, and only that command goes on with it; "
            "give a folder that `foretext pretrain` made"
        )
    text = values.pop("text", {})
    return Recipe.from_values(values), text


def write_run(folder: Path, recipe: Recipe, text: Mapping[str, Any]) -> None:
    """Write run.toml, whole or not at all."""
    import tomli_w

    content = tomli_w.dumps(recipe.values() | {"text": dict(text)})
    atomic_write_text(folder / RECIPE_FILE, content)


def check_same(
    folder: Path, recipe: Recipe, text: Mapping[str, Any], old: tuple[Recipe, Mapping[str, Any]]
) -> None:
    """Refuse to go on with a run under another recipe or on other text.

    Raises:
        ConfigError: names every setting that differs.
    """
    refuse_changes(
        folder, old[0].values() | {"text": dict(old[1])}, recipe.values() | {"text": dict(text)}
    )


def check_start(folder: Path, text: Mapping[str, Any] | None, *, continued: bool) -> None:
    """Refuse to go on from a trained model with a run that began from nothing, or the reverse.

    Args:
        folder: of the run.
        text: its section of run.toml; None where there is no run yet.
        continued: whether it is to go on from a trained model.

    Raises:
        ConfigError: the run that is there is of the other kind.
    """
    if text is None or ("source" in text) == continued:
        return
    if continued:
        raise ConfigError(
            f"{folder} holds a run of pre-training that began from nothing; give another --out"
        )
    source = text["source"].get("folder", "RUN")
    raise ConfigError(
        f"{folder} goes on from another model, and only the command that began it goes on with "
        f"it: foretext finetune {source} masked|causal ... --out {folder}"
    )


def check_budget(
    folder: Path, minutes: float | None, old: tuple[Recipe, Mapping[str, Any]]
) -> None:
    """Refuse a budget that is not the one a run was begun with.

    Raises:
        ConfigError: it had another, or none.
    """
    before = old[1].get("minutes")
    if minutes is None or minutes == before:
        return
    steps = f"{old[0].training.steps:,} steps"
    begun = steps if before is None else f"--minutes {before:g}, which became {steps}"
    raise ConfigError(
        f"{folder} was begun with {begun}, not with --minutes {minutes:g}; leave --minutes out, "
        "give another --out, or --fresh --force to throw that run away"
    )


def refuse_changes(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to go on with a run whose values, as in run.toml, are not the old ones.

    Raises:
        ConfigError: names every setting that differs.
    """
    if changed := differences(old, new):
        raise ConfigError(
            f"{folder} was begun with another recipe: {'; '.join(changed)}; give another --out, "
            "the old settings, or --fresh --force to throw that run away"
        )


@contextlib.contextmanager
def workplace(folder: Path, *, fresh: bool, force: bool) -> Iterator[None]:
    """A folder in which a run may be begun or gone on with, and by this process alone meanwhile.

    It is made if it is missing, and gone again if the block fails before it wrote; of processes
    that begin at once one goes on, and the others touch nothing. The lock is the
    kernel's, on the folder itself: no file says so, and it ends with the process, however that
    ends. File systems that lock no folders, as NFS, are taken as they are.

    Args:
        folder: of the run.
        fresh: throw away what is there.
        force: even a run.

    Raises:
        ConfigError: it holds a run and fresh came without force, it holds other files, or another
            process works in it.
    """
    made: list[Path] = []
    while True:
        _refuse_file(folder)
        made = make_folders(folder) + made
        with _locked(folder) as is_ours:
            if not is_ours or _make_way(folder, fresh=fresh, force=force):
                continue
            try:
                yield
            except BaseException:
                remove_empty(dict.fromkeys(made))
                raise
            return


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether the folder of that name is the one that was locked: another may have replaced it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"another process works in {folder}; wait for it or stop it, or give another "
                    "--out"
                ) from None
        yield folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat())
    finally:
        os.close(descriptor)


def _refuse_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder for --out")


def in_progress(folder: Path) -> bool:
    """Whether another process works in a folder."""
    try:
        with _locked(folder):
            return False
    except ConfigError:
        return True


def _make_way(folder: Path, *, fresh: bool, force: bool) -> bool:
    """Whether the folder had to go, with what a run has left in it."""
    clean_leftovers(folder)
    names = {path.name for path in folder.iterdir()}
    if is_run(folder):
        if not fresh:
            return False
        if not force:
            raise ConfigError(
                f"{folder} holds a run; --fresh would throw it away, so add --force or give "
                "another --out"
            )
    elif strange := names - _PREPARED - _TOKENIZER:
        raise ConfigError(
            f"{folder} holds other files, such as {min(strange)}; give an empty or new --out"
        )
    elif not fresh or not names:
        return False  # what a run left that died before it began is made anew by the next
    remove_folder(folder)
    return True


def environment() -> dict[str, str]:
    """Versions that a bug report needs."""
    import numpy
    import safetensors
    import tokenizers
    import torch

    from foretext import __version__

    return {
        "foretext": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "tokenizers": tokenizers.__version__,
        "safetensors": safetensors.__version__,
    }
