"""Continued pre-training: a trained model goes on with its own objective on the text of a domain.

It is pre-training in every part (runs/pretrain.py) but where it begins: weights and tokenizer
are a model folder's, the tokenizer perhaps with new tokens, the learning rate is low. What is left
at the end, beside the model, is what was gained on the domain and what was forgotten.

Paper: Gururangan et al. 2020 (Don't Stop Pretraining), https://arxiv.org/abs/2004.10964, sections 3
and 4.
Deviations: the vocabulary may grow (tokenizers/extend.py, runs/continued_model.py).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretext.core.atomic import atomic_write_text
from foretext.core.errors import DataError
from foretext.recipes import folder as run_folder
from foretext.recipes.recipe import Recipe
from foretext.runs.continued_model import (
    Source,
    extend_vocabulary,
    recipe_of,
    source_model,
)
from foretext.runs.continued_plan import ContinuedOptions, ContinuedPlan, checked, shown
from foretext.runs.continued_text import (
    Compared,
    TextEvaluator,
    compare,
    held_out_of,
    texts_of,
)
from foretext.runs.estimate import Estimate
from foretext.runs.labelled_data import content
from foretext.runs.options import PretrainOptions, Start
from foretext.runs.pretrain import Prepared, prepare_run, publish
from foretext.text.corpus import corpus_files
from foretext.tokenizers import Tokenizer
from foretext.tokenizers.extend import (
    NewToken,
    extend,
    learn_tokens,
    named_tokens,
    pieces_of,
    refused,
)
from foretext.training.job import Progress
from foretext.training.loop import train as run_job
from foretext.training.progress import Reporter, Silent

RESULT_FILE = "continued.json"
TOKENS_FILE = "new_tokens.txt"


@dataclass(frozen=True, kw_only=True)
class ContinuedResult:
    """A run, finished or stopped."""

    folder: Path
    recipe: Recipe
    estimate: Estimate
    progress: Progress
    new_tokens: int
    texts: tuple[Compared, ...] = ()  # none until it is finished
    new_parts: tuple[str, ...] = ()  # that the model did not store: random before training

    @property
    def unigram(self) -> float | None:
        """The loss of token frequencies on the domain's text, nats a token, where it is known."""
        return self.progress.last_metrics.get("unigram")

    @property
    def finished(self) -> bool:
        return not self.progress.stopped


def continue_pretraining(
    run: str | Path,
    task: str,
    *,
    train: str | Path,
    out: str | Path,
    dev: str | Path | None = None,
    options: ContinuedOptions | None = None,
    reporter: Reporter | None = None,
) -> ContinuedResult:
    """Go on with a model's pre-training on other text, or go on with doing so.

    Args:
        run: the folder of the model, ours or in the Hugging Face layout.
        task: "masked" for a model that reads both ways, "causal" for one from left to right.
        train: the domain's text: a file, folder, glob, or "-" (standard input), which `dev` or the
            old text can be in its place.
        out: the result's folder.
        dev: held-out text of the domain; None holds documents of `train` out.
        options: settings, new tokens, the old text.
        reporter: takes the news.

    Raises:
        ConfigError, DataError, TokenizerError, CheckpointError: the input is at fault.
        TrainingError: the loss is not finite.
    """
    options, reporter = options or ContinuedOptions(), reporter or Silent()
    folder = Path(out)
    with (
        checked(run, task, train, dev, folder, options, reporter) as (plan, objective),
        run_folder.workplace(folder, fresh=options.fresh, force=options.force),
    ):
        ready, new, parts = _prepare(folder, plan, objective)
        progress = run_job(ready.job)
        publish(folder, ready, progress)
        texts = () if progress.stopped else _compare(plan, ready)
        _write_result(folder, plan.source, new, texts)
    return ContinuedResult(
        folder=folder,
        recipe=ready.recipe,
        estimate=ready.estimate,
        progress=progress,
        new_tokens=new,
        texts=texts,
        new_parts=parts,
    )


def dry_run(
    run: str | Path,
    task: str,
    *,
    train: str | Path,
    out: str | Path,
    dev: str | Path | None = None,
    options: ContinuedOptions | None = None,
    reporter: Reporter | None = None,
) -> tuple[Recipe, Estimate]:
    """The resolved recipe and its cost, time measured; whatever is written is deleted.

    Arguments and errors as for `continue_pretraining`.
    """
    options, reporter = options or ContinuedOptions(), reporter or Silent()
    with (
        checked(run, task, train, dev, Path(out), options, reporter) as (plan, objective),
        tempfile.TemporaryDirectory(prefix="foretext-") as temporary,
    ):
        ready, *_ = _prepare(Path(temporary), plan, objective)
    return ready.recipe, ready.estimate


def _prepare(
    folder: Path, plan: ContinuedPlan, objective: str
) -> tuple[Prepared, int, tuple[str, ...]]:
    """The run, ready to start or to go on, the number of new tokens, and parts that are random."""
    source, options = plan.source, plan.options
    tokenizer = Tokenizer.load(folder) if run_folder.is_run(folder) else _extended(folder, plan)
    added = [tokenizer.token(i) for i in range(source.tokenizer.vocab_size, tokenizer.vocab_size)]
    seed = plan.settings.get("training.seed", source.recipe.training.seed if source.recipe else 0)
    bare = recipe_of(
        source, objective, plan.settings, config=source.config, dev=plan.dev is not None
    )
    model, fresh = source_model(source, bare.use, seed=seed)
    if fresh:
        plan.reporter.message(
            f"warning: {source.folder} does not store {', '.join(fresh)}, which {objective} "
            "trains; it begins from random weights, so expect to need more steps"
        )
    extend_vocabulary(model, pieces_of(source.tokenizer, added))
    config: Any = model.config
    recipe = recipe_of(source, objective, plan.settings, config=config, dev=plan.dev is not None)
    pretraining = PretrainOptions(
        text=(plan.place(plan.train),),
        on_error=options.on_error,
        text_field=options.text_field,
        start=Start(
            model=model,
            tokenizer=tokenizer,
            source=source.hashes() | _asked(plan),
            dev=() if plan.dev is None else (plan.place(plan.dev),),
        ),
    )
    return prepare_run(folder, recipe, pretraining, plan.reporter), len(added), tuple(fresh)


def _asked(plan: ContinuedPlan) -> dict[str, Any]:
    """What the new tokens follow from, for run.toml."""
    words = plan.config.vocabulary
    return {
        "new_tokens": plan.config.new_tokens,
        "vocabulary": "none" if words is None else content(Path(words)),
    }


def _extended(folder: Path, plan: ContinuedPlan) -> Tokenizer:
    """The source's tokenizer with the new tokens, which are listed in the folder."""
    old, config = plan.source.tokenizer, plan.config
    new: list[NewToken] = []
    if config.vocabulary is not None:
        new = named_tokens(old, _lines(Path(config.vocabulary)))
        for line in refused(old, _lines(Path(config.vocabulary)), new):
            plan.reporter.message(f"warning: {line}")
    if config.new_tokens:
        named = {token.token for token in new}
        learned = learn_tokens(
            old, plan.documents(plan.train), limit=config.new_tokens, progress=_progress(plan)
        )
        new += [token for token in learned if token.token not in named]
    if config.vocabulary is None and not config.new_tokens:
        return old
    rows = (f"{token.word}\t{token.count}\t{' '.join(token.pieces)}\n" for token in new)
    atomic_write_text(folder / TOKENS_FILE, "".join(rows))
    if len(new) < config.new_tokens:
        plan.reporter.message(f"the text gives {len(new)} new tokens, not {config.new_tokens}")
    return extend(old, [token.token for token in new])


def _lines(path: Path) -> Iterable[tuple[str, str]]:
    """(file:line, word) of a list of words; what follows a tab, as in new_tokens.txt, is not read.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if word := line.split("\t")[0].strip():
            yield f"{path}:{number}", word


def _progress(plan: ContinuedPlan) -> Any:
    total = sum(file.size for file in corpus_files([plan.place(plan.train)])) or None
    done = 0

    def progress(new_bytes: int) -> None:
        nonlocal done
        done += new_bytes
        plan.reporter.stage("new tokens", min(done, total) if total else done, total)

    return progress


def _compare(plan: ContinuedPlan, ready: Prepared) -> tuple[Compared, ...]:
    """The domain's held-out text and the old text, before and after."""
    source, recipe = plan.source, ready.recipe
    model, _ = source_model(source, recipe.use, seed=recipe.training.seed)
    before = TextEvaluator(
        model=model.to(ready.job.device), tokenizer=source.tokenizer, recipe=recipe
    )
    after = TextEvaluator(model=ready.job.model, tokenizer=ready.tokenizer, recipe=recipe)
    texts: list[tuple[str, str, Iterable[str]]] = []
    if plan.dev is not None:
        texts.append(("domain", shown(plan.dev), plan.documents(plan.dev)))
    elif ready.held_out is not None:
        documents = texts_of(ready.held_out, ready.tokenizer)
        texts.append(("domain", f"held out of {shown(plan.train)}", documents))
    if (old := plan.old) is not None:
        texts.append(("old", shown(old), plan.documents(old)))
    elif (held_out := held_out_of(source.folder, source.recipe)) is not None:
        documents = texts_of(held_out, source.tokenizer)
        texts.append(("old", f"held out by {source.folder}", documents))
    else:
        plan.reporter.message("no old text, so what was forgotten is not measured; give --old TEXT")
    return tuple(
        compare(name, origin, documents, before=before, after=after)
        for name, origin, documents in texts
    )


def _write_result(folder: Path, source: Source, new: int, texts: Sequence[Compared]) -> None:
    """continued.json, and the card's part on where the model is from and what it forgot."""
    if not texts:
        lines = ["Not measured."]
    else:
        rows = [row for text in texts for row in text.rows()]
        lines = ["| text | measure | before | after |", "|---|---|---|---|"]
        lines += [f"| {t} | {m} | {b:.4g} | {a:.4g} |" for t, m, b, a in rows]
        lines += [""] + [f"{text.text.capitalize()}: {text.origin}." for text in texts]
    hashes = source.hashes()
    card = folder / "README.md"
    section = (
        f"\n## Continued from\n\n`{source.folder.name}` (weights `{hashes['model']:.16}`, "
        f"tokenizer `{hashes['tokenizer']:.16}`), with {new} new tokens.\n\n"
    )
    section += "\n".join(lines) + "\n"
    atomic_write_text(card, card.read_text(encoding="utf-8") + section)
    if texts:
        record = {"new_tokens": new, "texts": [text.record() for text in texts]}
        atomic_write_text(folder / RESULT_FILE, json.dumps(record, indent=2) + "\n")
