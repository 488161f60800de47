"""How far an exported graph may be from its checkpoint, and whether it is nearer than that."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from dsah_infer.errors import UsageError
from export.parity import TIE, Parity

__all__ = ["MAX_FLIP_RATE", "MAX_MAP_DROP", "Budget", "add_budget_arguments"]

#: Largest share of bits that may flip, by precision. Float32 differs only where an activation is
#: all but zero; half has 11 bits of mantissa; the best int8 measured on untrained, hard heads
#: flips 1.2 % for a CPU and 1.9 % for TensorRT.
MAX_FLIP_RATE = {"fp32": 1e-4, "fp16": 5e-3, "int8": 3e-2}
MAX_MAP_DROP = 0.002
#: Largest difference of a float32 activation, in units of the margin under which a bit may flip.
_DRIFT = 100


@dataclass(frozen=True)
class Budget:
    """What an exported graph may lose.

    Attributes:
        max_flip_rate: Largest share of flipped bits, in [0, 1]; None takes the precision's default.
        max_map_drop: Largest loss of MAP@all, in [-1, 1]; below 0 a gain is asked for.

    Raises:
        UsageError: A bound out of range; nothing is ever above NaN.
    """

    max_flip_rate: float | None = None
    max_map_drop: float = MAX_MAP_DROP

    def __post_init__(self) -> None:
        if self.max_flip_rate is not None and not 0 <= self.max_flip_rate <= 1:
            raise UsageError(f"--max-flip-rate {self.max_flip_rate:g}; allowed: 0 to 1, a share")
        if not -1 <= self.max_map_drop <= 1:
            raise UsageError(f"--max-map-drop {self.max_map_drop:g}; allowed: -1 to 1")

    def flip_rate(self, precision: str) -> float:
        """The largest share of flipped bits for a precision."""
        return MAX_FLIP_RATE[precision] if self.max_flip_rate is None else self.max_flip_rate

    def objections(
        self, precision: str, parity: Parity, tie: float, map_drop: float | None = None
    ) -> list[str]:
        """Why an export is refused; empty when it is within the budget.

        Args:
            precision: ``fp32``, ``fp16`` or ``int8``.
            parity: Its codes against the checkpoint's.
            tie: Margin under which float32 bits may flip (`export.parity.tie_bound`).
            map_drop: MAP@all of the checkpoint minus its own, where there are labels.
        """
        found = []
        if parity.not_finite:
            found.append(
                f"{parity.not_finite} activations are infinite or no numbers, so their bits mean "
                "nothing"
            )
        allowed = self.flip_rate(precision)
        if parity.flip_rate > allowed:
            found.append(
                f"{parity.flip_rate:.3%} of {parity.pictures * parity.bits} bits flip, allowed "
                f"{allowed:.3%} (--max-flip-rate {allowed:g})"
            )
        if precision == "fp32" and parity.flipped_symbols and parity.largest_flip >= tie:
            found.append(
                f"a symbol with a margin of {parity.largest_flip:.2g} flips; in fp32 only margins "
                f"under {tie:.2g} may ({TIE:g} of the activations' root mean square)"
            )
        if precision == "fp32" and parity.activation_gap > _DRIFT * tie:
            found.append(
                f"an activation differs by {parity.activation_gap:.2g}; in fp32 at most "
                f"{_DRIFT * tie:.2g} may ({_DRIFT * TIE:g} of the activations' root mean square)"
            )
        if map_drop is not None and map_drop > self.max_map_drop:
            found.append(
                f"MAP@all falls by {map_drop:.4f}, allowed {self.max_map_drop:g} (--max-map-drop)"
            )
        return found


def add_budget_arguments(parser: argparse.ArgumentParser) -> None:
    """The two options of the budget."""
    defaults = ", ".join(f"{name} {value:g}" for name, value in MAX_FLIP_RATE.items())
    parser.add_argument(
        "--max-flip-rate", type=float, help=f"largest share of flipped bits (default: {defaults})"
    )
    parser.add_argument(
        "--max-map-drop",
        type=float,
        default=MAX_MAP_DROP,
        help=f"largest loss of MAP@all on --data (default: {MAX_MAP_DROP:g})",
    )
