"""The backbones' sizes and places: Table 2, torchvision's networks, DVBPR's CNN-F."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import googlenet, resnet18

from contracts.features import feature_set
from training.backbones.cnn_f import CNNF
from training.backbones.inception_v1 import InceptionV1
from training.backbones.resnet18 import ResNet18
from training.cscnn import CSCNN
from training.layers.attention import NoAttention
from training.layers.placing import Attentions
from training.recipes import Recipe, production, tiny

JD = Attentions("cbam", True, categories=3310, prior_channels=20, prior_size=6, reduction=4, bias=False)
PLAIN = Attentions("none", False, 1)
TABLE_2 = {
    "res18": PLAIN,
    "cbam": replace(JD, category_prior=False),
    "cscnn": JD,
}


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_table_2s_parameters() -> None:
    """CBAM's 697,888 has 7 x 7 filters (the paper's 0.6975 M has 6 x 6: C4); CSCNN adds 2,985,744, no biases (C1)."""
    counted = [weights(ResNet18(attentions)) for attentions in TABLE_2.values()]
    assert [after - before for before, after in pairwise(counted)] == [697_888, 2_985_744]


def test_the_production_recipe_has_the_papers_sizes() -> None:
    """Sections 3.3.4 and 4.9, Table 7: 95 features of 4 numbers."""
    paper = production()
    assert (paper.prior_channels, paper.prior_size) == (JD.prior_channels, JD.prior_size) == (20, 6)
    assert sum(feature.dimension for feature in feature_set(paper.feature_set)) == 95 * 4
    assert (paper.image_size, paper.d_v, paper.impressions_per_picture) == (224, 150, 25)
    assert (paper.deep, paper.cross_layers, paper.cross_input) == ((1024, 512, 256), 3, "non_visual")


def test_table_2s_gflops() -> None:
    """Multiply-adds of one picture: the table says 1.8206, 1.8322 and 1.8329 G. Element-wise work is not counted here,
    which is most of what CBAM adds; what the prior adds is a third plane of the 7 x 7 filter."""
    counted = []
    for attentions in TABLE_2.values():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            ResNet18(attentions).eval()(torch.zeros(1, 3, 224, 224), torch.zeros(1, dtype=torch.int64))
        counted.append(counter.get_total_flops() / 2e9)
    assert counted[0] == pytest.approx(1.8206, rel=0.005)
    cbam, prior = (after - before for before, after in pairwise(counted))
    assert 0.001 < cbam < 1.8322 - 1.8206
    assert prior == pytest.approx(1.8329 - 1.8322, abs=2e-4)


def test_full_width_resnet18_is_torchvisions() -> None:
    torch.manual_seed(0)
    ours, theirs = ResNet18(PLAIN).eval(), resnet18(weights=None).eval()
    ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")})
    theirs.fc = nn.Identity()
    _equal(ours, theirs)


def test_inception_v1_is_torchvisions() -> None:
    torch.manual_seed(0)
    ours = InceptionV1(PLAIN).eval()
    theirs = googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")})
    theirs.fc = nn.Identity()
    _equal(ours, theirs)


def _equal(ours: nn.Module, theirs: nn.Module) -> None:
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        wanted = theirs(pictures)
        np.testing.assert_allclose(ours(pictures, torch.tensor([1, 2])), wanted, atol=1e-5)
    assert float(wanted.std()) > 0


def test_cnn_f_has_dvbprs_weights() -> None:
    """70,778,724 at 224 pixels with DVBPR's head of K = 100."""
    assert weights(CNNF(PLAIN)) + 4096 * 100 + 100 == 70_778_724


@pytest.mark.parametrize(("backbone", "places"), [("resnet18", 16), ("cnn_f", 4), ("inception_v1", 10)])
def test_attention_stands_where_the_readings_put_it(backbone: str, places: int) -> None:
    """C8: not on the first layer, nor on shortcuts; each place with parameters of its own (C9)."""
    chosen = tiny().model_copy(update={"backbone": backbone, "width": 64 if backbone == "inception_v1" else 8})
    net = CSCNN(chosen, 5)
    priors = net.prior_parameters()
    assert len(priors) == 2 * places and all(len(prior) == 5 for prior in priors)
    last = CSCNN(chosen.model_copy(update={"attention_layers": 1}), 5)
    assert len(last.prior_parameters()) == 2
    assert sum(isinstance(module, NoAttention) for module in last.modules()) == places - 1


@pytest.mark.parametrize("backbone", ["resnet18", "cnn_f", "inception_v1"])
@pytest.mark.parametrize("prior", [True, False])
def test_a_category_changes_the_vector_only_where_it_is_asked_for(backbone: str, prior: bool) -> None:
    torch.manual_seed(1)
    pictures, categories = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), torch.tensor([2, 3])
    pictures[1] = pictures[0]
    update = {"backbone": backbone, "width": 64 if backbone == "inception_v1" else 8, "category_prior": prior}
    net = CSCNN(Recipe.model_validate(tiny().model_copy(update={**update, "image_size": 32}).model_dump()), 5).eval()
    with torch.inference_mode():
        one, two = net(pictures, categories)
    assert (not torch.allclose(one, two, atol=1e-7)) is prior
