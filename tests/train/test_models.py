"""Networks as they are built from a config: widths, attention, symbols, features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dsah_train.attention import shrunk_side
from dsah_train.config import METHODS
from dsah_train.hashing import hash_layer
from dsah_train.models import AttentiveHasher, PlainHasher, build_model
from dsah_train.ordinal import FLAT, LocalBranch, OrdinalHasher
from tests.train import tiny

X = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("attention", [True, False])
def test_every_method_builds_what_it_exports(method: str, attention: bool) -> None:
    model = build_model(tiny.config(method, attention=attention), 3).eval()
    with torch.no_grad():
        out = model(X)
    assert out.activations.shape == (2, model.activations)
    assert out.activations.dtype == torch.float32
    assert model.has_saliency == (attention and method in ("dsah", "doh"))
    if model.has_saliency:
        assert out.saliency is not None
        assert out.saliency.shape == (2, 48, 48)
        assert float(out.saliency.amin()) == 0
        assert float(out.saliency.amax()) == 1
    else:
        assert out.saliency is None
        with torch.no_grad():  # features and head are the whole network
            assert torch.allclose(model.head(model.pooled(X)), out.activations, atol=1e-6)


@pytest.mark.parametrize("arity", [2, 4, 8, 16])
def test_ordinal_width_follows_arity(arity: int) -> None:
    model = build_model(tiny.config("doh", bits=12, arity=arity), 3)
    assert isinstance(model, OrdinalHasher)
    assert model.symbol_arity == arity
    assert model.activations == 12 // (arity.bit_length() - 1) * arity


def test_mask_in_pixel_space_fades_to_black() -> None:
    model = build_model(tiny.config("dsah", mask_space="pixel"), 2)
    assert isinstance(model, AttentiveHasher)
    masked = model.saliency_image(X, torch.zeros(2, 1, 48, 48))
    assert torch.allclose(masked, model.black.expand_as(masked))
    assert torch.allclose(model.saliency_image(X, torch.ones(2, 1, 48, 48)), X, atol=1e-6)
    mean_grey = build_model(tiny.config("dsah"), 2)
    assert isinstance(mean_grey, AttentiveHasher)
    assert not mean_grey.saliency_image(X, torch.zeros(2, 1, 48, 48)).any()


def test_attention_at_half_the_side_sees_means_of_four_pixels() -> None:
    whole = build_model(tiny.config("dsah"), 2).eval()
    half = build_model(tiny.config("dsah", attention_scale=0.5), 2).eval()
    assert isinstance(whole, AttentiveHasher)
    assert isinstance(half, AttentiveHasher)
    half.load_state_dict(whole.state_dict())  # a scale has no weights of its own
    with torch.no_grad():
        small = F.avg_pool2d(X, 2)
        want = F.interpolate(whole.raw_attention(small), size=(48, 48), mode="bilinear")
        got = half.raw_attention(X)
        assert torch.allclose(got, want, atol=1e-6)
        assert not torch.allclose(got, whole.raw_attention(X), atol=1e-2)
        assert half(X).saliency.shape == (2, 48, 48)


def test_paper_attention_sees_a_multiple_of_its_cells() -> None:
    assert [shrunk_side(s, 0.5, 32) for s in (224, 256, 64)] == [128, 128, 32]
    assert [shrunk_side(s, 0.5, 1) for s in (224, 225)] == [112, 113]
    settings = tiny.config("dsah", backbone="vgg16", fc_dim=8, attention_scale=0.5)
    model = build_model(settings, 2).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 224, 224)).saliency.shape == (1, 224, 224)


def test_squashing_keeps_activations_inside_one() -> None:
    model = build_model(tiny.config("dsah", code_activation="tanh"), 2).eval()
    assert isinstance(model, AttentiveHasher)
    with torch.no_grad():
        model.hashing.hash.bias.fill_(5)
        assert float(model(X).activations.abs().max()) < 1


def branch(spatial: str = "cam", *, multi_label: bool = False) -> LocalBranch:
    torch.manual_seed(0)
    return LocalBranch(5, 6, 3, spatial, multi_label)


@pytest.mark.parametrize("spatial", ["cam", "conv"])
def test_attention_is_a_distribution_over_cells(spatial: str) -> None:
    feature, logits, attention = branch(spatial)(torch.randn(2, 5, 4, 3))
    assert feature.shape == (2, 6)
    assert logits.shape == (2, 3)
    assert attention.shape == (2, 1, 4, 3)
    assert float(attention.detach().amin()) >= 0
    assert attention.sum((1, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.parametrize("multi_label", [False, True])
def test_class_activation_attention_equals_its_formula(multi_label: bool) -> None:
    net = branch(multi_label=multi_label)
    maps = torch.randn(2, 5, 4, 3)
    feature, logits, attention = net(maps)
    cells = F.relu(net.conv7(F.relu(net.conv6(maps))))
    p = logits.sigmoid() if multi_label else logits.softmax(1)
    for i in range(2):
        evidence = torch.zeros(4, 3)
        for y in range(4):
            for x in range(3):
                score = sum(
                    p[i, c] * net.classes.weight[c, t] * cells[i, t, y, x]
                    for c in range(3)
                    for t in range(6)
                )
                evidence[y, x] = max(float(score.detach()), 0.0)
        want = evidence / (evidence.sum() + FLAT)
        assert torch.allclose(attention[i, 0], want, atol=1e-5)
        pooled = (want * cells[i]).sum((1, 2))
        assert torch.allclose(feature[i], pooled, atol=1e-5)


def test_no_evidence_means_everywhere_with_finite_gradients() -> None:
    net = branch()
    torch.nn.init.constant_(net.classes.weight, -1.0)  # no cell speaks for any class
    feature, _, attention = net(torch.randn(1, 5, 4, 3))
    assert torch.allclose(attention, torch.full((1, 1, 4, 3), 1 / 12))
    feature.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_hash_loss_does_not_bend_the_classifier_through_p() -> None:
    net = branch()
    cells = torch.rand(1, 6, 4, 3)
    logits = torch.zeros(1, 3, requires_grad=True)
    net.attend(cells, logits).square().sum().backward()
    assert logits.grad is None


def test_published_doh_layers_on_alexnet() -> None:
    model = build_model(
        tiny.config("doh", backbone="alexnet", fc_dim=16, image_size=224, train_size=224), 3
    ).eval()
    assert isinstance(model, OrdinalHasher)
    with torch.no_grad():
        maps = model.trunk(torch.randn(1, 3, 224, 224))
        assert maps.shape == (1, 256, 13, 13)  # conv5 before pool5
        assert model.classifier(maps).shape == (1, 16)
        assert model.local is not None
        assert model.local(maps)[2].shape == (1, 1, 13, 13)
    assert model.local.conv7.out_channels == 1024


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dsah", "dpsh"])
def test_full_size_paper_networks(method: str) -> None:
    settings = tiny.config(method, backbone="vgg16", image_size=224, train_size=224)
    model = build_model(settings, 2).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 224, 224)).activations.shape == (1, 8)
    assert isinstance(model, AttentiveHasher if method == "dsah" else PlainHasher)


def test_hash_layer_is_linear_and_small() -> None:
    layer = hash_layer(400, 50)
    assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not layer.bias.any()


def test_the_normalised_hash_layer_is_one_linear_layer_once_it_is_trained() -> None:
    layer = hash_layer(12, 5, normalised=True)
    twin = torch.nn.Sequential(torch.nn.Linear(12, 5), torch.nn.BatchNorm1d(5))
    twin[0].load_state_dict({k: v for k, v in layer.state_dict().items() if "." not in k})
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        features = torch.rand(16, 12, generator=rng) * 3
        trained = layer(features)
        assert torch.equal(trained, twin(features))
        assert trained.mean(0).abs().max() < 1e-5  # as many of one sign as of the other
    layer.eval(), twin.eval()
    torch.testing.assert_close(layer(features), twin(features))
    layer.train()
    running = layer.norm.running_mean.clone()
    assert torch.equal(layer(features[:1]), layer.eval()(features[:1]))
    assert torch.equal(layer.norm.running_mean, running)
