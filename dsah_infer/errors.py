"""Every error this project raises on purpose, so that callers can catch what they mean.

Messages say what was given, what is allowed and, where there is one, the next step.
The command line tools print the message alone and exit with ``exit_code``.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "CodeError",
    "ConfigError",
    "ContractError",
    "DataError",
    "DeviceError",
    "DsahError",
    "ExportError",
    "IndexFileError",
    "MissingDependencyError",
    "ModelFileError",
    "NoSaliencyError",
    "OutputError",
    "PictureError",
    "SpaceMismatchError",
    "TrainingError",
    "UsageError",
    "install_hint",
]


class DsahError(Exception):
    """Base of all errors raised on purpose; catch this to catch them all."""

    exit_code = 1


class UsageError(DsahError, ValueError):
    """An argument is outside what is allowed (k < 1, bits = 0, an unknown name)."""

    exit_code = 2


class ConfigError(UsageError):
    """A training setting is unknown, of the wrong type or out of range."""


class MissingDependencyError(DsahError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class ContractError(DsahError):
    """A code contract is malformed, incomplete or of a newer format version."""


class SpaceMismatchError(ContractError):
    """Codes or a model of another code space (or another artefact of it) were offered."""


class ModelFileError(DsahError):
    """An ONNX file or engine is not a dsah model, or does not match its own contract."""


class CheckpointError(DsahError):
    """A training checkpoint cannot be read, is of something else or of a newer version."""


class TrainingError(DsahError):
    """A training went wrong in its numbers, not in its settings: a loss is not finite."""


class IndexFileError(DsahError):
    """A gallery file is damaged, truncated, of something else or of a newer version."""


class ExportError(DsahError):
    """An exported graph did not reproduce the model that it was made from."""


class OutputError(DsahError):
    """A result cannot be written where it was asked for: no permission, no space, no folder."""


class CodeError(DsahError, ValueError):
    """Codes have the wrong dtype, width, or non-zero padding bits."""


class DeviceError(DsahError):
    """The device that was asked for did not come up; the message names the reason."""


class NoSaliencyError(DsahError):
    """Saliency was asked of a model whose method has no attention output."""


class DataError(DsahError):
    """A data set is missing, empty, unsafe or not usable for what was asked."""


def install_hint(extra: str) -> str:
    """How to install what an optional part needs: the package registry has no dsah yet."""
    return f"pip install '.[{extra}]' in a checkout of dsah"


class PictureError(DsahError):
    """One picture could not be read.

    Attributes:
        name: Path or position of the picture, as the caller gave it.
        reason: What is wrong with it, in one line.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type[PictureError], tuple[str, str]]:
        # Exceptions pickle by their args; ours take two, so worker processes need to be told.
        return type(self), (self.name, self.reason)
