"""A run that is killed or stopped at any step and resumed ends with the same bits.

Real processes and real signals; design.md, "Everything random is a function of (seed, epoch,
sample)".
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from foretext.core import rng
from foretext.training.loader import load
from foretext.training.progress import Silent
from foretext.training.samples import SamplePlan, StepDataset
from tests.objectives.corpora import random_corpus, vocabulary
from tests.tasks.test_multiple_choice import choice_file
from tests.tasks.tiny import backbone_folder
from tests.training.small_run import STEPS, begin

WORDS = ["the", "a", "of", "storm", "harbour", "letter", "king", "river", "night", "walked", "lost"]
CASES = [(o, w) for o in ("next-sentence", "causal-lm") for w in (0, 2)]
CASES += [("replaced-token", 2)]  # two networks, and a generator that draws
CASES += [("masked-lm", 0), ("masked-lm", 2)]  # longer sequences from step 7 on
CASES += [("sentence-order", 0), ("packed-masked-lm", 0)]
CASES += [("gpt3-mini", 0)]  # the batch grows, and warm-up is counted in tokens
CASES += [("span-corruption", 0), ("span-corruption", 2)]  # sources and targets
CASES += [("multiple-choice", 0)]  # fine-tuning; a sample is several sequences


@cache
def text() -> Path:
    """Sixty documents of some sentences of common words, made by counters."""
    path = Path(mkdtemp()) / "text.txt"
    documents = []
    for document in range(60):
        lines = []
        for line in range(3 + int(rng.integers(9, 1, document))):
            count = 3 + int(rng.integers(12, 2, document, line))
            picks = rng.integers(len(WORDS), 3, document, line, range(count)).tolist()
            lines.append(" ".join(WORDS[p] for p in picks).capitalize() + ".")
        documents.append("\n".join(lines))
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


@cache
def choices() -> Path:
    """A folder with a backbone and a labelled file."""
    place = Path(mkdtemp())
    backbone_folder(place / "backbone", "bert", noise=0.1)
    choice_file(place / "train.tsv", 50, 0)
    return place


def source(what: str) -> Path:
    return choices() if what == "multiple-choice" else text()


def start(objective: str, workers: int, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.training.small_run"]
    return subprocess.Popen(
        [*command, objective, str(workers), str(source(objective)), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def run_until(process: subprocess.Popen[str], step: int, number: signal.Signals) -> int:
    """Send a signal as soon as a step is done; the exit code."""
    assert process.stdout is not None
    for line in process.stdout:
        if line == f"step {step}\n":
            process.send_signal(number)
            break
    process.communicate(timeout=60)
    return process.returncode


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def weights(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


@cache
def unbroken(objective: str) -> tuple[str, Path]:
    """The weights of a run that nothing interrupted, in this process, without loader workers."""
    out = Path(mkdtemp()) / "run"
    begin(objective, 0, source(objective), out, Silent())
    return weights(out), out


@pytest.mark.parametrize(("objective", "workers"), CASES)
def test_killed_and_resumed_ends_with_the_same_bits(
    objective: str, workers: int, tmp_path: Path
) -> None:
    """kill -9 after step 7, one past a checkpoint and in the middle of an epoch."""
    out = tmp_path / "run"
    assert run_until(start(objective, workers, out), 7, signal.SIGKILL) == -signal.SIGKILL
    said = finish(start(objective, workers, out))
    assert "message going on from step 6" in said
    assert weights(out) == unbroken(objective)[0]
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [record["step"] for record in records if "loss" in record]
    assert steps == list(range(1, STEPS + 1))  # none twice, none lost


def test_killed_while_it_prepares_the_text_it_begins_anew(tmp_path: Path) -> None:
    """kill -9 before run.toml is there; half-written shards of the dead process are swept away."""
    out = tmp_path / "run"
    process = start("causal-lm", 0, out)
    while not (out / "tokenizer.json").exists():
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    (out / "run.toml").unlink(missing_ok=True)  # where the kill came too late
    (out / f".tmp-shards-{process.pid}").mkdir(exist_ok=True)
    finish(start("causal-lm", 0, out))
    assert weights(out) == unbroken("causal-lm")[0]
    assert not list(out.glob(".tmp-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_and_exits_with_130(number: signal.Signals, tmp_path: Path) -> None:
    """The step that was being made is not lost, and the run goes on from it to the same bits."""
    out = tmp_path / "run"
    assert run_until(start("next-sentence", 0, out), 4, number) == 130
    assert (out / "model.safetensors").exists()
    assert max((out / "checkpoints").iterdir()).name in ("step-000004", "step-000005")
    finish(start("next-sentence", 0, out))
    assert weights(out) == unbroken("next-sentence")[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_every_process_of_a_job_saves_the_step(
    number: signal.Signals, tmp_path: Path
) -> None:
    """What Slurm, systemd and a closed terminal send; the workers go on until the run has saved."""
    process = start("next-sentence", 2, tmp_path / "run")
    assert process.stdout is not None
    while process.stdout.readline() != "step 2\n":
        assert process.poll() is None
    workers = children(process.pid)
    assert len(workers) == 2
    for pid in (*workers, process.pid):
        os.kill(pid, number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert int(max((tmp_path / "run" / "checkpoints").iterdir()).name[5:]) in (2, 3)
    assert_gone(workers)


def test_workers_that_still_start_end_with_a_killed_run(tmp_path: Path) -> None:
    """kill -9 before a worker has asked its parent for anything; it is gone within a second."""
    process = start("next-sentence", 2, tmp_path / "run")
    while not (workers := children(process.pid)):
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    assert_gone(workers)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def assert_gone(pids: list[int]) -> None:
    """Within a second. Whoever adopted them may not have asked for their exit codes yet."""
    deadline = time.monotonic() + 1
    while any(state(pid) not in ("", "Z") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state(pid: int) -> str:
    """A process's state as /proc names it; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_torn_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    """With a message, and still to the same bits."""
    out = tmp_path / "run"
    run_until(start("causal-lm", 0, out), 7, signal.SIGKILL)
    newest = max((out / "checkpoints").iterdir()) / "optimizer.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    said = finish(start("causal-lm", 0, out))
    assert "falling back" in said
    assert "going on from step 3" in said
    assert weights(out) == unbroken("causal-lm")[0]


def test_batches_do_not_depend_on_where_a_run_begins_or_on_workers(tmp_path: Path) -> None:
    """Seeking to a step costs no replay: step 9 is the same whether asked first or tenth."""
    from foretext.objectives.next_sentence import NextSentence, NextSentenceConfig

    objective = NextSentence(config=NextSentenceConfig(), vocabulary=vocabulary(), max_length=48)
    corpus = random_corpus(6)

    def steps(folder: str, begin: int) -> StepDataset:
        epochs = SamplePlan(objective, corpus, tmp_path / folder, seed=3)
        return StepDataset(epochs=epochs, batch_size=16, micro_batch_size=5, start=begin, stop=12)

    from_the_start = list(load(steps("a", 0), workers=0))
    for other in (list(load(steps("b", 9), workers=0)), list(load(steps("c", 9), workers=2))):
        for mine, its in zip(from_the_start[9:], other, strict=True):
            for one, two in zip(mine, its, strict=True):
                assert one.first_token == two.first_token
                assert one.batch.input_ids.tolist() == two.batch.input_ids.tolist()
                assert one.batch.labels.tolist() == two.batch.labels.tolist()  # type: ignore[attr-defined]
