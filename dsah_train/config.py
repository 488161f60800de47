"""All settings of a training run: one frozen record and its JSON form."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from dsah_infer.contract import MAX_BITS
from dsah_infer.errors import ConfigError
from dsah_train.config_checks import check_together, checked_value, nested_lengths
from dsah_train.presets import preset_values

__all__ = ["LARGEST_SEED", "METHODS", "Config", "setting"]

#: Methods by the network that they train: attention and hashing, two branches, one plain stream.
METHODS = (
    "dsah",
    "doh",
    "dagh",
    "dpsh",
    "dsh",
    "dhn",
    "hashnet",
    "csq",
    "orthohash",
    "itq",
    "lsh",
)


#: All but those that project frozen features once.
LEARNT = "dsah doh dagh dpsh dsh dhn hashnet csq orthohash"

#: `backbones.BACKBONES` says where each is cut; named here so that settings need no torch.
BACKBONE_NAMES = ("squeezenet1_1", "resnet18", "mobilenet_v3_small", "alexnet", "vgg16")


#: Generators take more, but not what is computed from one for each epoch.
LARGEST_SEED = 2**31 - 1


def setting(
    default: Any,
    text: str,
    *choices: Any,
    within: tuple[float, float] | None = None,
    of: str = "",
    masks: bool = False,
) -> Any:
    """A config field.

    Args:
        default: Value under preset best, where the method has none of its own.
        text: What it does, and the reason where it departs from the paper.
        choices: Values that are allowed; none given: all of the default's type.
        within: Least and largest value.
        of: Names of the methods that read it, where not all do.
        masks: Read where a picture is masked by its saliency alone.
    """
    readers = tuple(of.split()) or METHODS
    text = text if of in ("", LEARNT) else f"{', '.join(readers)}: {text}"
    metadata = {"help": text, "choices": choices, "within": within, "of": readers, "masks": masks}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Settings of one run.

    `with_preset` gives the values of ``--preset best``, which are these defaults but for what a
    method has of its own, or those of the paper.

    Raises:
        ConfigError: A value is of the wrong type or outside what is allowed.
    """

    method: str = setting("dsah", "method to train", *METHODS)
    preset: str = setting(
        "best",
        "best: for light networks, each departure measured; paper: as published",
        "best",
        "paper",
    )
    bits: int = setting(48, "bits of information per code", within=(1, MAX_BITS))
    arity: int = setting(
        2,
        "values K of one symbol, 4 unless told; a student takes over its teacher's",
        2,
        4,
        8,
        16,
        of="doh",
    )

    # networks
    backbone: str = setting(
        "squeezenet1_1", "torchvision backbone (vgg16: the paper's networks)", *BACKBONE_NAMES
    )
    fc_dim: int = setting(
        4096, "width of VGG-16's fc6 and fc7; 4096 is the paper's", within=(8, 4096)
    )
    attention: bool = setting(
        True,
        "mask the picture by saliency before hashing; the local branch of doh",
        of="dsah dagh doh",
    )
    spatial_attention: str = setting(
        "cam", "class activation maps, or a small convolution", "cam", "conv", of="doh"
    )
    multi_label: bool = setting(False, "doh: several labels per picture; fit reads it off the data")
    train_trunk: bool = setting(
        True, "no: heads on frozen features, computed once; without attention and augmentation"
    )
    nested: str = setting(
        "", "code lengths whose prefixes are trained too, such as 12,24,48; the last is bits"
    )
    teacher: str = setting(
        "",
        "a checkpoint of any method, whose codes are learnt instead of those of an own first "
        "stream",
        of="dagh",
    )
    attention_start: str = setting(
        "energy",
        "first attention map of the light networks: mean feature response, or random",
        "energy",
        "random",
        of="dsah dagh",
        masks=True,
    )
    attention_scale: float = setting(
        1.0,
        "side at which attention sees the picture; 0.5 costs it a quarter of the work",
        1.0,
        0.5,
        of="dsah dagh",
    )
    mask_space: str = setting(
        "normalized",
        "what the mask multiplies",
        "normalized",
        "pixel",
        of="dsah dagh",
        masks=True,
    )
    code_activation: str = setting(
        "none", "squashing of the hash layer", "none", "tanh", of="dsah", masks=True
    )
    code_norm: bool = setting(
        False,
        "batch normalisation in the hash layer, folded into it at export; on for dsah (preset "
        "best) and orthohash, whose rate is 1e-3 without it",
        of="dsah dsh dpsh dhn hashnet csq orthohash",
    )
    detach_range: bool = setting(
        False, "no gradient through the map's extremes", of="dsah dagh", masks=True
    )
    dropout: float = setting(
        0.0, "light networks: dropout before the hash layer", within=(0, 0.9), of=LEARNT
    )

    # pictures
    image_size: int = setting(
        224, "side of the picture that the exported model sees, pixels", within=(32, 1024)
    )
    train_size: int = setting(
        224, "side of the random views in training, pixels", within=(32, 1024), of=LEARNT
    )
    crop: float = setting(1.0, "centre square as a fraction of the shorter side", within=(0.1, 1))
    min_area: float = setting(
        0.35, "smallest random crop as a share of the picture", within=(0.05, 1), of=LEARNT
    )
    max_area: float = setting(
        1.0, "largest random crop as a share of the picture", within=(0.05, 1), of=LEARNT
    )
    aspect: float = setting(
        0.2,
        "log of the largest factor on a random crop's width and 1 / height; 0: squares only",
        within=(0, 1),
        of=LEARNT,
    )
    colour_jitter: float = setting(
        0.3, "strength of brightness, contrast and saturation changes", within=(0, 0.9), of=LEARNT
    )

    # losses
    lambda_: float = setting(
        30.0, "weight of the semantic terms, lambda of Eq. 13-14", of="dsah", within=(0, 1e9)
    )
    alpha: float = setting(
        40.0,
        "weight of the saliency term, alpha of Eq. 14; 1 for dagh",
        of="dsah dagh",
        masks=True,
        within=(0, 1e9),
    )
    margin: float = setting(
        0.25,
        "margin m of Eq. 10 on distances in [0, 1]; orthohash: on the cosine, 0.2",
        within=(0, 10),
        of="dsah dagh orthohash",
        masks=True,
    )
    margin_scale: str = setting(
        "normalized", "literal: m = k/4", "normalized", "literal", of="dsah dagh", masks=True
    )
    pair_power: int = setting(
        2,
        "power of the semantic pair distance: 2 decorrelates bits, 1 is literal",
        1,
        2,
        of="dsah",
    )
    quantization: float = setting(
        1.0,
        "weight of the quantization term J_reg, Eq. 11-12",
        of="dsah dsh dpsh dhn csq",
        within=(0, 1e9),
    )
    hashing_terms: str = setting(
        "both", "semantic terms of Eq. 13", "both", "original", "saliency", of="dsah", masks=True
    )
    hashing_saliency: bool = setting(
        False,
        "J_sal in the hashing step too, as in the first row of Table 4",
        of="dsah",
        masks=True,
    )
    attention_terms: str = setting(
        "both", "terms of Eq. 14", "both", "semantic", "saliency", of="dsah", masks=True
    )
    centres: float = setting(
        300.0,
        "weight of the class-centre term; without it few steps do not part many classes",
        of="dsah",
        within=(0, 1e9),
    )
    centre_scale: float = setting(
        4.0,
        "inverse temperature of the class-centre softmax; 8 for orthohash",
        of="dsah orthohash",
        within=(1e-3, 1e6),
    )

    sim_loss: str = setting(
        "difference", "pair loss, or that of its ancestor LSRH", "difference", "lsrh", of="doh"
    )
    asym: bool = setting(
        False, "compare soft symbols with the winners of the other picture", of="doh"
    )
    beta: float = setting(
        1.0, "slope of the softmax over the values of a symbol", of="doh", within=(1e-3, 1e6)
    )
    eta: float = setting(1.0, "weight of the class layers' loss", of="doh", within=(0, 1e9))

    # optimisation
    alternate: str = setting(
        "joint",
        "when attention and hashing take turns; joint (Eq. 18) takes the fewest passes",
        "epoch",
        "batch",
        "joint",
        of="dsah dagh",
        masks=True,
    )
    warm_start: int = setting(
        3,
        "random views on whose frozen features the hash layer is fitted first; 0: none",
        within=(0, 100),
        of="dsah dagh dpsh dsh dhn hashnet csq orthohash",
    )
    warmup_epochs: int = setting(
        0,
        "first epochs that train hashing alone, on the masks of an attention that is "
        "still as it started",
        within=(0, 10_000),
        of="dsah dagh",
        masks=True,
    )
    epochs: int = setting(
        8, "most epochs; the validation part chooses how many are used", within=(1, 10_000)
    )
    batch_size: int = setting(32, "pictures per batch", within=(2, 4096), of=LEARNT)
    sampler: str = setting(
        "balanced",
        "random, or each class spread evenly over the epoch: equal counts where classes are equal",
        "random",
        "balanced",
        of=LEARNT,
    )
    optimizer: str = setting("adamw", "optimiser", "sgd", "adamw", of=LEARNT)
    lr: float = setting(
        1e-3,
        "learning rate of new layers; 1e-3 but for dsah and orthohash (preset best)",
        within=(0, 10),
        of=LEARNT,
    )
    trunk_lr: float = setting(
        0.3, "the trunks' rate as a fraction of lr", within=(0, 10), of=LEARNT
    )
    weight_decay: float = setting(5e-4, "weight decay", of=LEARNT, within=(0, 10))
    schedule: str = setting(
        "cosine", "step: x0.1 at 60 % and 85 % of the epochs", "cosine", "step", of=LEARNT
    )
    clip: float = setting(300.0, "largest gradient norm", of=LEARNT, within=(1e-3, 1e9))
    precision: str = setting(
        "auto", "auto: bf16 where the processor computes in it", "auto", "fp32", "bf16"
    )
    compile: bool = setting(
        False,
        "torch.compile the networks: minutes at the start; for GPUs (CPUs were slower with it)",
    )
    seed: int = setting(0, "seed of weights, order and augmentation", within=(0, LARGEST_SEED))

    # protocol
    split_seed: int = setting(0, "seed of the split that is drawn", within=(0, LARGEST_SEED))
    protocol: str = setting("", "protocol of the data set, see below; empty: its default")
    select: bool = setting(
        True,
        "choose epochs on a part of train (of each quarter of them, of every one with patience), "
        "then refit on all of it",
    )
    val_per_class: int = setting(10, "pictures per class in the validation part", within=(1, 1000))
    patience: int = setting(
        0,
        "stop choosing epochs after so many without a better validation MAP, looked at after "
        "each of them; 0: never",
        within=(0, 1000),
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = checked_value(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        check_together(self)

    @property
    def attends(self) -> bool:
        """Whether the network that is trained has attention; frozen features leave none."""
        return self.attention and self.train_trunk and self.method in ("dsah", "dagh", "doh")

    @property
    def symbol_arity(self) -> int:
        """Values of one symbol of the codes: K where they are ordinal, 2 for sign codes."""
        return self.arity if self.method == "doh" or self.teacher else 2

    @property
    def bits_per_symbol(self) -> int:
        """Bits of information that one symbol carries, log2 of `symbol_arity`."""
        return self.symbol_arity.bit_length() - 1

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths that the losses see, ascending; ``bits`` alone unless codes are nested.

        Raises:
            ConfigError: ``nested`` is no ascending list of lengths that ends with ``bits``.
        """
        return nested_lengths(self)

    @classmethod
    def with_preset(cls, **changes: Any) -> Config:
        """The preset's values with the given changes on top."""
        preset, method, backbone = (
            changes.get(name, getattr(cls, name)) for name in ("preset", "method", "backbone")
        )
        values = preset_values(preset, method, backbone, changes)
        return cls.from_dict(values | changes)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build from a mapping; unknown names are errors."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown settings {unknown}; known: {', '.join(sorted(known))}")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ConfigError(f"settings must be a JSON object, got {type(values).__name__}")
        return cls.from_dict(values)

    def to_json(self) -> str:
        """JSON with one setting per line."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def replace(self, **changes: Any) -> Config:
        """A copy with some settings changed."""
        return dataclasses.replace(self, **changes)
