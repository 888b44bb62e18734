"""foretext models: the presets, their sizes and papers."""

from __future__ import annotations

from typing import Any

from foretext.cli.output import Json, Output
from foretext.cli.papers import paper
from foretext.cli.units import columns, wrapped

EXAMPLE = """\
foretext models
foretext models --json"""


def command(json: Json = False) -> None:
    """List the presets: what `foretext pretrain` takes, with layers, widths and parameters.

    Parameters are exact, tied ones counted once, with the preset's own vocabulary; a run with
    another vocabulary says its own number before it starts.
    """
    from foretext.models import FAMILIES

    output = Output(json=json)
    for name, family in FAMILIES.items():
        records = [_record(name, family, preset) for preset in family.PRESETS]
        if json:
            for record in records:
                output.result("", record)
        else:
            print(f"{name}\n{wrapped(paper(family), '  ')}.\n\n{_table(records)}\n")
    output.note("next: foretext pretrain PRESET --text books/ --out runs/name")


def _record(name: str, family: Any, preset: str) -> dict[str, Any]:
    config = family.PRESETS[preset]
    return {
        "preset": preset,
        "family": name,
        "layers": config.num_layers,
        "hidden": config.hidden_size,
        "heads": config.num_heads,
        "positions": config.max_position_embeddings,
        "vocabulary": config.vocab_size,
        "parameters": family.num_parameters(config),
        "objective": family.recipe(preset)["objective.name"],
        "paper": paper(family),
    }


def _table(records: list[dict[str, Any]]) -> str:
    shown = ("preset", "layers", "hidden", "heads", "vocabulary", "parameters", "objective")
    rows = [
        [f"{v:,}" if isinstance(v := record[name], int) else v for name in shown]
        for record in records
    ]
    return columns(rows, header=shown)
