"""Which values settings may take, alone and together; errors say what was given and allowed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dsah_infer.errors import ConfigError

if TYPE_CHECKING:
    from dsah_train.config import Config

__all__ = ["check_together", "checked_value", "nested_lengths", "unread_settings"]

#: Pixels below which a trunk has pooled its map away, where that is more than 16.
_LEAST_SIDE = {"alexnet": 63, "squeezenet1_1": 17}


def checked_value(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value of one setting; whole numbers become floats, or text, where that is asked for.

    Raises:
        ConfigError: Another type, not one of the choices, or out of range.
    """
    kind = {"int": int, "float": float, "bool": bool, "str": str}[str(field.type)]
    if kind is float and type(value) is int:
        value = float(value)
    if kind is str and type(value) is int:  # as files and --set read nested = 48
        value = str(value)
    if kind is float and type(value) is float and not math.isfinite(value):
        raise ConfigError(f"{field.name} = {value}, allowed: finite numbers")
    if type(value) is not kind:
        raise ConfigError(f"{field.name} = {value!r} must be of type {kind.__name__}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        allowed = ", ".join(map(str, choices))
        raise ConfigError(f"{field.name} = {value!r}, allowed: {allowed}")
    within = field.metadata["within"]
    if within and not within[0] <= value <= within[1]:
        raise ConfigError(f"{field.name} = {value}, allowed: {within[0]} to {within[1]}")
    return value


def unread_settings(config: Config, usual: Config, given: Iterable[str]) -> list[str]:
    """Those of the given settings that the method does not read, with the reason.

    What else a training leaves out (views where the trunk is frozen, patience where no epochs are
    chosen) is not told.

    Args:
        config: The settings.
        usual: What they would be had none been given: a value that is as usual harms nobody.
        given: Names of those that were given.
    """
    masks = {field.name for field in dataclasses.fields(config) if field.metadata["masks"]}
    unread, readers_of = [], _readers(config)
    for name in given:
        if getattr(config, name) == getattr(usual, name):
            continue
        readers = readers_of[name]
        if config.teacher and name in ("bits", "arity"):
            why = "is the teacher's"
        elif config.method not in readers:
            why = f"is a setting of {', '.join(readers)}, not of {config.method}"
        elif name in masks and config.method in ("dsah", "dagh") and not _masks(config):
            why = "is about masking pictures by their saliency, which is not trained here"
        else:
            continue
        unread.append(f"{name} {why}: it changes nothing")
    return unread


def _readers(config: Config) -> dict[str, tuple[str, ...]]:
    """The methods that read each setting."""
    return {field.name: field.metadata["of"] for field in dataclasses.fields(config)}


def check_together(config: Config) -> None:
    """Refuse settings that contradict each other, and ablations that the method does not have.

    Raises:
        ConfigError: The first such pair.
    """
    if config.bits % config.bits_per_symbol:
        raise ConfigError(
            f"bits = {config.bits} is not a multiple of {config.bits_per_symbol}, the bits of one "
            f"of {config.symbol_arity} values (arity)"
        )
    if config.teacher and config.method != "dagh":
        raise ConfigError(f"teacher is a setting of method dagh, not of {config.method}")
    if config.method == "dagh" and not config.teacher and config.epochs < 2:
        raise ConfigError("epochs = 1, allowed: 2 or more, since dagh trains two streams")
    # doh has symbols, dagh copies codes, itq and lsh are fitted: no such layer learns from labels.
    readers = _readers(config)["code_norm"]
    if config.code_norm and config.method not in readers:
        raise ConfigError(f"code_norm is a setting of {', '.join(readers)}, not of {config.method}")
    if config.min_area > config.max_area:
        raise ConfigError(
            f"min_area = {config.min_area} with max_area = {config.max_area}, allowed: min_area "
            "up to max_area; equal values make all crops equally large"
        )
    if config.attention_scale != 1 and not _masks(config):
        raise ConfigError(
            f"attention_scale = {config.attention_scale} needs an attention network to train: "
            "method dsah, or dagh without teacher, with attention and train_trunk"
        )
    _check_terms(config)
    _check_sides(config)
    if not config.teacher:  # a student's lengths end with its teacher's, which is not read yet
        nested_lengths(config)


def _masks(config: Config) -> bool:
    """Whether an attention network that masks the picture is trained."""
    return config.attends and config.method in ("dsah", "dagh") and not config.teacher


def _check_terms(config: Config) -> None:
    """The ablations of Table 4 belong to DSaH; two of them to steps that take turns."""
    steps = {
        "attention_terms": config.attention_terms != "both",
        "hashing_saliency": config.hashing_saliency,
    }
    changed = [name for name, differs in steps.items() if differs]
    if changed and config.alternate == "joint":
        raise ConfigError(
            f"{changed[0]} = {getattr(config, changed[0])!r} needs steps that take turns: "
            "alternate = epoch or batch (joint is one step with all terms)"
        )
    if config.hashing_terms != "both":
        changed.append("hashing_terms")
    if changed and (config.method != "dsah" or not config.attends):
        raise ConfigError(
            f"{changed[0]} = {getattr(config, changed[0])!r} chooses terms of dsah with attention; "
            f"this is {config.method}, attention {config.attends}"
        )


def _check_sides(config: Config) -> None:
    """Sides in pixels that the backbone can take."""
    # Behind a scale FCN-16s sees a multiple of its cells whatever the picture's side is.
    scale = 1.0 if config.backbone == "vgg16" else config.attention_scale
    whole_cells = config.backbone == "vgg16" and _masks(config) and config.attention_scale == 1
    least = _LEAST_SIDE.get(config.backbone, 1)
    for name in ("image_size", "train_size") if config.train_trunk else ("image_size",):
        side = getattr(config, name)
        if whole_cells and side % 32:
            raise ConfigError(
                f"{name} = {side}, allowed: multiples of 32, which FCN-16s halves five times"
            )
        if math.ceil(side * scale) < least:
            raise ConfigError(
                f"{name} = {side}, allowed for {config.backbone}: {math.ceil(least / scale)} or "
                "more pixels; of a smaller picture nothing is left behind its pooling"
            )


def nested_lengths(config: Config) -> tuple[int, ...]:
    """Code lengths of ``nested``, ascending; ``bits`` alone where codes are not nested.

    Raises:
        ConfigError: No ascending list of lengths that ends with ``bits``.
    """
    if not config.nested:
        return (config.bits,)
    step = config.bits_per_symbol
    try:
        lengths = tuple(int(part) for part in config.nested.split(","))
    except ValueError:
        lengths = ()
    ascending = all(a < b for a, b in zip((0, *lengths), lengths, strict=False))
    whole = all(n % step == 0 for n in lengths)
    if not lengths or not ascending or not whole or lengths[-1] != config.bits:
        raise ConfigError(
            f"nested = {config.nested!r}, allowed: ascending lengths that end with bits = "
            f"{config.bits}, such as {config.bits // 4},{config.bits // 2},{config.bits}"
            + (f"; multiples of {step} for arity {config.symbol_arity}" if step > 1 else "")
        )
    if config.method in ("itq", "lsh"):
        raise ConfigError(f"nested codes are learnt; {config.method} learns none")
    return lengths
