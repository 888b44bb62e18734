"""Wrong input ends in one line and exit code 1, wrong usage in one line and 2, never a traceback.

The codes are those of design.md, "The command line".
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from foretext.cli import main
from foretext.cli.korean import translated, unknown
from tests.cli.conftest import TINY, Cli, World


def check(cli: Cli, arguments: list[str], *, code: int, says: str) -> None:
    """The command ends with this code and one line on standard error that holds these words."""
    said = cli(*arguments)
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert (said.code, len(errors), said.out) == (code, 1, "")
    assert said.err.splitlines()[-1] == errors[0]
    assert says in errors[0]
    assert "Traceback" not in said.err
    check_korean(errors[0].removeprefix("error: "))


def check_korean(english: str) -> None:
    """The message is in the catalogue of cli/korean.py, and no value is lost on the way."""
    korean = translated(english)
    assert not unknown(english), "add a line to CATALOGUE of src/foretext/cli/korean.py"
    values = re.findall(r"'[^']*'|`[^`]*`|--[\w-]+|\d+", english)
    assert [value for value in values if value not in korean] == []


PRETRAIN_FAULTS = {
    "an unknown preset": (["bert-minni"], "did you mean 'bert-mini'?"),
    "an unknown setting": (["--set", "training.batchsize=8"], "'training.batch_size'"),
    "a setting by its initials": (["--set", "training.lr=1"], "'training.learning_rate'"),
    "a setting in another section": (["--set", "training.dropot=0.1"], "'model.dropout'?"),
    "a mistyped section": (["--set", "trainig.steps=1"], "'training.steps'?"),
    "a setting of the wrong type": (["--set", "training.steps=many"], "must be of type int"),
    "a setting below a value": (["--set", "training.steps.x=1"], "steps is a value"),
    "a section as a setting": (["--set", "model=1"], "there is no setting 'model'"),
    "a setting without a value": (["--set", "nonsense"], "must be path=value"),
    "an unknown objective": (["--set", "objective.name=mlm"], "did you mean 'masked-lm'?"),
    "an objective of another family": (["--set", "objective.name=causal-lm"], "does not train"),
    "sizes that cannot be saved": (["gpt1", "--set", "model.intermediate_size=8"], "= 3072 alone"),
    "no layer": (["--set", "model.num_layers=0"], "model.num_layers=0 must be at least 1"),
    "a width below nothing": (["--set", "model.hidden_size=-64"], "must be at least 1"),
    "everything dropped": (["--set", "model.dropout=1"], "must be from 0 to below 1"),
    "weights without spread": (["--set", "model.initializer_range=0"], "must be above 0"),
    "too few segments": (["--set", "model.type_vocab_size=1"], "set it to 2"),
    "a seed too large": (["--set", "training.seed=18446744073709551616"], "to below 2^63"),
    "no words": (["--set", "data.vocab_size=0"], "data.vocab_size=0 must be at least 1"),
    "a pair rate above one": (["--set", "objective.short_seq_rate=2"], "between 0 and 1"),
    "a weight below nothing": (
        ["electra-tiny", "--set", "objective.discriminator_weight=-1"],
        "must not be negative",
    ),
    "an optimizer that is none": (["--set", "training.optimizer=sgd"], "training.optimizer='sgd'"),
    "a rate above one": (["--set", "objective.mask_rate=7"], "must lie between 0 and 1"),
    "no steps": (["--steps", "0"], "training.steps=0 must be at least 1"),
    "an endless budget": (["--minutes", "inf"], "must be above 0 and finite"),
    "a negative budget": (["--minutes", "-1"], "must be above 0"),
    "too long sequences": (["--set", "data.max_length=4000"], "exceeds the model's 512"),
    "a config that is not there": (["--config", "none.toml"], "none.toml cannot be read"),
    "a policy that is none": (["--on-error", "ignore"], "choose stop, replace or skip"),
    "a run to resume that is not there": (["--resume"], "is not a run"),
    "a tokenizer that is not there": (["--tokenizer", "no-such-folder"], "holds no tokenizer"),
    "a vocabulary too small": (["--set", "data.vocab_size=3"], "must exceed 5 special tokens"),
}


@pytest.mark.parametrize("fault", PRETRAIN_FAULTS)
def test_pretrain_refuses_in_one_line(fault: str, cli: Cli, world: World, tmp_path: Path) -> None:
    """Each fault names the value and the remedy, and leaves nothing."""
    wrong, says = PRETRAIN_FAULTS[fault]
    preset = [] if wrong[0].startswith("--") else [wrong[0]]
    options = wrong[len(preset) :]
    place = ["--text", str(world.text), "--out", str(tmp_path / "out")]
    arguments = ["pretrain", *(preset or ["bert-tiny"]), *place, *options]
    check(cli, arguments, code=1, says=says)
    assert not (tmp_path / "out").exists()


def test_shards_that_are_not_there_are_named(cli: Cli, tmp_path: Path) -> None:
    arguments = ["pretrain", "bert-tiny", "--shards", "none", "--out", str(tmp_path / "out")]
    check(cli, arguments, code=1, says="none does not exist; make one")
    assert not (tmp_path / "out").exists()


def test_text_that_is_missing_or_damaged_is_named_with_its_line(cli: Cli, tmp_path: Path) -> None:
    """Issue 2: bad input ends in one line with file and line number."""
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\xfe\n")
    (tmp_path / "empty.txt").write_bytes(b"")
    faults = {
        "none.txt": "there is no such file",
        "bad.txt": "bad.txt:2: invalid UTF-8",
        "empty.txt": "the corpus is empty",
    }
    for name, says in faults.items():
        place = ["--text", str(tmp_path / name), "--out", str(tmp_path / "out")]
        check(cli, ["pretrain", "bert-tiny", *place], code=1, says=says)


def test_out_that_is_taken_is_refused(cli: Cli, world: World, tmp_path: Path) -> None:
    """Nothing of the user's is overwritten."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    start = ["pretrain", "bert-tiny", "--text", str(world.text), "--out"]
    check(cli, [*start, str(tmp_path / "notes.txt")], code=1, says="is a file")
    check(cli, [*start, str(tmp_path)], code=1, says="holds other files, such as notes.txt")
    start = ["tokenizer", "train", str(world.text), "--out"]
    check(cli, [*start, str(tmp_path)], code=1, says="not empty")
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_run_with_another_recipe_is_refused(cli: Cli, world: World, bert: Path) -> None:
    """design.md: running the same command again continues; another recipe is refused."""
    start = ["pretrain", "bert-tiny", "--text", str(world.text), "--out", str(bert), *TINY]
    check(cli, [*start, "--steps", "9"], code=1, says="training.steps: 4 -> 9")
    check(cli, [*start, "--fresh"], code=1, says="add --force")
    check(cli, ["pretrain", str(bert), "--fresh", "--force"], code=1, says="needs text")
    check(cli, ["pretrain", str(bert), "--out", "other"], code=1, says="leave out --out")
    assert (bert / "run.toml").exists()


def test_a_task_that_does_not_fit_is_refused(cli: Cli, world: World, bert: Path) -> None:
    """Unknown task, missing column, unknown label, empty file: one clear line (issue 2)."""
    (world.folder / "odd.tsv").write_text("sentence\tlabel\nhi\todd\n", encoding="utf-8")
    (world.folder / "empty.tsv").write_text("", encoding="utf-8")
    place = ["--out", str(world.folder / "never")]
    good, odd = ["--train", str(world.train)], str(world.folder / "odd.tsv")
    cases = {
        "did you mean 'classification'?": ["classificaton", *good],
        "there is no column 'gold'": ["classification", *good, "--label-column", "gold"],
        "odd.tsv:2: the label 'odd'": ["classification", *good, "--dev", odd],
        "the file holds none": ["classification", "--train", str(world.folder / "empty.tsv")],
        "'finetune.epochs'": ["classification", *good, "--set", "finetune.epoch=1"],
    }
    for says, arguments in cases.items():
        check(cli, ["finetune", str(bert), *arguments, *place], code=1, says=says)
    taken = ["finetune", str(bert), "classification", *good, "--out", str(bert)]
    check(cli, taken, code=1, says="holds a run of pre-training")


def test_a_start_that_failed_does_not_stand_in_the_way(
    cli: Cli, world: World, tmp_path: Path
) -> None:
    """The text was prepared before the fault was known; the command, mended, begins anew."""
    place = [
        "pretrain",
        "bert-tiny",
        *TINY,
        "--text",
        str(world.text),
        "--out",
        str(tmp_path / "o"),
    ]
    wrong = ["--set", "data.special_tokens=gpt2", "--steps", "1"]
    check(cli, [*place, *wrong], code=1, says="needs special tokens CLS, SEP, MASK")
    assert cli(*place, "--steps", "1").code == 0
    check(cli, [*place, "--minutes", "1"], code=1, says="was begun with 1 steps, not with")


def test_a_full_disk_is_one_line_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    """Files may not exceed 4 KiB, a limit of the shell, which stops a write in its middle."""
    command = f"ulimit -f 4; exec {sys.executable} -m foretext tokenizer train {world.text}"
    found = subprocess.run(
        ["bash", "-c", f"{command} --out {tmp_path / 'tok'} --kind byte-bpe --quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.startswith("error: ")
    assert "could not be written" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_not_used_for_what_it_cannot_do(
    cli: Cli, world: World, bert: Path, gpt: Path, task: Path
) -> None:
    """Each verb says which kind of model it wants."""
    fine = ["--train", str(world.train), "--out", str(world.folder / "never")]
    cases = {
        "has no [MASK]": ["fill", str(bert), "no gap"],
        "cannot fill masks": ["fill", str(gpt), "[MASK]"],
        "not one token": ["fill", str(bert), "[MASK]", "--target", "unheard"],
        "cannot continue a text": ["generate", str(bert), "--prompt", "a"],
        "temperature=-1.0": ["generate", str(gpt), "--temperature", "-1"],
        "was not fine-tuned": ["predict", str(bert), str(world.text)],
        "made by `foretext finetune`": ["pretrain", str(task), "--resume"],
        "holds no config.json": ["evaluate", str(world.folder)],
        "no-such-folder is not a folder": ["export", "no-such-folder", "copy"],
        "no-such-backbone is not a folder": ["finetune", "no-such-backbone", "masked", *fine],
        "no-such-model is not a folder": ["finetune", "no-such-model", "classification", *fine],
        "no-such-text is not a folder": ["fill", "no-such-text", "[MASK]"],
        "no-such-task is not a folder": ["predict", "no-such-task", str(world.text)],
        "no-such-run is not a folder": ["evaluate", "no-such-run", "--data", str(world.train)],
        "is a run of foretext already": ["import", str(bert), "copy"],
        "is the input itself": ["predict", str(task), str(world.dev), "--out", str(world.dev)],
        "is a folder; give a file in it": ["predict", str(task), str(world.dev), "--out", "."],
    }
    for says, arguments in cases.items():
        check(cli, arguments, code=1, says=says)
    check(cli, ["export", str(bert), str(gpt)], code=1, says="exists; give a new folder")


def test_an_unknown_family_is_named_with_the_nearest(cli: Cli) -> None:
    """`foretext models` takes families, not presets."""
    check(cli, ["models", "elektra"], code=1, says="did you mean 'electra'? there are albert, bert")


USAGE_FAULTS = {
    "an unknown verb": (["pretrian"], "did you mean 'pretrain'?"),
    "an unknown second word": (["tokenizer", "trian"], "did you mean 'tokenizer train'?"),
    "an unknown option": (["pretrain", "bert-tiny", "--stesp", "3"], "did you mean '--steps'"),
    "an unknown option before the verb": (["--jsn"], "there is no option '--jsn'"),
    "an argument left out": (["pretrain"], "Missing argument 'PRESET|FAMILY|RUN'"),
    "an argument too many": (["doctor", "all"], "unexpected extra argument"),
    "an option left out": (["prepare", "a.txt"], "Missing option '--tokenizer'"),
    "a word for a number": (["pretrain", "bert-tiny", "--steps", "x"], "--steps"),
    "two budgets": (["pretrain", "a", "--steps", "1", "--minutes", "1"], "exclude each other"),
    "neither file nor text": (["predict", "runs/task"], "give either a file or --text"),
}


@pytest.mark.parametrize("fault", USAGE_FAULTS)
def test_wrong_usage_is_code_2(fault: str, cli: Cli) -> None:
    """design.md: 2 wrong usage; the nearest verb or option is named."""
    arguments, says = USAGE_FAULTS[fault]
    check(cli, arguments, code=2, says=says)


def test_an_interrupt_is_code_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """design.md: 130 interrupted."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("foretext.text.inspect.inspect_corpus", interrupted)
    check(cli, ["check-data", "any.txt"], code=130, says="interrupted")


def test_a_file_without_rights_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system names the file, without a traceback."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "secret.txt")

    monkeypatch.setattr("foretext.text.inspect.inspect_corpus", refused)
    check(cli, ["check-data", "any.txt"], code=1, says="secret.txt: Permission denied")


def test_too_little_memory_is_said_in_one_line(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's allocator on a CPU raises a plain RuntimeError, which no user could read."""

    def allocate(*_: object, **__: object) -> None:
        torch.empty(2**46)

    monkeypatch.setattr("foretext.text.inspect.inspect_corpus", allocate)
    check(cli, ["check-data", str(world.text)], code=1, says="training.micro_batch_size")


def test_a_fault_of_ours_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """core/errors.py: a programming fault is not dressed up as the user's."""

    def faulty(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("foretext.text.inspect.inspect_corpus", faulty)
    with pytest.raises(ZeroDivisionError):
        main(["check-data", "any.txt"])


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    """`foretext models | head` prints no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (["--help"], ["tokenizer", "train", "--help"]):
        command = [sys.executable, "-c", "import sys; from foretext.cli import main; main()"]
        said = subprocess.run(
            [*command, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
        assert (said.returncode, said.stderr) == (0, "")
    os.close(writing)
