"""Names to methods."""

from __future__ import annotations

from torch import Tensor

from dsah_infer.errors import ConfigError
from dsah_train.config import Config
from dsah_train.methods.dagh import DAgH
from dsah_train.methods.doh import DOH
from dsah_train.methods.dsah import DSaH
from dsah_train.methods.method import Method
from dsah_train.methods.objectives import OBJECTIVES
from dsah_train.methods.shallow import Shallow
from dsah_train.methods.single_stream import SingleStream

__all__ = ["build_method", "method_class"]

_CLASSES: dict[str, type[Method]] = dict.fromkeys(OBJECTIVES, SingleStream) | {
    "dsah": DSaH,
    "doh": DOH,
    "dagh": DAgH,
    "itq": Shallow,
    "lsh": Shallow,
}


def method_class(config: Config) -> type[Method]:
    """The class that trains the config's method.

    Raises:
        ConfigError: Unknown name.
    """
    if config.method not in _CLASSES:
        raise ConfigError(f"method {config.method!r}, allowed: {', '.join(sorted(_CLASSES))}")
    # Without attention nothing takes turns: DSaH's loss on one plain network.
    if config.method == "dsah" and not config.attends:
        return SingleStream
    return _CLASSES[config.method]


def build_method(
    config: Config,
    num_classes: int,
    state: dict[str, Tensor] | None = None,
    device: str = "cpu",
) -> Method:
    """The method of a config, ready to train; see `Method` for the arguments."""
    return method_class(config)(config, num_classes, state, device)
