"""A trained model whose codes a smaller one learns, so that galleries of the teacher stay valid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dsah_infer.contract import CodeContract
from dsah_train.artefacts import checkpoint_path
from dsah_train.checkpoint import Checkpoint, load_checkpoint
from dsah_train.config import Config
from dsah_train.config_checks import nested_lengths
from dsah_train.data import Part, decode_part
from dsah_train.encode import encode, symbols_of

__all__ = ["Teacher"]


@dataclass(frozen=True)
class Teacher:
    """A checkpoint of any method: sign codes or ordinal ones.

    Attributes:
        path: Its file.
        checkpoint: The trained model.
    """

    path: Path
    checkpoint: Checkpoint

    @classmethod
    def load(cls, path: str) -> Teacher:
        """Read ``ckpt.pt`` of any method, or that of a run folder.

        Raises:
            CheckpointError: Not a readable checkpoint.
        """
        place = checkpoint_path(Path(path))
        return cls(place, load_checkpoint(place))

    @property
    def space(self) -> str:
        """Code space, which the student takes over."""
        return self.contract.space

    @property
    def contract(self) -> CodeContract:
        """What the teacher's codes mean."""
        return self.checkpoint.contract

    @property
    def config(self) -> Config:
        """Settings of the teacher's training."""
        return self.checkpoint.config

    @property
    def trained_on(self) -> frozenset[bytes] | None:
        """Digests of the teacher's training pictures; None where its checkpoint keeps none."""
        return self.checkpoint.trained_on

    @property
    def fingerprint(self) -> str:
        """Names the teacher's weights, wherever its file lies."""
        return self.contract.fingerprint

    def configure(self, student: Config) -> Config:
        """A student's settings with the code length and the arity of this teacher.

        Raises:
            ConfigError: The student's ``nested`` does not fit them.
        """
        contract = self.contract
        student = student.replace(bits=contract.info_bits, arity=contract.arity)
        nested_lengths(student)
        return student

    def symbols_of(self, part: Part, *, progress: bool = True) -> Tensor:
        """Symbols of all pictures, decoded by the teacher's own pixel rule.

        Returns:
            uint8 (n, segments), each from 0 to K - 1; the bits themselves for sign codes.

        Raises:
            PictureError: An unreadable picture.
        """
        contract = self.contract
        pixels = decode_part(part, contract.pixels, progress=progress, label="decode for teacher")
        codes = encode(self.checkpoint.model, pixels, contract)
        return torch.from_numpy(symbols_of(codes.activations, contract))
