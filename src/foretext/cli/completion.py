"""foretext completion: what a shell needs to complete verbs and options."""

from __future__ import annotations

from typing import Annotated

import typer

from foretext.core.errors import ConfigError
from foretext.core.suggest import nearest

EXAMPLE = """\
foretext completion bash
foretext completion zsh"""

# Each gives the words up to the cursor to `foretext --complete`; where that has no answer the
# shell completes names of files.
_SCRIPTS = {
    "bash": """\
_foretext() {
  local IFS=$'\\n'
  COMPREPLY=($(foretext --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _foretext foretext""",
    "zsh": """\
autoload -Uz compinit && compinit
_foretext() {
  local -a found
  found=(${(f)"$(foretext --complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -a found; else _files; fi
}
compdef _foretext foretext""",
    "fish": """\
function _foretext
  set -l words (commandline -opc) (commandline -ct)
  foretext --complete $words[2..-1] 2>/dev/null
end
complete -c foretext -a '(_foretext)'""",
}


def command(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print a script that completes verbs and options.

    Append it to ~/.bashrc or ~/.zshrc, or for fish write it to
    ~/.config/fish/completions/foretext.fish, and open a new terminal.
    """
    if shell not in _SCRIPTS:
        raise ConfigError(
            f"there is no completion for {shell!r}; did you mean {nearest(shell, _SCRIPTS)}?"
        )
    print(_SCRIPTS[shell])


def completed(words: list[str]) -> list[str]:
    """What the last word may become; empty where a shell knows better, as for files.

    Args:
        words: after the program's name, up to the cursor; the last may be empty.
    """
    from foretext.cli import VERBS, verb_command

    *before, begun = words or [""]
    count = next((n for n in (2, 1) if " ".join(before[:n]) in VERBS and len(before) >= n), 0)
    if not count:
        names = [name.split() for name in VERBS if name.split()[: len(before)] == before]
        following = {name[len(before)] for name in names if len(name) > len(before)}
        return sorted(word for word in following if word.startswith(begun))
    if not begun.startswith("-"):
        return []
    options = {
        name
        for parameter in verb_command(" ".join(before[:count])).params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }
    return sorted(name for name in (*options, "--help") if name.startswith(begun))
