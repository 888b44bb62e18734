"""foretext models: the presets, their sizes and papers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretext.cli.output import Json, Output
from foretext.cli.units import columns, wrapped

if TYPE_CHECKING:
    from foretext.core.config import ModelConfig
    from foretext.models.family import Family

EXAMPLE = """\
foretext models
foretext models electra
foretext models bert gpt --json"""


def command(
    families: Annotated[
        list[str] | None, typer.Argument(metavar="FAMILY", help="These alone; else all.")
    ] = None,
    json: Json = False,
) -> None:
    """List the presets: what `foretext pretrain` takes, with layers, widths and parameters.

    Parameters are exact, tied ones counted once, with the preset's own vocabulary; a run with
    another vocabulary says its own number before it starts. Where two networks are trained
    together, what they share counts once in the sum.
    """
    from foretext.models import FAMILIES

    output = Output(json=json)
    for name in _asked(families or [], list(FAMILIES)):
        family = FAMILIES[name]
        records = [_record(name, family, preset) for preset in family.presets]
        if json:
            for record in records:
                output.result("", record)
        else:
            print(f"{name}\n{wrapped(family.paper, '  ')}.\n\n{_table(records)}\n")
    output.note("next: foretext pretrain PRESET --text books/ --out runs/name")


def _asked(names: list[str], known: list[str]) -> list[str]:
    """The families named, in the order of the list; all if none is.

    Raises:
        ConfigError: one is not known.
    """
    from foretext.core.errors import ConfigError
    from foretext.core.suggest import nearest

    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no model family {name!r}; did you mean {nearest(name, known)}? there "
                f"are {', '.join(known)}"
            )
    return [name for name in known if name in names or not names]


def _record(name: str, family: Family[ModelConfig], preset: str) -> dict[str, Any]:
    from foretext.core.config import to_dict

    config = family.presets[preset]
    networks = family.network_parameters(config)
    return {
        "preset": preset,
        "family": name,
        "layers": config.num_layers,
        "hidden": config.hidden_size,
        "heads": to_dict(config).get("num_heads", ""),
        "positions": family.max_positions(config),
        "vocabulary": config.vocab_size,
        "parameters": networks.pop("together", None) or family.hub.num_parameters(config),
        "networks": networks,
        "objective": family.recipe(preset)["objective.name"],
        "paper": family.paper,
    }


def _table(records: list[dict[str, Any]]) -> str:
    """Presets under each other; the networks of a pair stand instead of some columns."""
    networks = list(records[0]["networks"])
    shown = ["preset", "layers", "hidden", "heads", "vocabulary", "parameters", "objective"]
    if networks:
        shown = ["preset", "layers", "hidden", "heads", "parameters", *networks]
    rows = [[_cell((record | record["networks"])[name]) for name in shown] for record in records]
    return columns(rows, header=shown)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
