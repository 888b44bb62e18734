"""What a crash or a bad disk does to a run's files beside its checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretext.core.errors import CheckpointError
from foretext.objectives.masked_lm import MaskedLM, MaskedLMConfig
from foretext.training.checkpoint import check_seal, seal
from foretext.training.log import MetricsLog, read_metrics
from foretext.training.samples import SamplePlan
from tests.objectives.corpora import random_corpus, vocabulary


def plan(folder: Path) -> SamplePlan:
    objective = MaskedLM(config=MaskedLMConfig(), vocabulary=vocabulary(), max_length=32, seed=1)
    return SamplePlan(objective, random_corpus(20), folder, seed=1)


@pytest.mark.parametrize("damage", ["flip", "empty", "short", "text"])
def test_a_damaged_plan_is_planned_anew(damage: str, tmp_path: Path) -> None:
    """A flipped bit would train other weights in silence, an empty file read as an interrupt."""
    expected = np.array(plan(tmp_path).rows(0))
    path = tmp_path / "epoch-00000.npy"
    whole = path.read_bytes()
    broken = {
        "flip": whole[:200] + bytes([whole[200] ^ 4]) + whole[201:],
        "empty": b"",
        "short": whole[:-40],
        "text": b"not a plan at all, but forty characters or more",
    }[damage]
    path.write_bytes(broken)
    assert np.array_equal(plan(tmp_path).rows(0), expected)
    assert path.read_bytes() == whole


def test_a_damaged_best_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"0123456789")
    seal(tmp_path, 3)
    check_seal(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"0123456798")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged: its SHA-256"):
        check_seal(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json cannot be read"):
        check_seal(tmp_path)


DAMAGED = (
    b'{"step": 1, "loss": 2.0}\n\xff\xfe\x00\n[3]\n{"loss": 1}\n{"step": 2}\n{"step": 9}\n{"st'
)


def test_a_damaged_log_stops_nothing(tmp_path: Path) -> None:
    """Lines that are no records are left out and counted; a torn last line is usual."""
    (tmp_path / "metrics.jsonl").write_bytes(DAMAGED)
    said: list[str] = []
    with MetricsLog(tmp_path, 2, said.append) as log:
        log.write({"step": 3, "loss": 1.0})
    assert said == [f"{tmp_path / 'metrics.jsonl'}: 3 damaged lines are left out; the run goes on"]
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    said: list[str] = []
    with MetricsLog(tmp_path, 0, said.append) as log:
        log.write({"step": 1, "loss": float("nan")})
    assert len(said) == 1
    assert "the run goes on without it" in said[0]
    assert read_metrics(tmp_path) == []
