"""Convolutional trunks from torchvision, cut at the strides that the networks here read."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from dsah_infer.errors import CheckpointError, ConfigError
from dsah_train.torchvision_import import torchvision

__all__ = [
    "BACKBONES",
    "Trunk",
    "build_trunk",
    "find_weights",
    "load_vgg16_layers",
    "load_weights",
    "vgg16_features",
]


@dataclass(frozen=True)
class Spec:
    """Where a torchvision model is cut.

    Attributes:
        fine: Number of leading blocks whose output has the finer attention stride.
        coarse: The same for the coarser one.
        channels: Channels after (fine, coarse, all) blocks.
        strides: Pixels per cell after (fine, coarse, all) blocks.
    """

    fine: int
    coarse: int
    channels: tuple[int, int, int]
    strides: tuple[int, int, int]


#: For the light backbones strides 8 and 16 are read instead of FCN-16s's 16 and 32: at 128 to 224
#: pixels a 32-pixel cell is as large as the detail that attention should find.
BACKBONES: dict[str, Spec] = {
    "squeezenet1_1": Spec(8, 13, (256, 512, 512), (8, 16, 16)),
    "resnet18": Spec(6, 7, (128, 256, 512), (8, 16, 32)),
    "mobilenet_v3_small": Spec(4, 9, (24, 48, 576), (8, 16, 32)),
    "alexnet": Spec(5, 12, (192, 256, 256), (8, 16, 32)),
    "vgg16": Spec(24, 31, (512, 512, 512), (16, 32, 32)),
}


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The model's convolutional part as a list of blocks, in order."""
    if hasattr(model, "features"):
        return list(cast(nn.Sequential, model.features).children())
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return [getattr(model, name) for name in names]


class Trunk(nn.Module):
    """A torchvision model's convolutional part.

    Attributes:
        blocks: The layers; parameters keep torchvision's initial values until weights are loaded.
        spec: Where the attention strides are.
    """

    def __init__(self, blocks: Iterable[nn.Module], spec: Spec) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.spec = spec

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to the last feature map (N, C, h, w)."""
        features: Tensor = self.blocks(images)
        return features

    def two_strides(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) to the feature maps at the finer and the coarser stride.

        Blocks behind the coarser stride are not run.
        """
        fine = self.blocks[: self.spec.fine](images)
        return fine, self.blocks[self.spec.fine : self.spec.coarse](fine)


def find_weights(backbone: str, weights: str) -> Path | str | None:
    """Decide where a backbone's ImageNet weights come from.

    Args:
        backbone: A name in `BACKBONES`.
        weights: A file, ``imagenet`` (torchvision's download), ``none``, or ``auto``: the file
            ``weights/<backbone>.pth`` in the folder that DSAH_DATA names, else the download.

    Returns:
        A file, the word ``imagenet``, or None for random weights.
    """
    if weights == "none":
        return None
    if weights not in ("auto", "imagenet"):
        path = Path(weights)
        if not path.is_file():
            raise ConfigError(
                f"--weights {weights}: no such file; give a state dict of torchvision's "
                f"{backbone}, or imagenet, none or auto"
            )
        return path
    root = os.environ.get("DSAH_DATA")
    if weights == "auto" and root:
        path = Path(root) / "weights" / f"{backbone}.pth"
        if path.is_file():
            return path
    return "imagenet"


def load_weights(backbone: str, weights: str) -> dict[str, Tensor] | None:
    """State dict of the whole torchvision model as float32, or None for random weights.

    ``auto`` warns and returns None when the download fails; an explicit choice raises.

    Raises:
        CheckpointError: The file is no state dict, or the download failed.
    """
    source = find_weights(backbone, weights)
    if source is None:
        return None
    try:
        if isinstance(source, Path):
            state = torch.load(source, map_location="cpu", weights_only=True)
        else:
            enum = torchvision.models.get_model_weights(backbone)
            state = enum.DEFAULT.get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        # torch's own words for what it does not unpickle advise to run what is in the file.
        unsafe = isinstance(error, pickle.UnpicklingError)
        reason = "no state dict, or it holds objects that could run code" if unsafe else error
        if weights == "auto":
            warnings.warn(
                f"no ImageNet weights for {backbone} ({type(error).__name__}: {reason}); training "
                f"starts from random weights. Put {backbone}.pth into $DSAH_DATA/weights, or give "
                "--weights FILE",
                stacklevel=2,
            )
            return None
        raise CheckpointError(f"weights for {backbone} from {source}: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{source} is not a state dict of torchvision's {backbone}")
    return {name: value.float() for name, value in state.items()}


def build_model(backbone: str, state: dict[str, Tensor] | None) -> nn.Module:
    """The whole torchvision model, with the given weights if any.

    Raises:
        ConfigError: Unknown backbone.
        CheckpointError: The state dict is of another architecture.
    """
    if backbone not in BACKBONES:
        raise ConfigError(f"backbone {backbone!r}, allowed: {', '.join(BACKBONES)}")
    model: nn.Module = torchvision.models.get_model(backbone, weights=None)
    if state is not None:
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[:3]
            raise CheckpointError(f"the weights do not fit {backbone}: {' '.join(first)}") from None
    return model


def build_trunk(backbone: str, state: dict[str, Tensor] | None = None) -> Trunk:
    """The convolutional part of a backbone as a `Trunk`, with ImageNet weights if given."""
    model = build_model(backbone, state)
    return Trunk(_blocks(model), BACKBONES[backbone])


def vgg16_features(state: dict[str, Tensor] | None = None) -> nn.Sequential:
    """The convolutional part of torchvision's vgg16; the 124M weights behind it are not built."""
    with torch.device("meta"):
        model = torchvision.models.vgg16(weights=None, init_weights=False)
    features = cast(nn.Sequential, model.features.to_empty(device="cpu"))
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # torchvision's own start
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(cast(Tensor, layer.bias))
    load_vgg16_layers(features, "features", state)
    return features


def load_vgg16_layers(layers: nn.Sequential, name: str, state: dict[str, Tensor] | None) -> None:
    """Copy vgg16's layers ``name.*`` into layers of the same numbers; nothing without a state.

    Weights of fully connected layers are reshaped where the layer is a convolution.

    Raises:
        CheckpointError: The state dict is of another architecture.
    """
    if state is None:
        return
    own = layers.state_dict()
    try:
        layers.load_state_dict({key: state[f"{name}.{key}"].view_as(own[key]) for key in own})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"the weights do not fit vgg16: {error}") from None
