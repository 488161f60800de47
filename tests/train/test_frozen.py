"""Frozen features: heads, float ranking, prefixes of nested codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsah_infer.contract import pack_bits, unpack_bits
from dsah_infer.errors import ConfigError, UsageError
from dsah_train.checkpoint import contract_of
from dsah_train.encode import encode
from dsah_train.features import pooled_features
from dsah_train.float_features import float_map
from dsah_train.frozen import head_codes, train_head
from dsah_train.models import build_model
from dsah_train.nested import average_terms, nested_centres, truncate_codes
from tests.reference import average_precision
from tests.train import tiny
from tests.train.test_checkpoint import X


@pytest.mark.parametrize("method", ["dsah", "doh", "itq"])
def test_codes_of_a_head_are_those_of_the_whole_network(method: str) -> None:
    config = tiny.config(
        method, train_trunk=False, warm_start=0, epochs=2 if method != "itq" else 1
    )
    pictures = torch.from_numpy(tiny.pictures(2, 4, 48))
    targets = np.eye(2, dtype=np.uint8)[np.arange(8) // 4]
    torch.manual_seed(config.seed)  # the trunk that `train_head` starts from, too
    features = pooled_features(build_model(config, 2), pictures)
    model = train_head(config, features, targets)
    whole = encode(model, pictures, contract_of(config, ("a", "b"), model, {}))
    head = head_codes(config, model, features)
    assert np.allclose(head.activations, whole.activations, atol=1e-4)
    clear = np.abs(whole.activations).min() > 1e-4
    assert not clear or (head.codes == whole.codes).all()


def test_heads_need_a_frozen_trunk() -> None:
    with pytest.raises(ConfigError, match="train_trunk"):
        train_head(tiny.config("csq"), X, np.eye(2, dtype=np.uint8))


def test_float_map_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(6, 5)), rng.normal(size=(20, 5))
    hot = [rng.integers(0, 2, (n, 3)).astype(np.uint8) for n in (6, 20)]
    total = 0.0
    for q, labels in zip(query, hot[0], strict=True):
        cosine = [q @ g / (np.linalg.norm(q) * np.linalg.norm(g)) for g in gallery]
        order = sorted(range(20), key=lambda i: (-cosine[i], i))
        relevant = [bool((labels & hot[1][i]).any()) for i in order]
        total += average_precision(relevant, sum(relevant))
    got = float_map(query.astype(np.float32), hot[0], gallery.astype(np.float32), hot[1])
    assert got == pytest.approx(total / 6, abs=1e-6)


@given(st.integers(1, 70), st.data())
@settings(max_examples=30, deadline=None)
def test_truncated_codes_are_prefixes(bits: int, data: st.DataObject) -> None:
    prefix = data.draw(st.integers(1, bits))
    values = np.random.default_rng(bits).integers(0, 2, (5, bits))
    short = truncate_codes(pack_bits(values), bits, prefix)
    assert short.shape == (5, -(-prefix // 8))
    assert (unpack_bits(short, prefix) == values[:, :prefix]).all()
    with pytest.raises(UsageError, match="allowed: 1 to"):
        truncate_codes(pack_bits(values), bits, bits + 1)


def test_nested_centres_are_apart_in_every_prefix() -> None:
    centres = nested_centres(17, (12, 24, 48))
    for n, least in ((12, 4), (24, 8), (48, 18)):
        distance = (n - centres[:, :n] @ centres[:, :n].T) / 2
        assert float(distance[~torch.eye(17, dtype=torch.bool)].min()) >= least


def test_terms_are_averaged_by_name() -> None:
    terms = average_terms((2, 4), lambda n: {"loss": torch.tensor(float(n)), "x": torch.ones(())})
    assert {name: float(value) for name, value in terms.items()} == {"loss": 3.0, "x": 1.0}
