"""How good a model that is being trained is on pictures that it does not train on."""

from __future__ import annotations

from dsah_train.checkpoint import contract_of
from dsah_train.encode import encode
from dsah_train.methods.method import Method
from dsah_train.metrics import mean_average_precision
from dsah_train.pictures import Pictures

__all__ = ["validation_map"]


def validation_map(method: Method, training: Pictures, held_out: Pictures) -> float:
    """MAP@all of held-out pictures searched in the training pictures, in training's precision."""
    contract = contract_of(method.config, (), method.model, {})
    query, gallery = (
        encode(method.model, p.seen, contract, autocast=method.autocast()).codes
        for p in (held_out, training)
    )
    return mean_average_precision(
        query,
        held_out.part.targets,
        gallery,
        training.part.targets,
        bits=contract.bits,
        symbol_bits=contract.symbol_bits,
    )
