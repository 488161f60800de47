"""Values of the presets, by method; what is not named here is the default of `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["preset_values"]

#: Training crops of 224 pixels at any place in a picture of 256 (D20), never stretched.
_PAPER_CROP: dict[str, Any] = {
    "crop": 0.875,
    "min_area": 0.875**2,
    "max_area": 0.875**2,
    "aspect": 0.0,
}
#: As published, with the decisions D1-D20 of the methods note where the paper is silent. DAgH's
#: second stream is trained alike; the note proposes Adam for it, which no paper states.
_PAPER_DSAH: dict[str, Any] = {
    "backbone": "vgg16",
    "train_size": 224,
    **_PAPER_CROP,
    "colour_jitter": 0.0,
    "pair_power": 1,
    "centres": 0.0,
    "attention_start": "random",
    "warm_start": 0,
    "alternate": "epoch",
    "epochs": 60,
    "batch_size": 32,
    "sampler": "random",
    "optimizer": "sgd",
    "trunk_lr": 0.1,
    "schedule": "step",
    "clip": 10.0,
}
#: DOH and the rivals' papers train AlexNet or CNN-F end to end by SGD; one recipe for all of them,
#: DOH's (methods note 2.4). Not measured here: it needs AlexNet's ImageNet weights.
_PAPER_RIVAL: dict[str, Any] = {
    "backbone": "alexnet",
    "batch_size": 64,
    "train_size": 224,
    **_PAPER_CROP,
    "colour_jitter": 0.0,
    "warm_start": 0,
    "epochs": 60,
    "sampler": "random",
    "optimizer": "sgd",
    "trunk_lr": 0.1,
    "schedule": "step",
}
#: Weights that a method's own equations give; they hold under every preset.
_OWN: dict[str, dict[str, Any]] = {
    "doh": {"arity": 4},
    "dagh": {"alpha": 1.0},
    "dsh": {"quantization": 0.01},
    "dpsh": {"quantization": 0.1},
    "dhn": {"quantization": 0.1},
    "csq": {"quantization": 1e-4},
    # The published temperature; that of DSaH's own centre term is another one.
    "orthohash": {"margin": 0.2, "centre_scale": 8.0, "code_norm": True},
    # One pass over the features is all there is: no epochs to choose.
    "itq": {"epochs": 1, "select": False},
    "lsh": {"epochs": 1, "select": False},
}

#: Under ``best``: batch normalisation balances DSaH's bits, too. What speaks for it, and on which
#: pictures that was measured: docs/results.md.
_BEST: dict[str, dict[str, Any]] = {
    "dsah": {"code_norm": True, "lr": 3e-3},
    "orthohash": {"lr": 3e-3},
}

#: The simultaneous variant has weights of its own in the paper (Eq. 18).
_PAPER_JOINT: dict[str, Any] = {"lambda_": 60.0, "alpha": 0.01}

#: Under ``best``: the rate itself of trunks without normalisation layers and with wide fully
#: connected ones, which lose their ImageNet weights to what suits the light trunks. Usual values,
#: not measured here.
_TRUNK_RATE = {"alexnet": 1e-4, "vgg16": 3e-5}
#: What new layers learn at where no preset says otherwise; the default of `Config`.
_USUAL_RATE = 1e-3


def preset_values(
    preset: str, method: str, backbone: str, given: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The settings in which a preset of a method departs from the defaults.

    Args:
        preset: ``best`` or ``paper``.
        method: Name of a method.
        backbone: Name of a backbone.
        given: Settings that were asked for, since some values follow others.
    """
    own = _OWN.get(method, {})
    if preset != "paper":
        best = own | _BEST.get(method, {})
        if given.get("code_norm") is False:  # what plain hash layers were measured with
            best.pop("lr", None)
        if backbone in _TRUNK_RATE:
            rate = given.get("lr")
            if not (isinstance(rate, int | float) and rate > 0):  # 0, or refused elsewhere
                rate = best.get("lr", _USUAL_RATE)
            best["trunk_lr"] = min(round(_TRUNK_RATE[backbone] / rate, 4), 10.0)
        return best
    if method not in ("dsah", "dagh"):
        return _PAPER_RIVAL | own
    joint = _PAPER_JOINT if method == "dsah" and given.get("alternate") == "joint" else {}
    return _PAPER_DSAH | joint | own
