"""A head start: the new layer is fitted to the trunk's features before the trunk is touched.

A new random layer sends noise through the trunk for its first hundreds of steps, and ImageNet
features that already separate most classes are lost to it. With the trunk frozen its features are
computed once per random view, and fitting the layer to them takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dsah_train.distributed import same_tensor
from dsah_train.hashing import NormalisedLinear

__all__ = ["fit_head"]


def fit_head(
    head: nn.Linear,
    features: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int = 600,
    batch_size: int = 256,
    lr: float = 3e-3,
    weight_decay: float = 5e-4,
    seed: int = 0,
) -> None:
    """Fit a head to fixed features with AdamW and a cosine schedule.

    Args:
        head: The hash layer, features (B, F) to activations (B, k); trained in place.
        features: Float32 (n, F).
        targets: Multi-hot (n, C).
        loss: ``loss(activations, targets)``, a scalar.
        steps: Number of updates.
        batch_size: Rows per update.
        lr: First learning rate.
        weight_decay: Weight decay.
        seed: Seed of the order.
    """
    # Features behind a ReLU are all positive: pictures would begin with nearly the same code, every
    # step would shift all of them at once, and losses of distances would tell classes by length
    # instead of by sign. The mean is taken off, and put into the bias in the end.
    mean = features.mean(0)
    features = features - mean
    head.train()
    if isinstance(head, NormalisedLinear):
        head.shared = False  # every process has all features, and fits the layer to them
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(features), (batch_size,), generator=rng).to(features.device)
        value = loss(head(features[rows]), targets[rows])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        schedule.step()
    if isinstance(head, NormalisedLinear):
        head.shared = True
    with torch.no_grad():
        head.bias.sub_(head.weight @ mean)
    for tensor in head.state_dict().values():  # of several processes each has fitted its own
        same_tensor(tensor)
