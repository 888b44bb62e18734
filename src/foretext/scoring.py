"""What scores texts under a pre-trained model, as a function."""

from __future__ import annotations

from pathlib import Path

from foretext.api import Loaded, load, trained_by
from foretext.core.errors import ConfigError
from foretext.inference.scoring import Scorer


def scorer(model: Loaded | str | Path, *, whole_words: bool = False) -> Scorer:
    """What scores texts under a pre-trained model; see `foretext.inference.scoring`.

    Raises:
        ConfigError: the model has no vocabulary head that was trained.
    """
    loaded = model if isinstance(model, Loaded) else load(model)
    if trained_by(loaded) is None:
        raise ConfigError(
            f"{loaded.folder} is a {loaded.architecture}, whose vocabulary head was not trained; "
            "give a pre-trained model"
        )
    limit = loaded.stored.family.max_positions(loaded.model.config)
    return Scorer(loaded.model, loaded.tokenizer, limit=limit, whole_words=whole_words)
