"""A trained model whose codes a smaller one learns, so that galleries of the teacher stay valid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dsah_infer.contract import unpack_bits
from dsah_infer.errors import ConfigError
from dsah_train.checkpoint import Checkpoint, load_checkpoint
from dsah_train.data import Part, decode_part
from dsah_train.encode import encode

__all__ = ["Teacher"]


@dataclass(frozen=True)
class Teacher:
    """A checkpoint with sign codes.

    Attributes:
        checkpoint: The trained model.
    """

    checkpoint: Checkpoint

    @classmethod
    def load(cls, path: str) -> Teacher:
        """Read ``ckpt.pt`` of any method with sign codes.

        Raises:
            CheckpointError: Not a readable checkpoint.
            ConfigError: The teacher's codes are ordinal.
        """
        checkpoint = load_checkpoint(path)
        contract = checkpoint.contract
        if contract.activations != contract.bits:
            raise ConfigError(
                f"{path} writes ordinal codes (arity {contract.arity}); a student learns bits one "
                "by one, so its teacher must write sign codes: any method but doh"
            )
        return cls(checkpoint)

    @property
    def bits(self) -> int:
        """Code length, which the student takes over."""
        return self.checkpoint.contract.bits

    @property
    def space(self) -> str:
        """Code space, which the student takes over."""
        return self.checkpoint.contract.space

    def bits_of(self, part: Part, *, progress: bool = True) -> Tensor:
        """Code bits of all pictures, decoded by the teacher's own pixel rule.

        Returns:
            uint8 (n, bits) of 0 and 1.

        Raises:
            PictureError: An unreadable picture.
        """
        contract = self.checkpoint.contract
        pixels = decode_part(part, contract.pixels, progress=progress, label="decode for teacher")
        codes = encode(self.checkpoint.model, pixels, contract).codes
        return torch.from_numpy(unpack_bits(codes, contract.bits))
