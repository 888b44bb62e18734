"""What the verbs of the command line do with a model folder, as functions."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from foretext.core.atomic import atomic_folder, atomic_write_bytes, atomic_write_text
from foretext.core.errors import CheckpointError, ConfigError
from foretext.core.suggest import nearest
from foretext.evaluation.held_out import evaluate_objective
from foretext.evaluation.unigram import unigram_nats
from foretext.hub.classes import label_keys
from foretext.hub.finite import check_finite
from foretext.inference import Filled, Generation, GenerationConfig, fill_gaps
from foretext.inference import generate as continue_texts
from foretext.inference.task_run import CALIBRATION_FILE
from foretext.models import FAMILIES, family_for, in_use, published_in, published_layout
from foretext.models.folder import LoadedModel, load_model, save_model
from foretext.models.published import PublishedLayout
from foretext.nn.backbone import Backbone, Network
from foretext.objectives import OBJECTIVES, objective_named
from foretext.objectives.base import SomeObjective, Vocabulary
from foretext.recipes.folder import RECIPE_FILE, is_run, read_run
from foretext.recipes.recipe import Recipe
from foretext.shards.prepare import prepare
from foretext.shards.store import DocumentView, Shards, split
from foretext.tokenizers import Tokenizer
from foretext.training.progress import Reporter, Silent

_FILLERS = "a model pre-trained by masked-lm or next-sentence"
_OF_TASKS = (RECIPE_FILE, CALIBRATION_FILE)
_LENGTH = 512  # tokens of a sample, where neither model nor tokenizer has a limit
_KEPT = ("bos_token_id", "eos_token_id", "pad_token_id", "id2label", "label2id", "problem_type")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A pre-trained model and its tokenizer."""

    folder: Path
    model: Backbone  # in evaluation mode
    tokenizer: Tokenizer
    architecture: str  # its class in the Hugging Face layout
    stored: LoadedModel

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of its run; None for a model from elsewhere."""
        return read_run(self.folder)[0] if is_run(self.folder) else None


def load(folder: str | Path, *, allow_pickle: bool = False, ignored: Sequence[str] = ()) -> Loaded:
    """Read a model folder, ours or Hugging Face's.

    Args:
        folder: with config.json, weights and a tokenizer.
        allow_pickle: read pytorch_model.bin where there is no safetensors file.
        ignored: patterns of tensors that are left aside, such as "ema.*".

    Raises:
        CheckpointError, ConfigError, TokenizerError: a part is missing, damaged or unsafe, or the
            parts do not fit each other.
    """
    folder = Path(folder)
    stored = load_model(folder, allow_pickle=allow_pickle, ignored=ignored)
    tokenizer = Tokenizer.load(folder)
    rows = stored.model.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, but the model only "
            f"{rows:,}; they do not belong together"
        )
    return Loaded(
        folder=folder,
        model=stored.model.eval(),
        tokenizer=tokenizer,
        architecture=stored.architecture,
        stored=stored,
    )


def fill(
    model: Loaded | str | Path,
    texts: Sequence[str],
    *,
    top_k: int = 5,
    targets: Sequence[str] | None = None,
) -> list[list[list[Filled]]]:
    """The likeliest tokens for every mask of every text; see `foretext.inference.fill`.

    A mask is written as the tokenizer spells it, such as <mask>, or as [MASK] for any tokenizer. A
    model from source to target fills <extra_id_0>, <extra_id_1>, ..., with any number of tokens.

    Raises:
        ConfigError: the model has no head that was trained to fill masks.
    """
    loaded = _loaded(model)
    if not loaded.stored.hub_class.fills:
        inner = [loaded.folder / name for name in loaded.stored.family.folders]
        found = [f"its {folder.name}, {folder}" for folder in inner if folder.is_dir()]
        beside = found[0] if found else _FILLERS
        raise ConfigError(
            f"{loaded.folder} is a {loaded.architecture}, which cannot fill masks; give {beside}"
        )
    tokenizer = loaded.tokenizer
    if tokenizer.special.mask is not None:
        spelled = tokenizer.token(tokenizer.special.mask)
        texts = [text.replace("[MASK]", spelled) for text in texts]
    return fill_gaps(loaded.model, tokenizer, texts, top_k=top_k, targets=targets)


def generate(
    model: Loaded | str | Path, prompts: Sequence[str], *, config: GenerationConfig | None = None
) -> list[list[Generation]]:
    """Continuations of every prompt; see `foretext.inference.generate`.

    Raises:
        ConfigError: the model was not trained to continue a text.
    """
    loaded = _loaded(model)
    check_generates(loaded)
    return continue_texts(
        loaded.model, loaded.tokenizer, prompts, config=config or GenerationConfig()
    )


def check_generates(loaded: Loaded) -> None:
    """Refuse a model that was not trained to continue a text.

    Raises:
        ConfigError: it is such a model.
    """
    if not loaded.stored.hub_class.generates:
        raise ConfigError(
            f"{loaded.folder} is a {loaded.architecture}, which cannot continue a text; give a "
            "model pre-trained by causal-lm"
        )


def evaluate_text(
    model: Loaded | str | Path,
    text: Sequence[str | Path] = (),
    *,
    limit: int | None = None,
    on_error: str = "stop",
    text_field: str = "text",
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, float]:
    """Loss, perplexity and accuracies of the model's own objective on text.

    Args:
        model: a pre-trained model.
        text: files, folders or globs; none takes what the run held out.
        limit: samples at most; None is all.
        on_error, text_field: as in read_corpus.
        settings: read the model otherwise than in training, such as model.num_hashes of a Reformer.
        reporter: takes the news.

    Returns:
        Means over targets, in nats or as shares, with the samples' masks always the same; of
        held-out text also "unigram", what token frequencies alone would give.

    Raises:
        ConfigError: the model's class was not pre-trained, or no text is held out.
        DataError: the text cannot be read.
    """
    loaded, reporter = _loaded(model), reporter or Silent()
    if settings:
        loaded = replace(loaded, model=in_use(loaded.model, settings))
    objective, whole = _objective(loaded), _whole(loaded).eval()
    if not text:
        train, held_out = _parts(loaded)
        found = evaluate_objective(whole, objective, held_out, limit=limit)
        size, predicted = loaded.tokenizer.vocab_size, whole.backbones[0].num_predicted
        return found | {"unigram": unigram_nats(train, held_out, size, predicted)}
    with tempfile.TemporaryDirectory(prefix="foretext-") as temporary:
        shards = prepare(
            list(text),
            tokenizer=loaded.tokenizer,
            out=Path(temporary) / "shards",
            workers=0,
            on_error=on_error,
            text_field=text_field,
            progress=lambda done, total: reporter.stage("prepare", done, total),
        )
        return evaluate_objective(whole, objective, shards, limit=limit)


def _whole(loaded: Loaded) -> Network:
    """The model as its objective trained it, from this folder and those below it."""
    use = loaded.recipe.use if loaded.recipe else trained_by(loaded)
    if use is None:
        return loaded.model
    family = loaded.stored.family
    return family.joined(loaded.model, use, lambda name: load(loaded.folder / name).model)


def trained_by(loaded: Loaded) -> str | None:
    """The objective whose models are saved as this class; None if there is none."""
    family, config = loaded.stored.family, loaded.model.config
    for name, spec in OBJECTIVES.items():
        if family.hub.class_for(config, spec.use(spec.config())) == loaded.architecture:
            return name
    return None


def _objective(loaded: Loaded) -> SomeObjective:
    """What the model was trained by, as its run says or its class."""
    vocabulary = Vocabulary.of(loaded.tokenizer)
    if (recipe := loaded.recipe) is not None:
        return recipe.build_objective(vocabulary)
    if (name := trained_by(loaded)) is not None:
        spec = objective_named(name)
        positions = loaded.stored.family.max_positions(loaded.model.config)
        lengths = [n for n in (positions, loaded.tokenizer.max_length) if n is not None]
        length = min(lengths, default=_LENGTH)  # trained on, where it is said
        return spec.build(config=spec.config(), vocabulary=vocabulary, max_length=length)
    raise ConfigError(
        f"{loaded.folder} is a {loaded.architecture}, which has no pre-training objective; give a "
        "model with a language-model head"
    )


def _parts(loaded: Loaded) -> tuple[DocumentView, DocumentView]:
    """The documents that a run learned from, and those it held out."""
    recipe = loaded.recipe
    folder = loaded.folder / "shards"
    if recipe is not None:
        _, text = read_run(loaded.folder)
        folder = Path(text.get("shards", folder))
    if recipe is None or not folder.is_dir():
        raise ConfigError(f"{loaded.folder} holds no text of its own; name some with --text")
    if not recipe.data.held_out:
        raise ConfigError(f"the run {loaded.folder} held no text out; name some with --text")
    shards = Shards.open(folder)
    return split(shards, recipe.data.held_out, recipe.training.seed)


def convert(
    source: str | Path,
    destination: str | Path,
    *,
    encoder_only: bool = False,
    allow_pickle: bool = False,
    family: str | None = None,
    ignored: Sequence[str] = (),
) -> Loaded:
    """Copy a model folder as new, verified files: config, weights, tokenizer, card.

    Of a fine-tuned one also what says how texts are read and answers made, so that it answers the
    same.

    Args:
        source: ours or Hugging Face's.
        destination: the folder to make; it must not exist.
        encoder_only: leave out the heads, as `AutoModel` wants it.
        allow_pickle: as in `load`.
        family: another one that begins with the model's weights, such as "unilm" with BERT's; None
            keeps the model's own.
        ignored: as in `load`.

    Returns:
        The copy, read back.

    Raises:
        ConfigError: the destination exists, or the family cannot begin with such a model.
        CheckpointError: as `load`; or what was read back differs.
    """
    destination = Path(destination)
    if destination.exists():
        raise ConfigError(f"{destination} exists; give a new folder")
    if (published := published_in(Path(source))) is not None:
        return _imported(Path(source), destination, published)
    loaded = load(source, allow_pickle=allow_pickle, ignored=ignored)
    check_finite(loaded.folder, {**dict(loaded.model.named_parameters()), **loaded.stored.head})
    if family is not None:
        loaded = _adopted(loaded, family)
    stored = loaded.stored
    architecture = loaded.architecture
    if encoder_only:
        architecture = stored.family.hub.bare(loaded.model.config).name
    head = stored.head if architecture == loaded.architecture else {}
    kept = [name for name in _KEPT if head or name.endswith("_token_id")]
    extra = {name: stored.raw_config[name] for name in kept if name in stored.raw_config}
    extra |= label_keys(stored.raw_config, head)
    with atomic_folder(destination) as folder:
        save_model(
            loaded.model, folder, architecture=architecture, head=head or None, extra_config=extra
        )
        loaded.tokenizer.save(folder)
        atomic_write_text(folder / "README.md", _card(Path(source), destination, architecture))
        for name in _OF_TASKS if head else ():
            if (loaded.folder / name).is_file():
                atomic_write_bytes(folder / name, (loaded.folder / name).read_bytes())
        _verify(loaded, load(folder))
        if is_run(loaded.folder) and not encoder_only:
            for inner in sorted(loaded.folder.glob("*/config.json")):  # such as a generator
                convert(inner.parent, folder / inner.parent.name)
    return load(destination)


def _adopted(loaded: Loaded, name: str) -> Loaded:
    """The model as another family begins with it."""
    if name not in FAMILIES:
        raise ConfigError(
            f"there is no model family {name!r}; did you mean {nearest(name, FAMILIES)}?"
        )
    family, old = FAMILIES[name], loaded.stored
    model = family.adopt(loaded.model)
    if model is None or loaded.architecture not in family.hub.architectures or old.head:
        raise ConfigError(
            f"{loaded.folder} is a {loaded.architecture}, which {family.title} cannot begin with; "
            "give a pre-trained BERT, or leave the family out"
        )
    return replace(loaded, model=model, stored=replace(old, model=model, family=family))


def _imported(source: Path, destination: Path, layout: PublishedLayout) -> Loaded:
    """A model folder made of the files that its family was published in."""
    model, tokenizer = layout.read(source)
    architecture = family_for(model.config).hub.bare(model.config).name
    with atomic_folder(destination) as folder:
        save_model(model, folder, architecture=architecture)
        tokenizer.save(folder)
        atomic_write_text(folder / "README.md", _card(source, destination, architecture))
        copies = dict(load(folder).model.named_parameters())
        for name in load(folder).stored.fresh:
            del copies[name]
        for name, tensor in model.named_parameters():
            if name in copies and not torch.equal(copies[name], tensor):
                raise CheckpointError(f"{name} was read back otherwise; is the disk sound?")
    return load(destination)


def export_published(source: str | Path, destination: str | Path, *, layout: str) -> None:
    """Write a model in the files that its family was published in.

    Args:
        source: a model folder.
        destination: the folder to make; it must not exist.
        layout: its name, such as bilm.

    Raises:
        ConfigError: the destination exists, or the family has no such files.
    """
    destination = Path(destination)
    if destination.exists():
        raise ConfigError(f"{destination} exists; give a new folder")
    loaded = load(source)
    files = published_layout(layout, loaded.model.config)
    with atomic_folder(destination) as folder:
        files.write(loaded.model, loaded.tokenizer, folder)


def _verify(old: Loaded, new: Loaded) -> None:
    """The copy holds the same numbers and tokenizer, but for parameters that neither stores."""
    copies = dict(new.model.named_parameters())
    fresh = {*new.stored.fresh, *old.stored.fresh}
    for name, tensor in old.model.named_parameters():
        if name not in fresh and not torch.equal(tensor, copies[name]):
            raise CheckpointError(f"{name} differs after it was written; check disk and memory")
    if "weight" in new.stored.head:
        rows, named = new.stored.head["weight"].shape[0], len(new.stored.raw_config["id2label"])
        if rows != named:
            raise CheckpointError(
                f"{new.folder}: config.json names {named} labels, but the head has {rows} rows; "
                "report this"
            )
    if old.tokenizer.fingerprint != new.tokenizer.fingerprint:
        raise CheckpointError(
            f"the tokenizer of {old.folder} cannot be written as it is; report this"
        )


def _card(source: Path, destination: Path, architecture: str) -> str:
    """The card of the source, or a short one where it has none."""
    card = source / "README.md"
    if card.is_file() and card.stat().st_size < 2**20:
        return card.read_text(encoding="utf-8", errors="replace")
    return (
        f"---\nlibrary_name: transformers\ntags: [foretext]\n---\n\n# {destination.name}\n\n"
        f"A `{architecture}`, copied from `{source.name}` by foretext.\n"
    )


def _loaded(model: Loaded | str | Path) -> Loaded:
    return model if isinstance(model, Loaded) else load(model)
