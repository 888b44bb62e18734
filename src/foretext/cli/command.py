"""Help of a verb without typer's signs: `RUN`, not `{RUN}` and `RUN <path>`."""

from __future__ import annotations

import re

import typer
from typer.core import TyperCommand

_BRACES = re.compile(r"\{([A-Z|]+)\}")
_TYPE = re.compile(r"(?<=[A-Z\].] )<[A-Za-z\[\]]+>")


class VerbCommand(TyperCommand):
    """A typer command whose help names arguments as the documentation does."""

    def get_help(self, ctx: typer.Context) -> str:  # type: ignore[override, unused-ignore]
        """The help; types are blanked, not cut, so that columns stay aligned."""
        text = _BRACES.sub(r"\1", super().get_help(ctx))
        return _TYPE.sub(lambda found: " " * len(found[0]), text)
