"""push: what is sent is a whole model with a complete card; no network is used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import foretext
from foretext.cli import push as verb
from tests.cli.conftest import Cli


class Hub:
    """Stands for HfApi and keeps what it is sent."""

    def __init__(self, place: Path, *, fails: bool = False) -> None:
        self.place, self.fails, self.private = place, fails, False

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        if self.fails:
            raise ConnectionError("name or service not known")
        self.private = private
        return f"https://hub.test/{repository}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert commit_message
        shutil.copytree(folder_path, self.place / repo_id)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    api = Hub(tmp_path)
    monkeypatch.setattr(verb, "_api", lambda: api)
    return api


def test_a_model_is_sent_with_a_complete_card(
    cli: Cli, hub: Hub, task: Path, tmp_path: Path
) -> None:
    """License, language, base model and the metrics as model-index; neither runs nor text."""
    said = cli(
        *("push", task, "ann/reviews", "--license", "mit", "--language", "en"),
        *("--base-model", "ann/my-bert", "--dataset", "sst2", "--private"),
    )
    assert (said.code, said.out) == (0, "https://hub.test/ann/reviews\n"), said.err
    sent = tmp_path / "ann" / "reviews"
    data: Any = ModelCard.load(sent / "README.md").data
    assert (data.license, data.language, data.base_model) == ("mit", ["en"], "ann/my-bert")
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-classification")
    assert data.datasets == ["sst2"] and "foretext" in data.tags
    values = {one.metric_type: one.metric_value for one in data.eval_results}
    assert 0 <= values["accuracy"] <= 1
    assert "# task" in (sent / "README.md").read_text(encoding="utf-8")
    assert hub.private
    assert foretext.load_task(sent).task.use == "classification"
    assert not [path for path in sent.iterdir() if path.is_dir() or "metrics" in path.name]


def test_a_pretrained_models_card_has_its_held_out_numbers(cli: Cli, bert: Path) -> None:
    """--dry-run prints the card and sends nothing."""
    said = cli("push", bert, "ann/my-bert", "--license", "mit", "--language", "en", "--dry-run")
    data: Any = ModelCard(said.out).data
    assert data.base_model is None and data.pipeline_tag == "fill-mask"
    assert {"loss", "mlm_accuracy"} <= {one.metric_type for one in data.eval_results}
    assert "Nothing was sent" in said.err


def test_what_the_hub_would_refuse_is_refused_before(
    cli: Cli, hub: Hub, bert: Path, task: Path
) -> None:
    """In one line; the hub itself too, when it cannot be reached."""
    mit = ["--license", "mit"]
    faults: dict[str, tuple[object, ...]] = {
        "must be USER/NAME, such as ann/my-bert": (bert, "my-bert", *mit),
        "--language 'english' is not a code of ISO 639": (
            *(bert, "ann/b", *mit, "--language", "english"),
        ),
        "began with another model's weights; name it by --base-model": (task, "ann/t", *mit),
    }
    for says, arguments in faults.items():
        said = cli("push", *map(str, arguments))
        assert (said.code, says in said.err) == (1, True), said.err
    hub.fails = True
    said = cli("push", bert, "ann/b", *mit)
    assert said.code == 1 and "the hub did not take ann/b: name or service not known" in said.err
