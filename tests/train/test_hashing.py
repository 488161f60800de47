"""Hashing networks: widths, linear hash layer, ImageNet weights by name."""

from __future__ import annotations

import pytest
import torch

from dsah_train.backbones import BACKBONES, build_trunk
from dsah_train.hashing import LightHashing, PaperHashing
from dsah_train.torchvision_import import torchvision

LIGHT = [name for name in BACKBONES if name != "vgg16"]


@pytest.mark.parametrize("backbone", LIGHT)
def test_light_widths_and_split_into_pooled_and_head(backbone: str) -> None:
    torch.manual_seed(0)
    net = LightHashing(build_trunk(backbone), 12).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = net.pooled(x)
        assert pooled.shape == (2, BACKBONES[backbone].channels[2])
        assert torch.equal(net.head(pooled), net(x))
    assert net(x).shape == (2, 12)
    assert float(net.hash.weight.detach().std()) == pytest.approx(0.01, rel=0.2)
    assert not net.hash.bias.any()


@pytest.mark.parametrize("backbone", LIGHT)
def test_strides_are_as_declared(backbone: str) -> None:
    trunk = build_trunk(backbone).eval()
    spec = trunk.spec
    with torch.no_grad():
        fine, coarse = trunk.two_strides(torch.randn(1, 3, 224, 224))
        last = trunk(torch.randn(1, 3, 224, 224))
    for features, channels, stride in zip(
        (fine, coarse, last), spec.channels, spec.strides, strict=True
    ):
        assert features.shape[1] == channels
        assert abs(features.shape[2] - 224 // stride) <= 1


@pytest.mark.parametrize("side", [224, 256, 320])
def test_paper_hashing_takes_every_side(side: int) -> None:
    torch.manual_seed(0)
    net = PaperHashing(12, fc_dim=8).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, side, side)).shape == (1, 12)


@pytest.mark.parametrize("backbone", LIGHT)
def test_torchvision_weights_load_by_name(backbone: str) -> None:
    model = torchvision.models.get_model(backbone, weights=None)
    trunk = build_trunk(backbone, model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        if hasattr(model, "features"):
            want = model.features.eval()(x)
        else:
            model.avgpool = torch.nn.Identity()
            model.fc = torch.nn.Identity()
            want = model.eval()(x).view(1, -1, 2, 2)
        assert torch.equal(trunk.eval()(x), want)


@pytest.mark.slow
def test_full_size_equals_torchvision_up_to_the_hash_layer() -> None:
    model = torchvision.models.vgg16(weights=None).eval()
    net = PaperHashing(12, model.state_dict()).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        want = model.classifier[:6](model.avgpool(model.features(x)).flatten(1))
        assert torch.allclose(net.pooled(x), want, atol=1e-5)
    both = sum(p.numel() for p in net.parameters()) * 2
    assert both == pytest.approx(268.5e6, rel=0.01)  # D10: two trunks
