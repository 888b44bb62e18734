"""Where reading a number waits for the device, it is read when something is logged or saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foretext.core.errors import TrainingError
from foretext.training.job import Progress
from foretext.training.loop import train, update
from foretext.training.meter import Meter
from foretext.training.optimizers.build import build_optimizer
from foretext.training.samples import StepDataset
from tests.training.test_streams import job


def test_a_loss_that_is_not_finite_ends_a_gpus_run_before_it_is_saved(tmp_path: Path) -> None:
    """Meter.check stands before every log line and checkpoint."""
    meter = Meter(replace(job(tmp_path), device=torch.device("cuda")), Progress(step=7))
    good, bad = torch.ones(()), torch.tensor(float("nan"))
    meter.add([], {"lm": good}, good, 0.1)
    meter.check()
    meter.add([], {"lm": bad}, good, 0.1)
    meter.add([], {"lm": good}, good, 0.1)
    with pytest.raises(TrainingError, match=r"not finite at step 7 or shortly before it"):
        meter.check()


def test_on_a_cpu_it_ends_before_the_update(tmp_path: Path) -> None:
    broken = job(tmp_path)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(float("inf"))
    with pytest.raises(TrainingError, match="its batch and the weights before it are in"):
        train(broken)
    assert (tmp_path / "failed-step-000000" / "model.safetensors").is_file()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_update_never_waits_for_the_gpu(tmp_path: Path) -> None:
    """design.md, contract 3: no step waits for the device to log."""
    from tests.training.test_accumulation import model_for, objective_of

    for name in ("next-sentence", "causal-lm", "replaced-token"):
        network = model_for(name, dropout=0.1).float().cuda()
        objective = objective_of(name)
        one = replace(
            job(tmp_path), model=network, objective=objective, device=torch.device("cuda")
        )
        plan = replace(one.epochs, objective=objective, folder=tmp_path / name)
        steps = StepDataset(epochs=plan, batch_size=8, micro_batch_size=4, start=0, stop=3)
        optimizer = build_optimizer(network, one.config.optimizer_config())
        update(one, one.step, optimizer, steps[0], step=0, factor=1.0)  # kernels are chosen
        torch.cuda.set_sync_debug_mode("error")
        try:
            update(one, one.step, optimizer, steps[1], step=1, factor=1.0)
        finally:
            torch.cuda.set_sync_debug_mode("default")
