"""foretext push: a model and its card to the Hugging Face hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.output import Json, Output, Quiet
from foretext.core.errors import ConfigError

if TYPE_CHECKING:
    from foretext.runs.hub_card import CardOptions

EXAMPLE = """\
foretext push runs/bert ann/my-bert --license mit --language en
foretext push runs/task ann/reviews --license apache-2.0 --language ko --base-model ann/my-bert
foretext push runs/bert ann/my-bert --license mit --language en --dry-run"""


def command(  # noqa: PLR0913, PLR0917  (a verb's options)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A model folder.")],
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="Its name on the hub.")],
    license_: Annotated[
        str,
        typer.Option("--license", metavar="ID", help="mit, apache-2.0, cc-by-4.0, other, ..."),
    ],
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="en, ko, ...; several times, or none for no language."),
    ] = None,
    base_model: Annotated[
        str | None,
        typer.Option(
            metavar="USER/NAME|none",
            help="Where its weights came from; needed if it began with another model's.",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A data set on the hub.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="For you alone, where the repository is new.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the card; send nothing.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send config, weights, tokenizer and a complete card to the Hugging Face hub.

    Log in before by `hf auth login`. The copy that is sent was read back and compared, and holds
    neither checkpoints nor text.
    """
    from foretext.recipes.best import best_folder
    from foretext.runs.hub_card import CardOptions, check_repository, is_derived

    check_repository("USER/NAME", repository)
    folder = best_folder(run)
    if base_model is None and is_derived(folder):
        raise ConfigError(
            f"{folder} began with another model's weights; name it by --base-model USER/NAME, or "
            "--base-model none where it is on no hub"
        )
    options = CardOptions(
        license=license_,
        languages=tuple(language or ()),
        base_model=None if base_model == "none" else base_model,
        datasets=tuple(dataset or ()),
    )
    output = Output(json=json, quiet=quiet)
    if dry_run:
        card = _card(folder, repository, options)
        output.result(card.rstrip("\n"), {"repository": repository, "card": card})
        output.note("Nothing was sent. The same command without --dry-run sends it.")
        return
    address = push(folder, repository, options, private=private, api=_api())
    output.result(address, {"repository": repository, "address": address})


def push(folder: Path, repository: str, options: CardOptions, *, private: bool, api: Any) -> str:
    """Send a model with its card.

    Args:
        folder: of the run.
        repository: USER/NAME.
        options: of the card.
        private: where the repository is new.
        api: huggingface_hub.HfApi, or what has its create_repo and upload_folder.

    Returns:
        The address of the repository.

    Raises:
        ConfigError: the hub cannot be reached or refuses.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    from foretext.api import convert
    from foretext.core.atomic import atomic_write_text

    with tempfile.TemporaryDirectory(prefix="foretext-") as temporary:
        copy = Path(temporary) / "model"
        convert(folder, copy)
        atomic_write_text(copy / "README.md", _card(folder, repository, options))
        try:
            address = str(api.create_repo(repository, private=private, exist_ok=True))
            message = "Upload by foretext"
            api.upload_folder(repo_id=repository, folder_path=copy, commit_message=message)
        except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
            raise ConfigError(
                f"the hub did not take {repository}: {error}; see that you are online and logged "
                "in (`hf auth login`) and may write there"
            ) from error
    return address


def _card(folder: Path, repository: str, options: CardOptions) -> str:
    from foretext.runs.hub_card import hub_card

    own = folder / "README.md"
    text = own.read_text(encoding="utf-8") if own.is_file() else f"# {repository}\n"
    return hub_card(folder, text, repository, options)


def _api() -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError("pushing needs huggingface_hub; pip install 'foretext[hub]'") from None
    return HfApi(library_name="foretext")
