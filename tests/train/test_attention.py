"""Saliency maps: normalisation, sizes of the FCN-16s without crops, ImageNet weights by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dsah_infer.errors import CheckpointError
from dsah_train.attention import LightAttention, PaperAttention, bilinear_kernel, min_max
from dsah_train.backbones import build_trunk
from dsah_train.torchvision_import import torchvision


@given(st.integers(0, 2**31 - 1), st.floats(1e-3, 1e4), st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_each_map_spans_zero_to_one(seed: int, scale: float, shift: float) -> None:
    maps = torch.randn(3, 1, 4, 5, generator=torch.Generator().manual_seed(seed)) * scale + shift
    scaled = min_max(maps)
    assert scaled.amin((1, 2, 3)).tolist() == [0.0] * 3
    assert scaled.amax((1, 2, 3)).tolist() == pytest.approx([1.0] * 3)
    for one, whole in zip(maps, scaled, strict=True):  # per image, never over the batch
        assert torch.equal(min_max(one[None])[0], whole)


def test_constant_map_passes_the_picture_through_with_finite_gradients() -> None:
    maps = torch.stack([torch.full((1, 4, 4), 3.0), torch.arange(16.0).view(1, 4, 4)])
    maps.requires_grad_()
    pictures = torch.randn(2, 3, 4, 4)
    masked = min_max(maps) * pictures
    assert torch.equal(masked[0], pictures[0])
    masked.square().sum().backward()
    assert maps.grad is not None
    assert bool(torch.isfinite(maps.grad).all())
    assert not maps.grad[0].any()  # a flat map has no preference to learn from
    assert maps.grad[1].any()


def test_gradient_of_the_range() -> None:
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 1, 3, 3, dtype=torch.float64, generator=rng).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: min_max(m).square(), (maps,))
    # With the range held constant the gradient of the sum is 1 / span everywhere.
    min_max(maps, detach_range=True).sum().backward()
    span = (maps.amax((1, 2, 3)) - maps.amin((1, 2, 3))).detach()
    assert maps.grad is not None
    assert torch.allclose(maps.grad, (1 / span).view(2, 1, 1, 1).expand_as(maps))


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (32, 16)])
def test_transposed_convolution_interpolates(size: int, stride: int) -> None:
    rng = torch.Generator().manual_seed(0)
    cells = torch.randn(1, 1, 5, 5, generator=rng)
    up = F.conv_transpose2d(cells, bilinear_kernel(size), stride=stride, padding=stride // 2)
    want = F.interpolate(cells, scale_factor=stride, mode="bilinear", align_corners=False)
    edge = stride  # the border cells of a transposed convolution see zeros outside
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    assert up.shape == want.shape
    assert torch.allclose(up[inner], want[inner], atol=1e-5)


@pytest.fixture(scope="module")
def paper_attention() -> PaperAttention:
    torch.manual_seed(0)
    return PaperAttention(fc_dim=8).eval()


@pytest.mark.parametrize("side", [224, 256, 320])
def test_paper_map_has_the_size_of_the_picture(paper_attention: PaperAttention, side: int) -> None:
    with torch.no_grad():
        maps = paper_attention(torch.randn(1, 3, side, side))
    assert maps.shape == (1, 1, side, side)
    assert float(maps.amax() - maps.amin()) > 0  # D8: not constant at the start


def test_maps_are_float32_in_mixed_precision(paper_attention: PaperAttention) -> None:
    light = LightAttention(build_trunk("squeezenet1_1")).eval()
    for net in (paper_attention, light):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            maps = net(torch.randn(1, 3, 64, 64))
        assert maps.dtype == min_max(maps).dtype == torch.float32


def test_paper_gradients_reach_every_learnt_layer() -> None:
    torch.manual_seed(0)
    net = PaperAttention(fc_dim=8).train()
    min_max(net(torch.randn(1, 3, 64, 64))).square().sum().backward()
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without == {"up16.weight"}  # fixed (D10)
    for name, p in net.named_parameters():
        # Min-max normalisation is blind to a shift, hence to the biases of the score layers.
        if p.grad is not None and not name.startswith("score") and not name.endswith("bias"):
            assert bool(p.grad.any()), name


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "mobilenet_v3_small"])
@pytest.mark.parametrize("side", [64, 100])
def test_light_map_has_the_size_of_the_picture(backbone: str, side: int) -> None:
    torch.manual_seed(0)
    net = LightAttention(build_trunk(backbone)).eval()
    with torch.no_grad():
        maps = net(torch.randn(2, 3, side, side))
    assert maps.shape == (2, 1, side, side)
    assert maps.dtype == torch.float32
    assert float((maps.amax((1, 2, 3)) - maps.amin((1, 2, 3))).min()) > 0


def test_vgg16_weights_load_by_torchvision_names() -> None:
    with torch.device("meta"):
        names = torchvision.models.vgg16(weights=None, init_weights=False).state_dict()
    convolutions = {n: v for n, v in names.items() if n.startswith("features")}
    state = {n: torch.full(v.shape, i / 100) for i, (n, v) in enumerate(convolutions.items())}
    net = PaperAttention(state, fc_dim=8)
    for name, value in state.items():
        assert torch.equal(net.state_dict()[name], value), name
    with pytest.raises(CheckpointError, match="do not fit vgg16"):
        PaperAttention({"features.0.weight": torch.zeros(1)}, fc_dim=8)


@pytest.mark.slow
def test_full_size_fully_connected_layers_become_convolutions() -> None:
    model = torchvision.models.vgg16(weights=None).eval()
    net = PaperAttention(model.state_dict()).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        maps = net.features(x)
        want = model.classifier[0](maps.flatten(1))
        got = net.classifier[0](maps)
    # fc6 sees the whole 7 x 7 map: the centre cell of the padded convolution is the same sum.
    assert torch.allclose(got[0, :, 3, 3], want[0], atol=1e-3)
