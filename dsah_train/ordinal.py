"""Deep Ordinal Hashing's network: two branches on one trunk, K-ary symbols (arXiv 1805.02459).

A reconstruction; the layers of both branches are published, their widths and the attention's
formula are not. AlexNet keeps the published layers (fc6 to fc8, conv6, conv7); light trunks have
one fully connected layer in place of fc6 and fc7, and narrower convolutions.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsah_train.attention import min_max
from dsah_train.backbones import build_model as build_backbone
from dsah_train.backbones import build_trunk
from dsah_train.config import Config
from dsah_train.hasher import Encoded, Hasher
from dsah_train.hashing import hash_layer

__all__ = ["Branches", "LocalBranch", "OrdinalHasher", "build_ordinal"]

#: d_g, width of the global feature.
GLOBAL_WIDTH = 512
#: Below this sum an attention map carries no preference and is read as "everywhere".
FLAT = 1e-6


class Branches(NamedTuple):
    """What training needs of a batch.

    Attributes:
        activations: h, float32 (N, R K).
        logits: Class logits (N, C) of the global and, with attention, of the local branch.
        attention: a over the cells (N, 1, h, w), each map's sum 1, or None.
    """

    activations: Tensor
    logits: tuple[Tensor, ...]
    attention: Tensor | None


class LocalBranch(nn.Module):
    """Two convolutions whose cells are averaged by class-activation attention.

    F = relu(conv7(relu(conv6(map)))), o_l = W_c GAP(F), M(q) = sum_c p_c sum_t W_c[t, c] F[t, q],
    a = relu(M) / sum relu(M), f_l = sum_q a(q) F[:, q] (methods note 2.4).

    Args:
        channels: Channels of the trunk's map.
        width: Channels of conv6 and conv7.
        classes: C.
        spatial: ``cam``, or ``conv`` for a = softmax(w2 . tanh(W1 F)).
        multi_label: p is a sigmoid per class instead of a softmax.
    """

    def __init__(
        self, channels: int, width: int, classes: int, spatial: str, multi_label: bool
    ) -> None:
        super().__init__()
        self.conv6 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv7 = nn.Conv2d(width, width, 3, padding=1)
        self.classes = nn.Linear(width, classes)
        self.multi_label = multi_label
        self.score: nn.Module | None = None
        if spatial == "conv":
            self.score = nn.Sequential(
                nn.Conv2d(width, width // 4, 1), nn.Tanh(), nn.Conv2d(width // 4, 1, 1)
            )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (N, channels, h, w) to f_l (N, width), o_l (N, C) and a (N, 1, h, w), float32."""
        cells = self.conv7(self.conv6(maps).relu()).relu().float()
        logits = self.classes(cells.mean((2, 3))).float()
        attention = self.attend(cells, logits)
        return (attention * cells).sum((2, 3)), logits, attention

    def attend(self, cells: Tensor, logits: Tensor) -> Tensor:
        """a (N, 1, h, w): non-negative, sum 1 over the cells of a picture."""
        if self.score is not None:
            scores: Tensor = self.score(cells).float()
            return scores.flatten(1).softmax(1).view_as(scores)
        p = logits.sigmoid() if self.multi_label else logits.softmax(1)
        # p is a constant here: the hash loss must not bend the classifier to move the attention.
        weights = p.detach() @ self.classes.weight
        evidence = (weights[:, :, None, None] * cells).sum(1, keepdim=True).relu()
        total = evidence.sum((2, 3), keepdim=True)
        uniform = 1 / (evidence.shape[2] * evidence.shape[3])
        return torch.where(total >= FLAT, evidence / (total + FLAT), uniform)


class OrdinalHasher(Hasher):
    """h = U_g f_g + U_l f_l + bias; symbol = argmax per segment of K values.

    Args:
        trunk: Images to maps (N, channels, h, w), read by the local branch.
        classifier: Maps to features (N, F): pooling and pretrained fully connected layers.
        hidden: New fully connected layers, (N, F) to (N, H).
        hidden_width: H.
        channels: Channels of the maps.
        local_width: Channels of the local branch.
        classes: C.
        config: Bits, arity, attention.
    """

    def __init__(
        self,
        trunk: nn.Module,
        classifier: nn.Module,
        hidden: nn.Module,
        *,
        hidden_width: int,
        channels: int,
        local_width: int,
        classes: int,
        config: Config,
    ) -> None:
        super().__init__()
        self.symbol_arity = config.arity
        self.activations = config.bits // config.bits_per_symbol * config.arity
        self.has_saliency = config.attends
        self.trunk, self.classifier, self.hidden = trunk, classifier, hidden
        self.fc8 = nn.Linear(hidden_width, GLOBAL_WIDTH)
        self.classes = nn.Linear(hidden_width, classes)
        self.hash = hash_layer(GLOBAL_WIDTH, self.activations)
        self.local: LocalBranch | None = None
        if config.attends:
            self.local = LocalBranch(
                channels, local_width, classes, config.spatial_attention, config.multi_label
            )
            self.hash_local = hash_layer(local_width, self.activations)
            self.hash_local.register_parameter("bias", None)  # one bias is enough

    def pooled(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to the features (N, F) that the global branch reads."""
        features: Tensor = self.classifier(self.trunk(images))
        return features.float()

    def global_branch(self, pooled: Tensor) -> Branches:
        """Features (N, F) to what the global branch alone says."""
        hidden = self.hidden(pooled)
        h = self.hash(self.fc8(hidden)).float()
        return Branches(h, (self.classes(hidden).float(),), None)

    def head(self, pooled: Tensor) -> Tensor:
        """Features (N, F) of `pooled` to the global branch's activations (N, R K)."""
        return self.global_branch(pooled).activations

    def branches(self, images: Tensor) -> Branches:
        """Images (N, 3, S, S) to activations, class logits and attention."""
        maps = self.trunk(images)
        whole = self.global_branch(self.classifier(maps).float())
        if self.local is None:
            return whole
        feature, logits, attention = self.local(maps)
        h = whole.activations + self.hash_local(feature).float()
        return Branches(h, (*whole.logits, logits), attention)

    def forward(self, images: Tensor) -> Encoded:
        """Encode images; saliency is the attention at the images' size, each map in [0, 1]."""
        h, _, attention = self.branches(images)
        if attention is None:
            return Encoded(h, None)
        large = F.interpolate(
            attention, size=images.shape[-2:], mode="bilinear", align_corners=False
        )
        return Encoded(h, min_max(large)[:, 0])


class _Mean(nn.Module):
    """Maps (N, C, h, w) to their means (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


def build_ordinal(
    config: Config, classes: int, state: dict[str, Tensor] | None = None
) -> OrdinalHasher:
    """DOH on a backbone: the published layers on ``alexnet``, light branches on the others."""
    trunk = build_trunk(config.backbone, state)
    if config.backbone != "alexnet":
        width = trunk.spec.channels[2]
        return OrdinalHasher(
            trunk,
            _Mean(),
            nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, GLOBAL_WIDTH), nn.ReLU()),
            hidden_width=GLOBAL_WIDTH,
            channels=width,
            local_width=256,
            classes=classes,
            config=config,
        )
    # The local branch reads conv5 before pool5: 13 x 13 cells at 224 pixels instead of 6 x 6.
    blocks = list(trunk.blocks)
    trunk.blocks = nn.Sequential(*blocks[:12])
    connected = nn.Sequential(
        nn.Dropout(),
        nn.Linear(256 * 36, config.fc_dim),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(config.fc_dim, config.fc_dim),
        nn.ReLU(inplace=True),
    )
    if state is not None and config.fc_dim == 4096:
        model = build_backbone("alexnet", state)
        connected.load_state_dict(cast(nn.Sequential, model.classifier)[:6].state_dict())
    return OrdinalHasher(
        trunk,
        nn.Sequential(blocks[12], nn.AdaptiveAvgPool2d(6), nn.Flatten(), connected),
        nn.Identity(),
        hidden_width=config.fc_dim,
        channels=256,
        local_width=1024,
        classes=classes,
        config=config,
    )
