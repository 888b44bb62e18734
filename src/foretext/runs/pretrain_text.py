"""The text of a pre-training run: its tokenizer, its shards, and what is held out."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from foretext.core.atomic import remove_folder
from foretext.core.errors import ConfigError
from foretext.objectives.base import Corpus
from foretext.recipes.recipe import Recipe
from foretext.runs.options import PretrainOptions
from foretext.shards.prepare import OtherShards, prepare
from foretext.shards.store import DocumentView, Shards, split
from foretext.text.corpus import corpus_files, read_corpus
from foretext.tokenizers import Tokenizer
from foretext.tokenizers import train as train_tokenizer
from foretext.training.progress import Reporter

_EXAMPLES = 20  # documents, and sentences of each, that are looked at for an example
_EXAMPLE_WORDS, _EXAMPLE_TOKENS = 4, 24  # at least, at most


def run_tokenizer(
    folder: Path, recipe: Recipe, options: PretrainOptions, reporter: Reporter, *, known: bool
) -> Tokenizer:
    """The run's tokenizer: the one it has, the one given, or one trained on the text."""
    given = options.tokenizer
    longest = recipe.data.long_length or recipe.data.max_length
    if options.start is not None:
        tokenizer = options.start.tokenizer.limited_to(longest)
        tokenizer.save(folder)
        return tokenizer
    if known:
        tokenizer = Tokenizer.load(folder)
        if given is not None and Tokenizer.load(given).fingerprint != tokenizer.fingerprint:
            raise ConfigError(
                f"the run {folder} was begun with another tokenizer than {given}; leave out "
                "--tokenizer, or give another --out"
            )
        return tokenizer
    if given is None and options.shards is not None:
        given = Path(options.shards) / "tokenizer"
    if given is not None:
        tokenizer = Tokenizer.load(Path(given))
    else:
        tokenizer = _train_tokenizer(recipe, options, reporter)
    tokenizer = tokenizer.limited_to(longest)
    tokenizer.save(folder)
    return tokenizer


def _train_tokenizer(recipe: Recipe, options: PretrainOptions, reporter: Reporter) -> Tokenizer:
    if not options.text:
        raise ConfigError("there is no text: give --text, or --shards made by `foretext prepare`")
    total = sum(file.size for file in corpus_files(list(options.text))) or None
    done = 0

    def progress(new_bytes: int) -> None:
        nonlocal done
        done += new_bytes
        reporter.stage("tokenizer", min(done, total - 1) if total else done, total)

    documents = read_corpus(
        list(options.text), on_error=options.on_error, text_field=options.text_field
    )
    data = recipe.data
    tokenizer = train_tokenizer(
        (document.text for document in documents),
        kind=data.tokenizer,
        vocab_size=data.vocab_size or recipe.model.vocab_size,
        style=recipe.special_tokens,
        lowercase=data.lowercase,
        progress=progress,
    )
    reporter.stage("tokenizer", total or done, total or done)
    if tokenizer.note:
        reporter.message(f"tokenizer: {tokenizer.note}")
    return tokenizer


def run_shards(
    folder: Path, tokenizer: Tokenizer, options: PretrainOptions, reporter: Reporter, *, known: bool
) -> Shards:
    """The run's token ids: given, made before, or made now.

    known: the run was begun; else shards of other text or settings are those of a start that
    failed, and make way.
    """
    if options.shards is not None:
        shards = Shards.open(options.shards)
    elif options.text:
        try:
            shards = _prepared(folder / "shards", tokenizer, options, reporter)
        except OtherShards:
            if known:
                raise
            remove_folder(folder / "shards")
            shards = _prepared(folder / "shards", tokenizer, options, reporter)
    else:
        shards = Shards.open(folder / "shards")
    if shards.fingerprint != tokenizer.fingerprint:
        raise ConfigError(
            f"{shards.folder} was made by another tokenizer (fingerprint "
            f"{shards.fingerprint[:12]}, the given one has {tokenizer.fingerprint[:12]}); prepare "
            "the text again with this one"
        )
    return shards


def _prepared(
    out: Path, tokenizer: Tokenizer, options: PretrainOptions, reporter: Reporter
) -> Shards:
    return prepare(
        list(options.text),
        tokenizer=tokenizer,
        out=out,
        workers=max(0, (os.cpu_count() or 1) - 1),
        on_error=options.on_error,
        text_field=options.text_field,
        progress=lambda done, total: reporter.stage("prepare", done, total),
    )


def parts_of_text(
    folder: Path, shards: Shards, recipe: Recipe, options: PretrainOptions, reporter: Reporter
) -> tuple[Shards | DocumentView, Shards | DocumentView | None]:
    """The documents to train on, and those held out: the development text's or some of them."""
    if options.start is not None and options.start.dev:
        dev = prepare(
            list(options.start.dev),
            tokenizer=options.start.tokenizer,
            out=folder / "dev-shards",
            workers=0,
            on_error=options.on_error,
            text_field=options.text_field,
        )
        return shards, dev
    share = recipe.data.held_out
    if share == 0 or shards.num_documents < 2:
        reporter.message("no text is held out, so the run measures its training loss alone")
        return shards, None
    return split(shards, share, recipe.training.seed)


def example_sentence(corpus: Corpus, tokenizer: Tokenizer) -> str:
    """A sentence of the text to try a model on: the first of a usual length among the first."""
    found = ""
    for document in range(min(corpus.num_documents, _EXAMPLES)):
        borders = corpus.sentence_offsets(document)
        for start, stop in pairwise(borders[: _EXAMPLES + 1].tolist()):
            ids = corpus.tokens(document, start, min(stop, start + _EXAMPLE_TOKENS))
            found = tokenizer.decode(ids.tolist()).strip()
            if len(found.split()) >= _EXAMPLE_WORDS and stop - start <= _EXAMPLE_TOKENS:
                return found
    return found
