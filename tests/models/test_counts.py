"""Exact parameter counts of the published sizes, on the meta device."""

from __future__ import annotations

import pytest
import torch

from foretext.models import FAMILIES, bert, gpt

# Devlin et al. 2019 and Turc et al. 2019 with the official vocabularies: model, with both heads.
BERT = {
    "bert-base": (109_482_240, 110_106_428),
    "bert-large": (335_141_888, 336_226_108),
    "bert-base-cased": (108_310_272, 108_932_934),
    "bert-large-cased": (333_579_264, 334_661_958),
    "bert-tiny": (4_385_920, 4_433_468),
    "bert-mini": (11_170_560, 11_267_900),
    "bert-small": (28_763_648, 29_058_876),
    "bert-medium": (41_373_184, 41_668_412),
}
MINIATURES = {
    2: (4_433_468, 9_688_380, 22_754_108, 39_227_708),
    4: (4_830_012, 11_267_900, 29_058_876, 53_403_452),
    6: (5_226_556, 12_847_420, 35_363_644, 67_579_196),
    8: (5_623_100, 14_426_940, 41_668_412, 81_754_940),
    10: (6_019_644, 16_006_460, 47_973_180, 95_930_684),
    12: (6_416_188, 17_585_980, 54_277_948, 110_106_428),
}
# Radford et al. 2018 and the gpt-2 repository; the paper's own labels are wrong.
GPT = {
    "gpt1": 116_534_784,
    "gpt2-small": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}
HEADS = ("mlm_head", "nsp_head", "sop_head")


def count(model: torch.nn.Module, without: tuple[str, ...] = ()) -> int:
    return sum(p.numel() for n, p in model.named_parameters() if n.split(".")[0] not in without)


@pytest.mark.parametrize("preset", BERT)
def test_bert_counts(preset: str) -> None:
    """papers/bert.md: BertModel (with pooler), and ForPreTraining."""
    with torch.device("meta"):
        model = bert.Bert(bert.PRESETS[preset])
    assert (count(model, HEADS), count(model)) == BERT[preset]


def test_the_24_miniatures_counts() -> None:
    """Turc et al. 2019, table 1: layers 2 to 12 by widths 128, 256, 512, 768."""
    for layers, row in MINIATURES.items():
        for hidden, expected in zip((128, 256, 512, 768), row, strict=True):
            with torch.device("meta"):
                model = bert.Bert(bert.PRESETS[f"bert-l{layers}-h{hidden}"])
            assert count(model) == expected


@pytest.mark.parametrize("preset", GPT)
def test_gpt_counts(preset: str) -> None:
    with torch.device("meta"):
        model = gpt.Gpt(gpt.PRESETS[preset])
    assert count(model) == GPT[preset]


@pytest.mark.parametrize(
    ("family", "preset"), [(f, p) for f, module in FAMILIES.items() for p in module.presets]
)
def test_closed_form_equals_the_module(family: str, preset: str) -> None:
    """num_parameters is what refuses absurd configs before memory is taken."""
    module = FAMILIES[family]
    with torch.device("meta"):
        model = module.model(module.presets[preset])
    assert module.hub.num_parameters(module.presets[preset]) == count(model)
