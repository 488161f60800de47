"""DOH's network and its students at every arity: exported, run without torch, ranked by symbols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsah_infer import Encoder
from dsah_train.encode import encode
from export.pictures import fixed_pictures
from export.to_onnx import export_onnx
from tests.export.tiny_models import SIZE, write_checkpoint


@pytest.mark.parametrize(
    ("method", "teacher", "arity"),
    [("doh", "", arity) for arity in (2, 4, 8, 16)]
    + [("dagh", "doh/ckpt.pt", arity) for arity in (4, 8, 16)],  # of arity 2 they are sign codes
)
def test_symbols_of_every_arity_are_exported_and_ranked(
    method: str, teacher: str, arity: int, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(
        tmp_path / "ckpt.pt", method=method, teacher=teacher, arity=arity, bits=24
    )
    export_onnx(checkpoint, tmp_path / "model.onnx")
    images = fixed_pictures(SIZE)
    h = encode(checkpoint.model, images, checkpoint.contract).activations
    segments = 24 // (arity.bit_length() - 1)
    symbols = h.reshape(len(images), segments, arity).argmax(-1)
    far = (symbols[:, None] != symbols[None]).sum(-1)  # R - sum of equal symbols
    with Encoder(tmp_path / "model.onnx", device="cpu", threads=1) as encoder:
        codes = encoder.encode(images)
        index = encoder.new_index()
        index.add(codes, contract=encoder.contract)
    distances, ids = index.search(codes, len(images))
    for row, own in enumerate(far):
        order = sorted(range(len(images)), key=lambda i: (own[i], i))
        np.testing.assert_array_equal(ids[row], order)
        np.testing.assert_array_equal(distances[row], own[order])
    assert len(set(far.ravel().tolist())) > 3
