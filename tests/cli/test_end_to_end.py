"""The verbs one after another on a small text, as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from foretext.models import FAMILIES
from tests.cli.conftest import TINY, Cli, World


def records(text: str) -> list[dict[str, Any]]:
    """Every line of standard output is JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_the_plan_comes_before_the_steps_and_is_exact(
    cli: Cli, world: World, tmp_path: Path
) -> None:
    """Issue 2: pretrain says parameters (exact), tokens, FLOPs, memory before it starts."""
    out = tmp_path / "run"
    said = cli("pretrain", "bert-tiny", "--text", world.text, "--out", out, "--steps", "2", *TINY)
    assert (said.code, said.out) == (0, f"{out}\n")
    model = transformers.AutoModelForPreTraining.from_pretrained(out)
    parameters = sum(p.numel() for p in model.parameters())
    plan, _, rest = said.err.partition("\nstep ")
    assert f"parameters  {parameters:,}," in plan
    assert re.search(r"memory      about [\d.]+ [kM]B of [\d.]+ [GT]B", plan)
    for row in ("tokens ", "epochs ", "compute ", "memory ", "disk ", "time "):
        assert f"\n  {row}" in plan
    assert rest.startswith("2/2  loss ")
    hint = said.err.splitlines()[-1]  # of the user's own text
    assert re.fullmatch(rf"next: foretext fill {out} 'the \w+ \[MASK\] \w+\.'", hint)


def test_json_output_is_json_alone(cli: Cli, world: World, tmp_path: Path) -> None:
    """--json gives JSON lines on standard output, and nothing on standard error."""
    arguments = ["--text", world.text, "--out", tmp_path / "run", "--steps", "2", *TINY]
    said = cli("pretrain", "bert-tiny", *arguments, "--set", "training.log_every=1", "--json")
    events = [record["event"] for record in records(said.out)]
    assert (said.code, said.err) == (0, "")
    assert [e for e in events if e not in ("stage", "message")] == [
        *("plan", "step", "step", "evaluated", "done")
    ]
    steps = [record for record in records(said.out) if record["event"] == "step"]
    assert [step["step"] for step in steps] == [1, 2]
    assert {"loss", "loss/mlm", "loss/nsp", "learning_rate", "tokens_per_second"} <= set(steps[0])


def test_the_same_command_goes_on_and_says_so(cli: Cli, world: World, bert: Path) -> None:
    """design.md: running the same command again continues the run."""
    arguments = ["--text", world.text, "--out", bert, "--steps", "4", *TINY]
    again = cli("pretrain", "bert-tiny", *arguments)
    resumed = cli("pretrain", bert, "--resume", "--quiet")
    assert again.code == resumed.code == 0
    assert "going on from step 4" in again.err
    assert (resumed.out, resumed.err) == (f"{bert}\n", "")


def test_a_dry_run_writes_nothing(cli: Cli, world: World, tmp_path: Path) -> None:
    """Issue 2: --dry-run prints recipe and cost and writes nothing; its recipe is a --config."""
    arguments = ["bert-tiny", "--text", world.text, "--out", tmp_path / "run", "--steps", "3"]
    said = cli("pretrain", *arguments, *TINY, "--dry-run")
    assert said.code == 0 and "  time " in said.err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "recipe.toml").write_text(said.out, encoding="utf-8")
    start = ["pretrain", "bert-tiny", "--text", world.text, "--out", tmp_path / "run"]
    again = cli(*start, "--config", tmp_path / "recipe.toml", "--dry-run")
    assert again.out == said.out


def test_shards_made_before_give_the_same_weights(
    cli: Cli, world: World, bert: Path, tmp_path: Path
) -> None:
    """pretrain makes tokenizer and shards just as the two verbs do."""
    tok, shards, out = (tmp_path / name for name in ("tok", "shards", "run"))
    size = ["--vocab-size", "90"]
    assert cli("tokenizer", "train", world.text, *size, "--out", tok, "--json").code == 0
    made = cli("prepare", world.text, "--tokenizer", tok, "--out", shards, "--json")
    assert records(made.out)[-1]["documents"] == 60
    start = ["pretrain", "bert-tiny", "--shards", shards, "--out", out, "--steps", "4", *TINY]
    assert cli(*start, "-q").code == 0
    name = "model.safetensors"
    assert (out / name).read_bytes() == (bert / name).read_bytes()


def test_fill_names_words_by_probability(cli: Cli, bert: Path) -> None:
    """The candidates of a mask, likeliest first; --target chooses among words."""
    said = records(cli("fill", bert, "The film was [MASK] .", "--top-k", "3", "--json").out)
    scores = [record["score"] for record in said]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    text = cli("fill", bert, "The [MASK] was [MASK] .", "--target", "good", "--target", "bad").out
    assert [line for line in text.splitlines() if "mask" in line] == [" mask 1", " mask 2"]
    assert text.count("good") == text.count("bad") == 2


def test_generate_goes_on_with_the_prompt_and_repeats_itself(cli: Cli, gpt: Path) -> None:
    """The same seed gives the same text."""
    arguments = ["generate", gpt, "--prompt", "The film", "--max-new-tokens", "5", "--json"]
    first = records(cli(*arguments).out)
    assert first == records(cli(*arguments).out)
    assert first[0]["prompt"] == "The film" and len(first[0]["ids"]) <= 5
    assert first != records(cli(*arguments, "--seed", "1").out)


def test_evaluate_measures_a_pretrained_model_on_text(cli: Cli, world: World, bert: Path) -> None:
    """Held-out loss as the run logged it; named text needs no run."""
    held_out = records(cli("evaluate", bert, "--json").out)[-1]
    logged = records((bert / "metrics.jsonl").read_text(encoding="utf-8"))[-1]
    assert held_out["loss"] == pytest.approx(logged["eval/loss"], rel=1e-5)
    named = records(cli("evaluate", bert, "--text", world.text, "--json").out)[-1]
    assert named["mlm_perplexity"] > 1


def test_a_task_is_learned_measured_and_predicted(
    cli: Cli, world: World, bert: Path, task: Path, tmp_path: Path
) -> None:
    """finetune, evaluate and predict agree with each other, in any form of input."""
    metrics = records(cli("evaluate", task, "--data", world.dev, "--json").out)[-1]
    rows = [r.split("\t") for r in world.dev.read_text(encoding="utf-8").splitlines()[1:]]
    lines = cli("predict", task, world.dev).out.splitlines()
    right = sum(line.split("\t")[0] == row[1] for line, row in zip(lines, rows, strict=True))
    assert right / len(rows) == pytest.approx(metrics["accuracy"])
    plain = tmp_path / "new.txt"
    plain.write_text("\n".join(row[0] for row in rows), encoding="utf-8")
    assert cli("predict", task, plain).out.splitlines() == lines
    one = cli("predict", task, "--text", rows[0][0])
    assert one.out.splitlines() == lines[:1]
    several = tmp_path / "several"
    files = ["--train", world.train, "--dev", world.dev, "--out", several]
    said = cli("finetune", bert, "classification", *files, "--steps", "1", "--seeds", "2")
    assert said.code == 0 and "median" in said.out


@pytest.mark.parametrize("encoder_only", [False, True])
def test_an_export_opens_elsewhere_and_comes_back(
    cli: Cli, bert: Path, tmp_path: Path, encoder_only: bool
) -> None:
    """The copy has the files of the layout alone, the same numbers, and can be imported."""
    out = tmp_path / "copy"
    said = cli("export", bert, out, *(["--encoder-only"] if encoder_only else []))
    assert said.code == 0 and "read back, equal" in said.out
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not names & {"run.toml", "checkpoints", "shards", "metrics.jsonl"}
    ours = transformers.AutoModel.from_pretrained(bert)
    theirs = transformers.AutoModel.from_pretrained(out)
    for name, tensor in ours.named_parameters():
        assert torch.equal(tensor, theirs.get_parameter(name)), name
    assert cli("import", out, tmp_path / "again").code == 0


def test_a_fine_tuned_model_keeps_its_labels_when_exported(
    cli: Cli, task: Path, tmp_path: Path
) -> None:
    """The labels are in config.json, where other tools look for them."""
    assert cli("export", task, tmp_path / "copy").code == 0
    config = transformers.AutoConfig.from_pretrained(tmp_path / "copy")
    assert config.id2label == {0: "neg", 1: "pos"}


def test_models_lists_every_preset_with_its_size(cli: Cli) -> None:
    """The table and the JSON lines name every preset; the sizes are those of the closed form."""
    listed = {record["preset"]: record for record in records(cli("models", "--json").out)}
    presets = {name: family for family in FAMILIES.values() for name in family.presets}
    assert set(listed) == set(presets)
    assert listed["bert-tiny"]["parameters"] == 4_433_468
    table = cli("models").out
    assert all(f"\n{name} " in table for name in presets)
    assert max(len(line) for line in table.splitlines() if line[:4] in ("bert", "gpt2")) <= 80


def test_models_lists_the_families_asked_for(cli: Cli) -> None:
    """Of ELECTRA both networks, and the two together; papers/electra.md, section a."""
    assert {r["family"] for r in records(cli("models", "bert", "gpt", "--json").out)} == {
        "bert",
        "gpt",
    }
    listed = {r["preset"]: r for r in records(cli("models", "electra", "--json").out)}
    small = listed["electra-small"]
    assert small["networks"] == {"discriminator": 13_549_057, "generator": 4_620_026}
    assert small["parameters"] == 14_196_219
    table = cli("models", "electra").out
    assert re.search(r"electra-small +12 +256 +4 +14,196,219 +13,549,057 +4,620,026\n", table)
    assert "bert-tiny" not in table and max(map(len, table.splitlines())) <= 100


def test_lists_and_doctor_say_what_there_is(cli: Cli) -> None:
    """objectives, tasks and doctor, for people and as JSON."""
    assert "objective.mask_rate = 0.15" in cli("objectives").out
    assert "task.labels = []" in cli("tasks").out
    assert {r["objective"] for r in records(cli("objectives", "--json").out)} >= {"causal-lm"}
    assert records(cli("tasks", "--json").out)[0]["task"] == "classification"
    report = cli("doctor").out
    assert report.startswith("| what | value |\n| --- | --- |\n")
    assert f"| torch | {torch.__version__} |" in report
    assert records(cli("doctor", "--json").out)[0]["torch"] == torch.__version__


def test_check_data_counts_text_and_labels(cli: Cli, world: World, bert: Path) -> None:
    """Text with a tokenizer; a table with a column called label is looked at as labels."""
    text = records(cli("check-data", world.text, "--tokenizer", bert, "--json").out)[0]
    assert text["documents"] == 60 and text["tokens"] > 1000
    labels = records(cli("check-data", world.train, "--dev", world.dev, "--json").out)[0]
    assert labels["train"]["labels"] == {"pos": 30, "neg": 30}
    assert "labels    neg 30, pos 30" in cli("check-data", world.train).out
    assert "\ndocuments       60\n" in cli("check-data", world.text).out


def test_ctrl_c_saves_and_ends_with_130(world: World, tmp_path: Path) -> None:
    """Issue 2: Ctrl-C saves and exits cleanly; here with a real process."""
    out = tmp_path / "run"
    code = "import sys; from foretext.cli import main; sys.exit(main())"
    arguments = ["pretrain", "bert-tiny", "--text", str(world.text), "--out", str(out), *TINY]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--steps", "1000000", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "step":
                break
        process.send_signal(signal.SIGINT)
        rest = records(process.stdout.read())
    assert process.returncode == 130
    assert rest[-1]["event"] == "stopped"
    assert (out / "checkpoints" / f"step-{rest[-1]['step']:06d}").is_dir()


def test_text_from_standard_input_is_read_once_and_used_twice(
    cli: Cli, world: World, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cat text.txt | foretext pretrain --text -` trains tokenizer and model on the same text."""
    with world.text.open(encoding="utf-8") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        arguments = ["--text", "-", "--out", tmp_path / "run", "--steps", "4", *TINY]
        assert cli("pretrain", "bert-tiny", *arguments, "-q").code == 0
    name = "model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (bert / name).read_bytes()


def test_any_tokenizers_mask_can_be_written_as_mask(cli: Cli, world: World, tmp_path: Path) -> None:
    """RoBERTa spells it <mask>; what `pretrain` prints as the next command works all the same."""
    out = tmp_path / "roberta"
    arguments = ["--text", world.text, "--out", out, "--steps", "1", *TINY]
    said = cli("pretrain", "roberta-tiny", *arguments, "--set", "data.vocab_size=300")
    assert f"next: foretext fill {out} " in said.err
    own, usual = (cli("fill", out, f"It was {mask}.", "--json") for mask in ("<mask>", "[MASK]"))
    assert own.code == usual.code == 0
    scores = [[record["score"] for record in records(said.out)] for said in (own, usual)]
    assert scores[0] == scores[1]


def test_a_run_of_two_models_is_exported_with_both(cli: Cli, world: World, tmp_path: Path) -> None:
    """ELECTRA's generator lies in a folder below the run's own, and fills masks from the copy."""
    out, copy = tmp_path / "electra", tmp_path / "copy"
    arguments = ["--text", world.text, "--out", out, "--steps", "1", *TINY]
    assert cli("pretrain", "electra-tiny", *arguments, "-q").code == 0
    assert cli("export", out, copy).code == 0
    before, after = (cli("fill", f / "generator", "It was [MASK] .") for f in (out, copy))
    assert before.code == 0 and before.out == after.out
    bare = tmp_path / "bare"
    assert cli("export", out, bare, "--encoder-only").code == 0
    assert not (bare / "generator").exists()
