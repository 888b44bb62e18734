"""The command line: one module a verb, found by name here and imported when the verb is used.

A verb's module has a function `command`, whose signature typer reads, and an `EXAMPLE` that ends
its help. `foretext --help` needs this file alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from foretext import __version__
from foretext.core.errors import ForetextError


class Verb(NamedTuple):
    """A module of this package, and what it does in a few words."""

    module: str
    summary: str


GROUPS: dict[str, dict[str, Verb]] = {
    "From text to a model": {
        "demo": Verb("demo", "The tour: pre-train, transfer, compare"),
        "check-data": Verb("check_data", "Look at text or labels before training on them"),
        "pretrain": Verb("pretrain", "Pre-train a model on text, or go on with a run"),
        "tokenizer train": Verb("tokenizer_train", "Learn a tokenizer from text"),
        "prepare": Verb("prepare", "Turn text into shards of token ids"),
    },
    "From a model to a task": {
        "finetune": Verb("finetune", "Adapt a pre-trained model to labels or to a domain"),
        "evaluate": Verb("evaluate", "Measure a model on labels or text, or compare two"),
        "predict": Verb("predict", "Answer new inputs with a fine-tuned model"),
        "embed": Verb("embed", "Texts as vectors, for search and clustering"),
        "fill": Verb("fill", "Fill in the masks of a text"),
        "generate": Verb("generate", "Continue a text"),
        "score": Verb("score", "How likely texts are under a model"),
    },
    "What there is": {
        "models": Verb("models", "Presets, with their sizes and papers"),
        "objectives": Verb("objectives", "How text makes its own labels"),
        "tasks": Verb("tasks", "What a model can be fine-tuned for"),
        "doctor": Verb("doctor", "Versions and hardware, for a bug report"),
        "completion": Verb("completion", "A script for bash, zsh or fish that completes words"),
    },
    "To and from other tools": {
        "import": Verb("import_", "Bring in a Hugging Face model folder"),
        "export": Verb("export", "Copy a model in the Hugging Face layout, or as ONNX"),
        "push": Verb("push", "Send a model and its card to the Hugging Face hub"),
    },
}
VERBS = {name: verb for group in GROUPS.values() for name, verb in group.items()}

_MEMORY = (
    "there is not enough memory; lower training.micro_batch_size or data.max_length, or choose a "
    "smaller model"
)
EXAMPLE = """\
foretext pretrain bert-mini --text books/ --out runs/bert
foretext fill runs/bert "The man went to the [MASK]."
foretext finetune runs/bert classification --train train.tsv --dev dev.tsv --out runs/task"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0 done, 1 the input is at fault, 2 wrong usage, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that is not UTF-8 is shown, not a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except ForetextError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _unread()
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        return _fail(_MEMORY, 1)
    except OSError as error:
        if error.filename is None or error.strerror is None:  # in the middle of a file
            problem = f"a file could not be written ({error.strerror or error})"
            return _fail(f"{problem}; see that the disk has free space", 1)
        return _fail(f"{error.filename}: {error.strerror}; check the path and its rights", 1)
    return code


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out: torch says so by a RuntimeError, on a CPU by its text alone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "allocate memory" in str(error)


def _unread() -> int:
    """The reader, such as `head`, has what it wants; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _fail(message: str, code: int) -> int:
    from foretext.cli.korean import language, said

    sys.stdout.flush()
    word = "오류:" if language() == "ko" else "error:"
    print(word, said(" ".join(message.split())), file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"foretext {__version__}")
        return 0
    if arguments[0] == "--complete":
        from foretext.cli.completion import completed

        print("\n".join(completed(arguments[1:])))
        return 0
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in VERBS:
            return _run_verb(name, arguments[words:])
    inner = [name for name in VERBS if name.startswith(f"{arguments[0]} ")]
    if inner and (len(arguments) == 1 or arguments[1] in ("-h", "--help")):
        print(_table({name: VERBS[name] for name in inner}))
        return 0
    return _unknown_verb(" ".join(arguments[: 2 if inner else 1]), inner or list(VERBS))


def _unknown_verb(name: str, known: list[str]) -> int:
    from foretext.cli.synonyms import meant

    if name.startswith("-"):
        problem = f"there is no option {name!r};"
    else:
        problem = f"there is no verb {name!r}; did you mean {meant(name, known)}?"
    return _fail(f"{problem} `foretext --help` lists the verbs", 2)


def _run_verb(name: str, arguments: list[str]) -> int:
    import typer

    usage_error: Any = typer.BadParameter.__base__
    command = verb_command(name)
    try:
        code = command.main(arguments, prog_name=f"foretext {name}", standalone_mode=False)
    except usage_error as error:
        return _fail(f"{_problem(error)}; `foretext {name} --help` shows the usage", 2)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit:  # typer's answer to a broken pipe, as when `head` reads the help
        return _unread()
    return int(code or 0)


def _problem(error: Any) -> str:
    """What is wrong with the usage, naming the nearest option to one that does not exist."""
    from foretext.core.suggest import nearest

    wrong = getattr(error, "option_name", None)
    if wrong is not None and hasattr(error, "possibilities"):
        known = [name for option in error.ctx.command.params for name in option.opts]
        options = [name for name in known if name.startswith("--")]
        return f"there is no option {wrong!r}; did you mean {nearest(wrong, options)}?".rstrip("?")
    return str(error.format_message()).removeprefix("Invalid value: ").rstrip(".")


def verb_command(name: str) -> Any:
    """The verb as typer's command, which knows its options."""
    import typer

    module = import_module(f"foretext.cli.{VERBS[name].module}")
    return typer.main.get_command(_app(name, module))


def _app(name: str, module: ModuleType) -> Any:
    import typer

    from foretext.cli.command import VerbCommand

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    example = "\n".join(f"  {line}" for line in module.EXAMPLE.splitlines())
    function = _guarded(module.command)
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    epilog = f"\b\nExample:\n{example}"
    app.command(name, cls=VerbCommand, epilog=epilog, context_settings=settings)(function)
    return app


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its interrupts as exit codes, which typer would turn into others."""

    @wraps(function)
    def run(*positional: Any, **named: Any) -> Any:
        try:
            return function(*positional, **named)
        except BrokenPipeError:
            return _unread()
        except KeyboardInterrupt:
            return _fail("interrupted", 130)

    return run


def overview() -> str:
    """What `foretext --help` prints."""
    parts = [
        "Usage: foretext VERB [OPTIONS]",
        "Pre-train language models on your own text and transfer them to your task.",
    ]
    parts += [f"{title}:\n{_table(verbs)}" for title, verbs in GROUPS.items()]
    parts.append("Example:\n" + "\n".join(f"  {line}" for line in EXAMPLE.splitlines()))
    parts.append("`foretext VERB --help` explains a verb; `foretext --version` tells the version.")
    return "\n\n".join(parts)


def _table(verbs: dict[str, Verb]) -> str:
    return "\n".join(f"  {name:<16} {verb.summary}" for name, verb in verbs.items())
